#include "control/manager/withdrawn.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/manager/address_book.h"

namespace mesh::manager {
namespace {

void put(Draft& draft, std::string id) { draft.put(model::Withdrawn{std::move(id), {}}); }

}  // namespace

std::string address_id(const IpAddress& address) { return std::string(kAddressIds) + address.to_string(); }
std::string published_port_id(const std::string& protocol, std::uint16_t port) {
  return fmt::format("port/{}/{}", protocol, port);
}
std::string vni_id(std::uint32_t vni) { return fmt::format("vni/{}", vni); }

std::map<std::string, std::string> owners_in(const model::EndpointTables& tables) {
  std::map<std::string, std::string> owners;
  // IPv6 addresses go with the IPv4 ones (address_book.h).
  const auto add = [&](const IpAddress& address, const std::string& owner) {
    if (!address.is_unset()) owners.emplace(address_id(address), owner);
  };
  for (const model::NetworkRow& row : tables.networks) owners.emplace(vni_id(row.vni), row.id);
  for (const model::ServiceRow& row : tables.services) {
    for (const model::NetworkAddress& vip : row.virtual_ips) add(vip.v4, row.id);
    for (const model::PortRow& port : row.ports) {
      owners.emplace(published_port_id(port.protocol, port.published), row.id);
    }
  }
  for (const model::EndpointRow& row : tables.endpoints) {
    if (row.state == model::EndpointState::kGone) continue;  // hosts hold nothing for it
    add(row.ingress_v4, row.task_id);
    for (const model::NetworkAddress& address : row.networks) add(address.v4, row.task_id);
  }
  return owners;
}

void withdraw(Draft& draft, const model::Service& before, const model::Service* after) {
  for (const model::VirtualIp& vip : before.endpoint.virtual_ips) {
    const bool kept =
        after != nullptr && std::ranges::find(after->endpoint.virtual_ips, vip.addr, &model::VirtualIp::addr) !=
                                after->endpoint.virtual_ips.end();
    if (!kept) put(draft, address_id(without_prefix(vip.addr)));
  }
  for (const model::PortConfig& port : before.endpoint.ports) {
    const auto same = [&](const model::PortConfig& other) {
      return model::is_ingress(other) && other.published_port == port.published_port &&
             model::protocol_of(other) == model::protocol_of(port);
    };
    const bool kept = after != nullptr && std::ranges::any_of(after->endpoint.ports, same);
    if (!kept && model::is_ingress(port)) {
      put(draft, published_port_id(model::protocol_name(model::protocol_of(port)), port.published_port));
    }
  }
}

void withdraw(Draft& draft, const model::Network& network) {
  if (network.mesh) put(draft, vni_id(network.mesh->vni));
}

void withdraw(Draft& draft, const model::Task& task) {
  put(draft, address_id(task.mesh.ingress_v4));
  for (const model::NetworkAddress& address : task.mesh.networks) put(draft, address_id(address.v4));
}

void forget_withdrawn(Draft& draft, const Settled& settled) {
  for (const auto& [id, row] : store::Rows<model::Withdrawn>(draft.view().withdrawn())) {
    if (settled.withdrawn.contains(id)) draft.erase(store::Kind::kWithdrawn, id);
  }
}

}  // namespace mesh::manager
