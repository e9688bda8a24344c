// What `meshctl status` shows: this node, every node and the tables in its kernel, every service. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "control/model/service.h"

namespace mesh::meshctl {

// `status`: the answer of GET /mesh/status. `services`: with their ServiceStatus; empty on a worker.
[[nodiscard]] Result<std::string> render_status(const Json& status, const std::vector<model::Service>& services);

// Hostnames of nodes that have a session and whose kernel holds older tables than the manager made.
[[nodiscard]] Result<std::vector<std::string>> nodes_behind(const Json& status);

}  // namespace mesh::meshctl
