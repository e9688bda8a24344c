// `meshd dns …`: this binary as mesh-dns, started by the agent, outliving meshd.
#pragma once

#include <string>
#include <vector>

namespace mesh::meshd {

// --listen ADDRESS:PORT --socket SOCKET --state FILE [--build TEXT] [--log-level LEVEL]. The exit status.
[[nodiscard]] int run_dns(const std::vector<std::string>& arguments);

}  // namespace mesh::meshd
