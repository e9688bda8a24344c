// meshctl trace: the way of a made-up packet through the programs of all hosts on it.
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"
#include "control/meshctl/cli.h"

namespace mesh::meshctl {

void add_trace(CLI::App& app, Cli& cli);

// The API's answer for people.
[[nodiscard]] Result<std::string> render_trace(const Json& answer);

}  // namespace mesh::meshctl
