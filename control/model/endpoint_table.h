// The tables that every host programs into its kernel: nodes, networks, services and endpoints, with one (epoch,
// version). Made by the manager, carried by a session, turned into Desired values by the agent. Epoch grows when a
// manager starts; version counts changes within it: together they order tables across managers and restores.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace mesh::model {

struct TableVersion {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
  auto operator<=>(const TableVersion&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TableVersion*, Visit&& visit) {
  return visit("Epoch", &TableVersion::epoch) && visit("Version", &TableVersion::version);
}

enum class EndpointState : std::uint8_t { kReady, kDraining, kGone };
constexpr std::array<EnumName<EndpointState>, 3> json_names(const EndpointState*) {
  return {{{EndpointState::kReady, "ready"}, {EndpointState::kDraining, "draining"}, {EndpointState::kGone, "gone"}}};
}

struct NodeRow {
  std::string id;
  std::uint16_t number = 0;
  std::string hostname;
  IpAddress address;                 // underlay: tunnel end point
  std::vector<IpAddress> addresses;  // all addresses on which it answers published ports
  bool live = true;
  bool operator==(const NodeRow&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NodeRow*, Visit&& visit) {
  return visit("ID", &NodeRow::id) && visit("Number", &NodeRow::number) && visit("Hostname", &NodeRow::hostname) &&
         visit("Address", &NodeRow::address) && visit("Addresses", &NodeRow::addresses) &&
         visit("Live", &NodeRow::live);
}

struct NetworkRow {
  std::string id;
  std::string name;
  std::uint32_t vni = 0;
  Cidr subnet_v4;
  std::optional<Cidr> subnet_v6;
  bool internal = false;
  bool ingress = false;
  bool operator==(const NetworkRow&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NetworkRow*, Visit&& visit) {
  return visit("ID", &NetworkRow::id) && visit("Name", &NetworkRow::name) && visit("VNI", &NetworkRow::vni) &&
         visit("SubnetV4", &NetworkRow::subnet_v4) && visit("SubnetV6", &NetworkRow::subnet_v6) &&
         visit("Internal", &NetworkRow::internal) && visit("Ingress", &NetworkRow::ingress);
}

// A name or an address on one network.
struct NetworkAddress {
  std::string network_id;
  IpAddress v4;
  IpAddress v6;  // unset: none
  std::vector<std::string> aliases;
  bool operator==(const NetworkAddress&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NetworkAddress*, Visit&& visit) {
  return visit("NetworkID", &NetworkAddress::network_id) && visit("V4", &NetworkAddress::v4) &&
         visit("V6", &NetworkAddress::v6) && visit("Aliases", &NetworkAddress::aliases, kOmitEmpty);
}

// One task as every host sees it. Rows exist from the task's allocation until it is gone everywhere; `serving` is true
// while the task is running and healthy (names and VIPs list it only then).
struct EndpointRow {
  std::string task_id;
  std::string service_id;
  std::string name;      // "image-gallery.1.<task id>"
  std::string hostname;  // of the container
  std::uint16_t node = 0;
  IpAddress ingress_v4, ingress_v6;
  std::vector<NetworkAddress> networks;  // without the ingress network
  EndpointState state = EndpointState::kReady;
  bool serving = false;
  bool operator==(const EndpointRow&) const = default;
};
template <class Visit>
constexpr bool json_fields(const EndpointRow*, Visit&& visit) {
  return visit("TaskID", &EndpointRow::task_id) && visit("ServiceID", &EndpointRow::service_id) &&
         visit("Name", &EndpointRow::name) && visit("Hostname", &EndpointRow::hostname) &&
         visit("Node", &EndpointRow::node) && visit("IngressV4", &EndpointRow::ingress_v4) &&
         visit("IngressV6", &EndpointRow::ingress_v6) && visit("Networks", &EndpointRow::networks) &&
         visit("State", &EndpointRow::state) && visit("Serving", &EndpointRow::serving);
}

// dataplane::Ring on the wire: owners base64; previous and foreign sparse.
struct RingSlot {
  std::uint16_t slot = 0;
  std::uint8_t previous = 0x7f;
  std::vector<std::uint16_t> foreign;
  bool operator==(const RingSlot&) const = default;
};
template <class Visit>
constexpr bool json_fields(const RingSlot*, Visit&& visit) {
  return visit("Slot", &RingSlot::slot) && visit("Previous", &RingSlot::previous) &&
         visit("Foreign", &RingSlot::foreign, kOmitEmpty);
}

struct BackendRow {
  std::string task_id;
  std::uint16_t node = 0;     // 0: a hole, the index is not in use
  std::uint16_t binding = 0;  // index on that node
  EndpointState state = EndpointState::kReady;
  bool operator==(const BackendRow&) const = default;
};
template <class Visit>
constexpr bool json_fields(const BackendRow*, Visit&& visit) {
  return visit("TaskID", &BackendRow::task_id) && visit("Node", &BackendRow::node) &&
         visit("Binding", &BackendRow::binding) && visit("State", &BackendRow::state);
}

// How answers to clients travel: through the host that the client's packets entered by, or directly.
enum class ReturnMode : std::uint8_t { kTunnel, kDsr };
constexpr std::array<EnumName<ReturnMode>, 2> json_names(const ReturnMode*) {
  return {{{ReturnMode::kTunnel, "tunnel"}, {ReturnMode::kDsr, "dsr"}}};
}

// Options (mesh_options.h) are absent where they are the default, so that tables of older versions mean the same.
struct PortRow {
  std::string protocol;  // tcp, udp, sctp
  std::uint16_t published = 0;
  std::uint16_t target = 0;
  std::uint32_t ring_version = 0;
  Bytes owners;                 // size 2^k; index into backends
  std::vector<RingSlot> moved;  // slots with a previous owner or foreign hosts
  std::vector<BackendRow> backends;
  ReturnMode return_mode = ReturnMode::kTunnel;
  std::uint32_t affinity_seconds = 0;
  bool prefer_local = false;
  bool host_mode = false;  // published with mode=host: other services may publish it on other nodes
  std::optional<std::vector<std::uint16_t>> entry_nodes;  // numbers of the nodes that answer, sorted; absent: every one
  std::vector<IpAddress> addresses;                       // that answer, of whichever node has them; both empty: all
  std::vector<std::string> interfaces;                    // whose addresses answer too, of whichever node has them
  std::vector<Cidr> allow;                                // clients; empty: everybody
  bool operator==(const PortRow&) const = default;
};
template <class Visit>
constexpr bool json_fields(const PortRow*, Visit&& visit) {
  return visit("Protocol", &PortRow::protocol) && visit("Published", &PortRow::published) &&
         visit("Target", &PortRow::target) && visit("RingVersion", &PortRow::ring_version) &&
         visit("Owners", &PortRow::owners) && visit("Moved", &PortRow::moved, kOmitEmpty) &&
         visit("Backends", &PortRow::backends) && visit("Return", &PortRow::return_mode, kOmitEmpty) &&
         visit("AffinitySeconds", &PortRow::affinity_seconds, kOmitEmpty) &&
         visit("PreferLocal", &PortRow::prefer_local, kOmitEmpty) && visit("EntryNodes", &PortRow::entry_nodes) &&
         visit("HostMode", &PortRow::host_mode, kOmitEmpty) && visit("Addresses", &PortRow::addresses, kOmitEmpty) &&
         visit("Interfaces", &PortRow::interfaces, kOmitEmpty) && visit("Allow", &PortRow::allow, kOmitEmpty);
}

struct ServiceRow {
  std::string id;
  std::string name;
  bool dnsrr = false;                       // name resolves to the tasks instead of the VIP
  std::vector<NetworkAddress> virtual_ips;  // one per network; aliases of the service there
  std::vector<PortRow> ports;
  bool operator==(const ServiceRow&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ServiceRow*, Visit&& visit) {
  return visit("ID", &ServiceRow::id) && visit("Name", &ServiceRow::name) && visit("DNSRR", &ServiceRow::dnsrr) &&
         visit("VirtualIPs", &ServiceRow::virtual_ips) && visit("Ports", &ServiceRow::ports);
}

struct EndpointTables {
  TableVersion version;
  std::vector<NodeRow> nodes;
  std::vector<NetworkRow> networks;
  std::vector<ServiceRow> services;
  std::vector<EndpointRow> endpoints;
};
template <class Visit>
constexpr bool json_fields(const EndpointTables*, Visit&& visit) {
  return visit("Version", &EndpointTables::version) && visit("Nodes", &EndpointTables::nodes) &&
         visit("Networks", &EndpointTables::networks) && visit("Services", &EndpointTables::services) &&
         visit("Endpoints", &EndpointTables::endpoints);
}

// Rows that changed since a version, and ids (task ids for endpoints) that went. Applies to that version only.
struct TableChange {
  TableVersion from;
  EndpointTables upsert;  // its version is the one reached
  std::vector<std::string> removed_nodes, removed_networks, removed_services, removed_endpoints;
};
template <class Visit>
constexpr bool json_fields(const TableChange*, Visit&& visit) {
  return visit("From", &TableChange::from) && visit("Upsert", &TableChange::upsert) &&
         visit("RemovedNodes", &TableChange::removed_nodes, kOmitEmpty) &&
         visit("RemovedNetworks", &TableChange::removed_networks, kOmitEmpty) &&
         visit("RemovedServices", &TableChange::removed_services, kOmitEmpty) &&
         visit("RemovedEndpoints", &TableChange::removed_endpoints, kOmitEmpty);
}

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::EndpointTables);
MESH_JSON_DECLARE(mesh::model::TableChange);
