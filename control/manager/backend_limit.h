// A published port leads to at most 127 tasks (dataplane/ring.h). Those beyond run, are found by name and through
// virtual IPs, but get no connection through the port: said when they are asked for, and for as long as it is so.
#pragma once

#include <string>
#include <vector>

#include "control/store/view.h"

namespace mesh::manager {

// What `service create`, `update` and `scale` warn of; one line per published port.
[[nodiscard]] std::vector<std::string> backend_limit_warnings(const store::View& view, const model::ServiceSpec& spec);

// Running tasks of the port's service that its full list of backends has no place for.
[[nodiscard]] std::size_t left_out(const store::View& view, const model::PortState& port);
// One line per port that leaves tasks out, with their number. For `meshctl status`.
[[nodiscard]] std::vector<std::string> backend_limit_problems(const store::View& view);

}  // namespace mesh::manager
