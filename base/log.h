// Logging. One logger, structured as "message key=value …" by the caller.
// Levels by who reads them: error: an operator must act; warn: something degraded or was refused; info: a change of
// state worth a line a day later; debug: what a developer of meshd needs.
#pragma once

#include <string_view>

#include <spdlog/spdlog.h>

#include "base/result.h"

namespace mesh {

// To stderr, with time unless the journal adds it (JOURNAL_STREAM). level: trace debug info warn error.
Status set_up_log(std::string_view level);

}  // namespace mesh
