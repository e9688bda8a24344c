// Calls of the API that several commands make, with typed answers.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/api/client.h"
#include "control/model/cluster.h"
#include "control/model/network.h"
#include "control/model/node.h"
#include "control/model/service.h"
#include "control/model/task.h"

namespace mesh::meshctl {

using api::Client;

// What GET /info says of the cluster.
struct RemoteManager {
  std::string node_id, addr;
};
template <class Visit>
constexpr bool json_fields(const RemoteManager*, Visit&& visit) {
  return visit("NodeID", &RemoteManager::node_id) && visit("Addr", &RemoteManager::addr);
}
struct SwarmInfo {
  std::string node_id, node_addr, local_node_state, error;
  bool control_available = false;
  std::vector<RemoteManager> remote_managers;
  std::int64_t nodes = 0, managers = 0;
};
template <class Visit>
constexpr bool json_fields(const SwarmInfo*, Visit&& visit) {
  using S = SwarmInfo;
  return visit("NodeID", &S::node_id) && visit("NodeAddr", &S::node_addr) &&
         visit("LocalNodeState", &S::local_node_state) && visit("Error", &S::error) &&
         visit("ControlAvailable", &S::control_available) && visit("RemoteManagers", &S::remote_managers) &&
         visit("Nodes", &S::nodes) && visit("Managers", &S::managers);
}

// The version of the API that is spoken, with its slash: "/v1.41" + "/services".
[[nodiscard]] std::string path(std::string_view route);
// "/services/<name, percent-encoded>".
[[nodiscard]] std::string object_path(std::string_view collection, std::string_view name_or_id,
                                      std::string_view verb = {});
// `route` with "?filters=<encoded>"; `filters` is JSON or empty. `more`: further parameters, "status=true".
[[nodiscard]] std::string filtered(std::string_view route, std::string_view filters, std::string_view more = {});

template <class T>
[[nodiscard]] Result<T> get_as(const Client& client, const std::string& target) {
  return TRY_IN("answer of meshd", decode<T>(TRY(client.get(target))));
}

[[nodiscard]] Result<SwarmInfo> swarm_info(const Client& client);
[[nodiscard]] Result<std::vector<model::Node>> list_nodes(const Client& client, std::string_view filters = {});
// With their ServiceStatus.
[[nodiscard]] Result<std::vector<model::Service>> list_services(const Client& client, std::string_view filters = {});
[[nodiscard]] Result<std::vector<model::Task>> list_tasks(const Client& client, std::string_view filters = {});
[[nodiscard]] Result<model::Service> get_service(const Client& client, std::string_view name_or_id);
// "self" is the node that was asked.
[[nodiscard]] Result<model::Node> get_node(const Client& client, std::string_view name_or_id);
[[nodiscard]] Result<std::string> node_id_of(const Client& client, std::string_view name_or_id);
// The "Warnings" of an answer, to standard error.
void print_warnings(const Json& answer);
// The answer's warnings are printed.
Status update_service(const Client& client, const model::Service& from, const model::ServiceSpec& spec,
                      std::string_view rollback = {});

// id -> name, for tables.
[[nodiscard]] std::map<std::string, std::string> names_of(const std::vector<model::Node>& nodes);
[[nodiscard]] std::map<std::string, std::string> names_of(const std::vector<model::Service>& services);

// {"service":["…"]}
[[nodiscard]] std::string filter_json(std::string_view name, std::string_view value);

}  // namespace mesh::meshctl
