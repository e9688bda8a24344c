// Rows of the lists: an API object turned into what its table shows. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/meshctl/listing.h"
#include "control/model/network.h"
#include "control/model/node.h"
#include "control/model/service.h"
#include "control/model/task.h"

namespace mesh::meshctl {

struct RowOptions {
  bool truncate = true;  // --no-trunc
  bool resolve = true;   // --no-resolve: ids instead of names
  Time now;
};

extern const ListView kNodeView, kServiceView, kTaskView, kNetworkView, kImageView;

// By hostname in natural order; `self` is the id of the node that was asked.
[[nodiscard]] std::vector<JsonObject> node_rows(std::vector<model::Node> nodes, const std::string& self);
// By name in natural order.
[[nodiscard]] std::vector<JsonObject> service_rows(std::vector<model::Service> services, const RowOptions& options);
// By slot, the newest first; an older task of the same slot is drawn below it. `services` and `nodes`: id -> name.
[[nodiscard]] std::vector<JsonObject> task_rows(std::vector<model::Task> tasks,
                                                const std::map<std::string, std::string>& services,
                                                const std::map<std::string, std::string>& nodes,
                                                const RowOptions& options);
// By name in natural order.
[[nodiscard]] std::vector<JsonObject> network_rows(std::vector<model::Network> networks, const RowOptions& options);
// `images`: the answer of GET /images/json; one row per tag, newest first.
[[nodiscard]] Result<std::vector<JsonObject>> image_rows(const Json& images, const RowOptions& options);

}  // namespace mesh::meshctl
