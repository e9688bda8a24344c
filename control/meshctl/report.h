// A JSON report of the daemon for reading, whatever members it has: plain values as "Key: value", objects below a
// heading, lists of objects as tables. Pure.
#pragma once

#include <string>

#include "base/json.h"

namespace mesh::meshctl {

[[nodiscard]] std::string render_report(const Json& report);

// "PublishedPort" -> "PUBLISHED PORT"; "TaskID" -> "TASK ID".
[[nodiscard]] std::string column_title(std::string_view key);

}  // namespace mesh::meshctl
