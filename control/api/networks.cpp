// /networks (Docker Engine API, "Network"). Only the cluster's overlay networks exist: meshd makes no bridge, host or
// none network, and lists none.
#include <algorithm>
#include <array>

#include "control/api/filters.h"
#include "control/api/router.h"

namespace mesh::api {
namespace {

// With the keys that Docker's object has for a network on one host.
Json show(const model::Network& network) {
  Json value = to_api(network);
  value.as_object()["ConfigFrom"] = JsonObject{{"Network", ""}};
  value.as_object()["Containers"] = nullptr;
  return value;
}

bool in_use(const store::View& view, const model::Network& network) {
  return network.ingress || std::ranges::any_of(view.services(), [&](const auto& entry) {
           return std::ranges::any_of(model::networks_of(entry.second->spec),
                                      [&](const auto& attached) { return attached.target == network.id; });
         });
}

// A worker knows less: what it needs to carry their packets.
model::Network of_row(const model::NetworkRow& row) {
  model::Network network;
  network.name = row.name;
  network.id = row.id;
  network.scope = "swarm";
  network.driver = "overlay";
  network.enable_ipv6 = row.subnet_v6.has_value();
  network.internal = row.internal;
  network.ingress = row.ingress;
  network.ipam.config.push_back({.subnet = row.subnet_v4.to_string()});
  if (row.subnet_v6) network.ipam.config.push_back({.subnet = row.subnet_v6->to_string()});
  return network;
}

std::vector<model::Network> known_networks(Context& context) {
  std::vector<model::Network> networks;
  if (const manager::Manager* manager = context.swarm.manager(); manager != nullptr) {
    for (const auto& [id, network] : manager->view().networks()) networks.push_back(*network);
  } else {
    for (const model::NetworkRow& row : context.node.networks()) networks.push_back(of_row(row));
  }
  return networks;
}

Result<Response> list(Context& context, const Request& request) {
  const Filters filters = TRY(Filters::parse(request, {"dangling", "driver", "id", "label", "name", "scope", "type"}));
  for (const std::string& type : filters.values("type")) {
    if (type != "custom" && type != "builtin")
      return fail(ErrorKind::kInvalid, "invalid filter: 'type'='" + type + "'");
  }
  JsonArray networks;
  if (context.swarm.info().state == SwarmState::kInactive) return json_response(networks);
  // Who uses a network, only the manager knows.
  const manager::Manager* manager = filters.has("dangling") ? TRY(require_manager(context)) : nullptr;
  for (const model::Network& network : known_networks(context)) {
    const bool dangling = manager != nullptr && !in_use(manager->view(), network);
    const bool shown = filters.prefix("id", network.id) && filters.substring("name", network.name) &&
                       filters.exact("driver", network.driver) && filters.exact("scope", network.scope) &&
                       filters.exact("type", network.ingress ? "builtin" : "custom") &&
                       filters.labels("label", network.labels) &&
                       (manager == nullptr || filters.exact("dangling", dangling ? "true" : "false"));
    if (shown) networks.push_back(show(network));
  }
  return json_response(networks);
}

// `verbose`: the services on the network with their virtual IP and tasks.
JsonObject services_on(const store::View& view, const model::Network& network) {
  JsonObject services;
  for (const auto& [id, service] : view.services()) {
    const auto vip = std::ranges::find(service->endpoint.virtual_ips, network.id, &model::VirtualIp::network_id);
    JsonArray tasks;
    for (const model::Task* task : view.tasks_of_service(id)) {
      const auto at = std::ranges::find(task->mesh.networks, network.id, &model::NetworkAddress::network_id);
      if (at == task->mesh.networks.end() || model::is_terminal(task->status.state)) continue;
      const model::Node* node = view.node(task->node_id);
      tasks.push_back(JsonObject{{"Name", task->mesh.container_name},
                                 {"EndpointID", task->id},
                                 {"EndpointIP", at->v4.to_string()},
                                 {"Info", JsonObject{{"Host IP", node == nullptr ? "" : node->status.addr}}}});
    }
    if (vip == service->endpoint.virtual_ips.end() && tasks.empty()) continue;
    const std::string address = vip == service->endpoint.virtual_ips.end() ? "" : vip->addr;
    services[service->spec.name] = JsonObject{{"VIP", address.substr(0, address.find('/'))},
                                              {"Ports", JsonArray{}},
                                              {"LocalLBIndex", 0},
                                              {"Tasks", std::move(tasks)}};
  }
  return services;
}

Result<Response> inspect(Context& context, const Request& request) {
  const std::string& name = request.capture("id");
  if (context.swarm.info().state == SwarmState::kInactive) {
    return fail(ErrorKind::kNotFound, "network " + name + " not found");
  }
  const manager::Manager* manager = TRY(require_manager(context));
  const model::Network* network = TRY(manager->view().find_network(name));
  if (const std::string& scope = request.parameter("scope"); !scope.empty() && scope != network->scope) {
    return fail(ErrorKind::kNotFound, "network " + name + " not found in scope " + scope);
  }
  Json value = show(*network);
  if (request.flag("verbose")) value.as_object()["Services"] = services_on(manager->view(), *network);
  return json_response(value);
}

Result<Response> create(Context& context, const Request& request) {
  model::Network network = TRY(read_body<model::Network>(request));
  if (network.driver != "overlay") {
    return fail(ErrorKind::kInvalid, "network driver \"" + network.driver +
                                         "\" is not available: only overlay networks exist here; use "
                                         "\"network create -d overlay " +
                                         network.name + "\"");
  }
  if (!network.scope.empty() && network.scope != "swarm") {
    return fail(ErrorKind::kInvalid, "an overlay network has the scope swarm, not \"" + network.scope + "\"");
  }
  manager::Manager* manager = TRY(require_manager(context));
  network.scope = "swarm";
  network.id.clear();
  network.mesh.reset();
  const std::string id = TRY(manager->create_network(std::move(network), context.now()));
  context.swarm.changed();
  return json_response(JsonObject{{"Id", id}, {"Warning", ""}}, 201);
}

Result<Response> remove(Context& context, const Request& request) {
  manager::Manager* manager = TRY(require_manager(context));
  const std::string id = TRY(manager->view().find_network(request.capture("id")))->id;
  TRY(manager->remove_network(id, context.now()));
  context.swarm.changed();
  return empty_response(204);
}

constexpr std::array kRoutes{
    Route{"GET", "/networks", &list},
    Route{"POST", "/networks/create", &create},
    Route{"GET", "/networks/{id}", &inspect},
    Route{"DELETE", "/networks/{id}", &remove},
};

}  // namespace

std::span<const Route> network_routes() { return kRoutes; }

}  // namespace mesh::api
