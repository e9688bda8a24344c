#include "control/manager/address_book.h"

#include <fmt/format.h>

#include "control/manager/withdrawn.h"

namespace mesh::manager {
namespace {

std::uint32_t offset_in(const Cidr& subnet, const IpAddress& address) {
  return address.v4_host_order() - subnet.network.v4_host_order();
}

}  // namespace

AddressBook::AddressBook(const store::View& view) {
  for (const auto& [id, network] : view.networks()) {
    if (network->mesh) subnets_[id] = network->mesh->subnet_v4;
  }
  const model::Network* ingress = view.ingress_network();
  const auto add = [&](const std::string& network_id, const IpAddress& address) {
    const auto subnet = subnets_.find(network_id);
    if (subnet != subnets_.end() && subnet->second.contains(address)) {
      taken_[network_id].insert(offset_in(subnet->second, address));
    }
  };
  for (const auto& [id, task] : view.tasks()) {
    if (ingress != nullptr && !task->mesh.ingress_v4.is_unset()) add(ingress->id, task->mesh.ingress_v4);
    for (const model::NetworkAddress& address : task->mesh.networks) add(address.network_id, address.v4);
  }
  for (const auto& [id, service] : view.services()) {
    for (const model::VirtualIp& vip : service->endpoint.virtual_ips) add(vip.network_id, without_prefix(vip.addr));
  }
  if (view.withdrawn().empty()) return;
  for (const auto& [network_id, subnet] : subnets_) {
    for (auto row = view.withdrawn().lower_bound(kAddressIds);
         row != view.withdrawn().end() && row->first.starts_with(kAddressIds); ++row) {
      add(network_id, without_prefix(std::string_view(row->first).substr(kAddressIds.size())));
    }
  }
}

Result<IpAddress> AddressBook::take(const model::Network& network) {
  const Cidr subnet = network.mesh ? network.mesh->subnet_v4 : Cidr{};
  const std::uint64_t size = subnet.size();
  std::set<std::uint32_t>& taken = taken_[network.id];
  const std::uint64_t end = size == 0 ? 0 : size - 1;  // the last is the broadcast address
  std::uint64_t offset = taken.empty() ? kFirstOffset : std::uint64_t{*taken.rbegin()} + 1;
  if (offset >= end) {
    offset = kFirstOffset;
    for (const std::uint32_t used : taken) {
      if (used < offset) continue;
      if (used != offset) break;
      ++offset;
    }
  }
  if (offset >= end) {
    return fail(
        ErrorKind::kExhausted,
        fmt::format("no address left on network {}: all {} of {} are in use; use a network with a larger subnet",
                    network.name, taken.size(), subnet.to_string()));
  }
  taken.insert(static_cast<std::uint32_t>(offset));
  return subnet.network.plus(offset);
}

IpAddress v6_of(const model::Network& network, const IpAddress& v4) {
  if (!network.mesh || !network.mesh->subnet_v6 || v4.is_unset()) return {};
  return network.mesh->subnet_v6->network.plus(offset_in(network.mesh->subnet_v4, v4));
}

std::string with_prefix(const IpAddress& address, const Cidr& subnet) {
  return fmt::format("{}/{}", address.to_string(), subnet.length);
}

IpAddress without_prefix(std::string_view text) {
  return IpAddress::parse(text.substr(0, text.find('/'))).value_or(IpAddress{});
}

IpAddress gateway_of(const Cidr& subnet) { return subnet.network.plus(1); }

}  // namespace mesh::manager
