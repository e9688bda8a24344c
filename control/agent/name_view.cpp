// The names part of node_view.h: which names each network has, and who may ask for them.
#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "control/agent/node_view.h"

namespace mesh::agent {
namespace {

constexpr std::size_t kShortIdLength = 12;  // as docker's tables print ids

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  while (text.ends_with('.')) text.pop_back();
  return text;
}

// Names of one network on the way: a name that two things share answers with both.
class Names {
 public:
  void add(const std::string& name, const IpAddress& address) {
    if (name.empty()) return;
    auto& list = names_[lower(name)];
    if (!address.is_unset() && std::ranges::find(list, address) == list.end()) list.push_back(address);
  }
  void add(const std::string& name, const model::NetworkAddress& address) {
    add(name, address.v4);
    add(name, address.v6);
  }
  // The first name of an address is its reverse.
  void add_reverse(const IpAddress& address, const std::string& name) {
    if (!address.is_unset()) reverse_.try_emplace(address, name);
  }
  [[nodiscard]] dns::Network finish(const model::NetworkRow& row) && {
    dns::Network network;
    network.id = row.id;
    network.name = row.name;
    for (auto& [name, addresses] : names_) {
      // Rows have no order: one that comes or goes elsewhere must not make these names others.
      std::ranges::sort(addresses);
      network.names.push_back({name, std::move(addresses)});
    }
    for (auto& [address, name] : reverse_) network.reverse.push_back({address, name});
    return network;
  }

 private:
  std::map<std::string, std::vector<IpAddress>> names_;
  std::map<IpAddress, std::string> reverse_;
};

const model::NetworkAddress* on_network(const std::vector<model::NetworkAddress>& list, const std::string& id) {
  const auto found = std::ranges::find(list, id, &model::NetworkAddress::network_id);
  return found == list.end() ? nullptr : &*found;
}

// A service keeps its names while it has no tasks: they are answered without addresses, and not asked of the world.
void add_service(Names& names, const model::ServiceRow& service, const model::NetworkRow& network,
                 const std::vector<const model::EndpointRow*>& tasks) {
  const model::NetworkAddress* vip = on_network(service.virtual_ips, network.id);
  std::set<std::string> aliases = {service.name};
  if (vip != nullptr) aliases.insert(vip->aliases.begin(), vip->aliases.end());
  const bool by_vip = vip != nullptr && !service.dnsrr;
  if (by_vip) {
    for (const std::string& name : aliases) names.add(name, *vip);
    names.add_reverse(vip->v4, lower(service.name) + "." + lower(network.name));
    names.add_reverse(vip->v6, lower(service.name) + "." + lower(network.name));
  }
  if (vip != nullptr) {
    names.add("tasks." + service.name, IpAddress{});
    for (const std::string& name : aliases) names.add(name, IpAddress{});
  }
  for (const model::EndpointRow* task : tasks) {
    const model::NetworkAddress* address = on_network(task->networks, network.id);
    if (address == nullptr || !task->serving || task->state != model::EndpointState::kReady) continue;
    names.add("tasks." + service.name, *address);
    if (by_vip) continue;
    for (const std::string& name : aliases) names.add(name, *address);
    for (const std::string& name : address->aliases) names.add(name, *address);
  }
}

// A single task is found by its own names as long as it is there, healthy or not.
void add_task(Names& names, const model::EndpointRow& task, const model::NetworkRow& network) {
  const model::NetworkAddress* address = on_network(task.networks, network.id);
  if (address == nullptr || task.state == model::EndpointState::kGone) return;
  names.add(task.name, *address);
  names.add(task.hostname, *address);
  names.add(task.task_id, *address);
  names.add(task.task_id.substr(0, kShortIdLength), *address);
  names.add_reverse(address->v4, lower(task.name) + "." + lower(network.name));
  names.add_reverse(address->v6, lower(task.name) + "." + lower(network.name));
}

std::vector<NamedService> all_services(const model::EndpointTables& tables) {
  std::vector<NamedService> services;
  std::unordered_map<std::string_view, std::size_t> place_of;
  for (const model::ServiceRow& row : tables.services) {
    place_of.emplace(row.id, services.size());
    services.push_back({&row, {}});
  }
  for (const model::EndpointRow& row : tables.endpoints) {
    const auto [place, is_new] = place_of.emplace(row.service_id, services.size());
    if (is_new) services.emplace_back();
    services[place->second].tasks.push_back(&row);
  }
  return services;
}

}  // namespace

dns::Network make_names(const model::NetworkRow& network, const std::vector<NamedService>& services) {
  Names names;
  for (const NamedService& service : services) {
    if (service.row != nullptr) add_service(names, *service.row, network, service.tasks);
  }
  for (const NamedService& service : services) {
    for (const model::EndpointRow* task : service.tasks) add_task(names, *task, network);
  }
  return std::move(names).finish(network);
}

dns::Desired make_names(const View& view) {
  dns::Desired desired;
  // Nobody here can ask for names of other networks.
  std::set<std::string> asked;
  for (const model::Task& task : view.tasks) {
    for (const model::NetworkAddress& address : task.mesh.networks) asked.insert(address.network_id);
  }
  const std::vector<NamedService> services = asked.empty() ? std::vector<NamedService>() : all_services(view.tables);
  for (const model::NetworkRow& network : view.tables.networks) {
    if (!network.ingress && asked.contains(network.id)) desired.networks.push_back(make_names(network, services));
  }
  for (const model::Task& task : view.tasks) {
    dns::Client client{task.mesh.ingress_v4, task.mesh.ingress_v6, {}};
    for (const model::NetworkAddress& address : task.mesh.networks) client.network_ids.push_back(address.network_id);
    desired.clients.push_back(std::move(client));
  }
  desired.upstreams = view.host.resolvers;
  return desired;
}

}  // namespace mesh::agent
