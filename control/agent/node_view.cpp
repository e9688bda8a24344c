#include "control/agent/node_view.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>

#include "control/agent/uplinks.h"
#include "control/model/mesh_options.h"
#include "vxlan/overlay.h"

namespace mesh::agent {
namespace {

static_assert(model::kAllowMax <= dataplane::kAllowMax, "what the API takes fits into the kernel");
static_assert(model::kBindingMax <= dataplane::kBindingMax, "what the manager gives fits into the kernel");

constexpr std::uint16_t kTunnelBytesV4 = 50;
constexpr std::uint16_t kTunnelBytesV6 = 70;

IpAddress first_of_family(const std::vector<IpAddress>& addresses, bool v4) {
  const auto found = std::ranges::find_if(addresses, [&](const IpAddress& one) { return one.is_v4() == v4; });
  return found == addresses.end() ? IpAddress{} : *found;
}

IpAddress mesh_address(const IpAddress& gateway) { return gateway.is_unset() ? gateway : gateway.plus(1); }

dataplane::EndpointState to_state(model::EndpointState state) {
  switch (state) {
    case model::EndpointState::kReady:
      return dataplane::EndpointState::kReady;
    case model::EndpointState::kDraining:
      return dataplane::EndpointState::kDraining;
    case model::EndpointState::kGone:
      break;
  }
  return dataplane::EndpointState::kGone;
}

vxlan::TaskLink make_link(const model::Task& task, const View& view, const NetworkIndex& networks, std::uint16_t mtu) {
  vxlan::TaskLink link;
  link.task_id = task.id;
  link.netns_path = view.host.netns_directory + "/" + task.id;
  link.host_name = vxlan::host_interface_name(task.id);
  link.ingress_v4 = task.mesh.ingress_v4;
  link.ingress_v6 = task.mesh.ingress_v6;
  link.mtu = mtu;
  for (const model::NetworkAddress& address : task.mesh.networks) {
    const model::NetworkRow* row = networks.find(address.network_id);
    if (row == nullptr) continue;
    if (!address.v4.is_unset()) link.networks.push_back({row->subnet_v4, address.v4});
    if (!address.v6.is_unset() && row->subnet_v6) link.networks.push_back({*row->subnet_v6, address.v6});
  }
  return link;
}

// A task reaches the world unless all networks that it asked for are internal.
void add_masquerade(vxlan::Masquerade& masquerade, const model::Task& task, const NetworkIndex& networks) {
  std::vector<IpAddress> sources;
  bool closed = !task.mesh.networks.empty();
  for (const model::NetworkAddress& address : task.mesh.networks) {
    const model::NetworkRow* row = networks.find(address.network_id);
    if (row == nullptr || row->internal) continue;
    closed = false;
    for (const IpAddress& one : {address.v4, address.v6}) {
      if (!one.is_unset()) sources.push_back(one);
    }
  }
  if (closed) return;
  for (const IpAddress& one : {task.mesh.ingress_v4, task.mesh.ingress_v6}) {
    if (!one.is_unset()) sources.push_back(one);
  }
  masquerade.sources.insert(masquerade.sources.end(), sources.begin(), sources.end());
}

// The addresses of this host among those that the port is published on.
std::vector<IpAddress> own_addresses(const model::PortRow& row, const View& view) {
  std::vector<IpAddress> own;
  const std::vector<IpAddress> all = addresses_of(view.host.uplinks);
  for (const IpAddress& address : row.addresses) {
    if (std::ranges::find(all, address) != all.end()) own.push_back(address);
  }
  for (const dataplane::Uplink& uplink : view.host.uplinks) {
    if (std::ranges::find(row.interfaces, uplink.name) == row.interfaces.end()) continue;
    for (const IpAddress& address : uplink.addresses) {
      if (std::ranges::find(own, address) == own.end()) own.push_back(address);
    }
  }
  return own;
}

// Of the narrowest uplink: nobody knows which one a packet will take.
std::uint16_t uplink_mtu(const std::vector<dataplane::Uplink>& uplinks) {
  const auto narrowest = std::ranges::min_element(uplinks, {}, &dataplane::Uplink::mtu);
  return narrowest == uplinks.end() ? dataplane::Uplink{}.mtu : narrowest->mtu;
}

bool is_entry(const model::PortRow& row, const View& view) {
  std::vector<std::string> names;
  for (const dataplane::Uplink& uplink : view.host.uplinks) names.push_back(uplink.name);
  return model::answers(row, view.gateway.node_number, addresses_of(view.host.uplinks), names);
}

dataplane::PublishedPort make_port(const model::ServiceRow& service, const model::PortRow& row, const View& view) {
  dataplane::PublishedPort port;
  port.service_id = service.id;
  port.service_name = service.name;
  port.protocol = to_protocol(row.protocol);
  port.port = row.published;
  port.ring.version = row.ring_version;
  port.ring.owners = row.owners;
  for (const model::RingSlot& slot : row.moved) {
    if (slot.previous != dataplane::kNoBackend) port.ring.previous.emplace(slot.slot, slot.previous);
    if (!slot.foreign.empty()) port.ring.foreign.emplace(slot.slot, slot.foreign);
  }
  for (const model::BackendRow& backend : row.backends) {
    port.backends.push_back({backend.node, backend.binding, to_state(backend.state)});
  }
  port.return_mode =
      row.return_mode == model::ReturnMode::kDsr ? dataplane::ReturnMode::kDirect : dataplane::ReturnMode::kTunnel;
  port.affinity_seconds = row.affinity_seconds;
  port.prefer_local = row.prefer_local;
  port.entry = is_entry(row, view);
  port.addresses = own_addresses(row, view);
  port.allow = row.allow;
  return port;
}

void add_bindings(std::vector<dataplane::Binding>& bindings, const model::PortRow& port, std::uint16_t self) {
  for (const model::BackendRow& backend : port.backends) {
    if (backend.node != self || backend.binding == 0) continue;
    bindings.push_back({backend.binding, backend.task_id, to_protocol(port.protocol), port.published, port.target,
                        to_state(backend.state)});
  }
}

// One network's address of an endpoint, or nothing.
const model::NetworkAddress* address_on(const model::EndpointRow& row, const std::string& network_id) {
  const auto found = std::ranges::find(row.networks, network_id, &model::NetworkAddress::network_id);
  return found == row.networks.end() ? nullptr : &*found;
}

bool takes_new_work(const model::EndpointRow& row) { return row.serving && row.state == model::EndpointState::kReady; }

// Per service id: its endpoints.
using EndpointIndex = std::unordered_map<std::string, std::vector<const model::EndpointRow*>>;
EndpointIndex index_endpoints(const model::EndpointTables& tables) {
  EndpointIndex index;
  for (const model::EndpointRow& row : tables.endpoints) index[row.service_id].push_back(&row);
  return index;
}

void add_virtual_ips(std::vector<dataplane::VirtualIp>& list, const model::ServiceRow& service,
                     const std::vector<const model::EndpointRow*>& endpoints, const NetworkIndex& networks) {
  for (const model::NetworkAddress& vip : service.virtual_ips) {
    const model::NetworkRow* network = networks.find(vip.network_id);
    if (network == nullptr) continue;
    for (const bool v4 : {true, false}) {
      const IpAddress& address = v4 ? vip.v4 : vip.v6;
      if (address.is_unset()) continue;
      dataplane::VirtualIp entry{address, network->vni, service.id, {}};
      for (const model::EndpointRow* row : endpoints) {
        const model::NetworkAddress* there = address_on(*row, vip.network_id);
        if (there == nullptr || !takes_new_work(*row)) continue;
        const IpAddress& backend = v4 ? there->v4 : there->v6;
        if (!backend.is_unset()) entry.backends.push_back(backend);
      }
      // Rows have no order, backends do: one that comes or goes elsewhere must not make these others.
      std::ranges::sort(entry.backends);
      list.push_back(std::move(entry));
    }
  }
}

dataplane::Node make_node(const model::NodeRow& row, const View& view) {
  dataplane::Node node;
  if (row.number != view.gateway.node_number) {
    const auto route = std::ranges::find(view.host.routes, row.address, &dataplane::Node::address);
    if (route != view.host.routes.end()) node = *route;
  }
  node.number = row.number;
  node.address = row.address;
  node.addresses = row.addresses;
  return node;
}

}  // namespace

NetworkIndex::NetworkIndex(const model::EndpointTables& tables) {
  for (const model::NetworkRow& row : tables.networks) {
    by_id.emplace(row.id, &row);
    if (row.ingress) ingress.push_back(&row);
  }
}

const model::NetworkRow* NetworkIndex::find(const std::string& id) const {
  const auto found = by_id.find(id);
  return found == by_id.end() ? nullptr : found->second;
}

std::uint16_t overlay_mtu(std::uint16_t underlay_mtu, bool underlay_v6) {
  const std::uint16_t tunnel = underlay_v6 ? kTunnelBytesV6 : kTunnelBytesV4;
  return static_cast<std::uint16_t>(underlay_mtu - tunnel);
}

dataplane::Protocol to_protocol(std::string_view name) {
  if (name == "udp") return dataplane::Protocol::kUdp;
  if (name == "sctp") return dataplane::Protocol::kSctp;
  return dataplane::Protocol::kTcp;
}

vxlan::Desired make_overlay(const View& view) {
  vxlan::Desired desired;
  const NetworkIndex networks(view.tables);
  const bool underlay_v6 = std::ranges::any_of(
      view.tables.nodes, [](const model::NodeRow& row) { return !row.address.is_unset() && !row.address.is_v4(); });
  const std::uint16_t mtu = overlay_mtu(uplink_mtu(view.host.uplinks), underlay_v6);
  const std::vector<IpAddress> own = addresses_of(view.host.uplinks);
  if (!view.gateway.gateway_v4.is_unset()) {
    desired.gateway = vxlan::Gateway{view.gateway.gateway_v4,
                                     view.gateway.gateway_v6,
                                     mesh_address(view.gateway.gateway_v4),
                                     mesh_address(view.gateway.gateway_v6),
                                     first_of_family(own, true),
                                     first_of_family(own, false),
                                     mtu};
  }
  for (const model::Task& task : view.tasks) {
    desired.links.push_back(make_link(task, view, networks, mtu));
    add_masquerade(desired.masquerade, task, networks);
  }
  for (const model::NetworkRow& row : view.tables.networks) {
    desired.masquerade.cluster.push_back(row.subnet_v4);
    if (row.subnet_v6) desired.masquerade.cluster.push_back(*row.subnet_v6);
  }
  for (const model::ServiceRow& service : view.tables.services) {
    for (const model::PortRow& port : service.ports) {
      if (is_entry(port, view)) desired.reserved_ports.push_back(port.published);
    }
  }
  std::ranges::sort(desired.reserved_ports);
  const auto doubles = std::ranges::unique(desired.reserved_ports);
  desired.reserved_ports.erase(doubles.begin(), doubles.end());
  return desired;
}

ServicePieces make_pieces(const model::ServiceRow& service, const std::vector<const model::EndpointRow*>& tasks,
                          const View& view, const NetworkIndex& networks) {
  ServicePieces pieces;
  for (const model::PortRow& port : service.ports) {
    // With mode=host the number may be another service's here.
    if (port.host_mode && !is_entry(port, view)) continue;
    pieces.ports.push_back(make_port(service, port, view));
    add_bindings(pieces.bindings, port, view.gateway.node_number);
  }
  add_virtual_ips(pieces.virtual_ips, service, tasks, networks);
  return pieces;
}

dataplane::Endpoint make_endpoint(const model::EndpointRow& row, const View& view, const NetworkIndex& networks) {
  dataplane::Endpoint endpoint;
  endpoint.task_id = row.task_id;
  endpoint.node = row.node;
  endpoint.ingress_v4 = row.ingress_v4;
  endpoint.state = to_state(row.state);
  const auto add = [&](std::uint32_t vni, const IpAddress& address) {
    if (!address.is_unset()) endpoint.addresses.push_back({vni, address});
  };
  for (const model::NetworkRow* network : networks.ingress) {
    add(network->vni, row.ingress_v4);
    add(network->vni, row.ingress_v6);
  }
  for (const model::NetworkAddress& address : row.networks) {
    const model::NetworkRow* network = networks.find(address.network_id);
    if (network == nullptr) continue;
    add(network->vni, address.v4);
    add(network->vni, address.v6);
  }
  if (const auto link = view.host.attachments.find(row.task_id); link != view.host.attachments.end()) {
    endpoint.attachment = link->second;
  }
  return endpoint;
}

dataplane::Desired make_dataplane(const View& view) {
  dataplane::Desired desired;
  const NetworkIndex networks(view.tables);
  const EndpointIndex endpoints = index_endpoints(view.tables);
  desired.self = view.gateway.node_number;
  desired.uplinks = view.host.uplinks;
  desired.gateway_v4 = view.gateway.gateway_v4;
  desired.gateway_v6 = view.gateway.gateway_v6;
  desired.mesh_v4 = mesh_address(view.gateway.gateway_v4);
  desired.mesh_v6 = mesh_address(view.gateway.gateway_v6);
  desired.mesh_ifindex = view.host.mesh_ifindex;
  desired.mesh_peer_ifindex = view.host.mesh_peer_ifindex;
  desired.dns_port = kDnsPort;
  desired.cgroup_root = view.host.cgroup_root;
  for (const model::NodeRow& row : view.tables.nodes) desired.nodes.push_back(make_node(row, view));
  for (const model::NetworkRow& row : view.tables.networks) {
    desired.networks.push_back({row.vni, row.subnet_v4, row.subnet_v6, row.internal, row.ingress});
  }
  for (const model::EndpointRow& row : view.tables.endpoints) {
    if (row.state == model::EndpointState::kGone) continue;
    desired.endpoints.push_back(make_endpoint(row, view, networks));
  }
  for (const model::ServiceRow& service : view.tables.services) {
    const auto own = endpoints.find(service.id);
    ServicePieces pieces = make_pieces(
        service, own == endpoints.end() ? std::vector<const model::EndpointRow*>{} : own->second, view, networks);
    std::ranges::move(pieces.ports, std::back_inserter(desired.ports));
    std::ranges::move(pieces.bindings, std::back_inserter(desired.bindings));
    std::ranges::move(pieces.virtual_ips, std::back_inserter(desired.virtual_ips));
  }
  return desired;
}

}  // namespace mesh::agent
