// The tables that every host programs into its kernel: nodes, networks, services and endpoints, with one (epoch,
// version). Made by the manager, carried by a session, turned into Desired values by the agent. Epoch grows when a
// manager starts; version counts changes within it: together they order tables across managers and restores.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/json.h"

namespace mesh::model {

struct TableVersion {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
  auto operator<=>(const TableVersion&) const = default;
};
constexpr auto json_fields(const TableVersion*) {
  return std::tuple{field("Epoch", &TableVersion::epoch), field("Version", &TableVersion::version)};
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
constexpr auto json_fields(const NodeRow*) {
  return std::tuple{field("ID", &NodeRow::id),
                    field("Number", &NodeRow::number),
                    field("Hostname", &NodeRow::hostname),
                    field("Address", &NodeRow::address),
                    field("Addresses", &NodeRow::addresses),
                    field("Live", &NodeRow::live)};
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
constexpr auto json_fields(const NetworkRow*) {
  return std::tuple{field("ID", &NetworkRow::id),
                    field("Name", &NetworkRow::name),
                    field("VNI", &NetworkRow::vni),
                    field("SubnetV4", &NetworkRow::subnet_v4),
                    field("SubnetV6", &NetworkRow::subnet_v6),
                    field("Internal", &NetworkRow::internal),
                    field("Ingress", &NetworkRow::ingress)};
}

// A name or an address on one network.
struct NetworkAddress {
  std::string network_id;
  IpAddress v4;
  IpAddress v6;  // unset: none
  std::vector<std::string> aliases;
  bool operator==(const NetworkAddress&) const = default;
};
constexpr auto json_fields(const NetworkAddress*) {
  return std::tuple{field("NetworkID", &NetworkAddress::network_id), field("V4", &NetworkAddress::v4),
                    field("V6", &NetworkAddress::v6), field("Aliases", &NetworkAddress::aliases, kOmitEmpty)};
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
constexpr auto json_fields(const EndpointRow*) {
  return std::tuple{field("TaskID", &EndpointRow::task_id),
                    field("ServiceID", &EndpointRow::service_id),
                    field("Name", &EndpointRow::name),
                    field("Hostname", &EndpointRow::hostname),
                    field("Node", &EndpointRow::node),
                    field("IngressV4", &EndpointRow::ingress_v4),
                    field("IngressV6", &EndpointRow::ingress_v6),
                    field("Networks", &EndpointRow::networks),
                    field("State", &EndpointRow::state),
                    field("Serving", &EndpointRow::serving)};
}

// dataplane::Ring on the wire: owners base64; previous and foreign sparse.
struct RingSlot {
  std::uint16_t slot = 0;
  std::uint8_t previous = 0x7f;
  std::vector<std::uint16_t> foreign;
  bool operator==(const RingSlot&) const = default;
};
constexpr auto json_fields(const RingSlot*) {
  return std::tuple{field("Slot", &RingSlot::slot), field("Previous", &RingSlot::previous),
                    field("Foreign", &RingSlot::foreign, kOmitEmpty)};
}

struct BackendRow {
  std::string task_id;
  std::uint16_t node = 0;     // 0: a hole, the index is not in use
  std::uint16_t binding = 0;  // index on that node
  EndpointState state = EndpointState::kReady;
  bool operator==(const BackendRow&) const = default;
};
constexpr auto json_fields(const BackendRow*) {
  return std::tuple{field("TaskID", &BackendRow::task_id), field("Node", &BackendRow::node),
                    field("Binding", &BackendRow::binding), field("State", &BackendRow::state)};
}

struct PortRow {
  std::string protocol;  // tcp, udp, sctp
  std::uint16_t published = 0;
  std::uint16_t target = 0;
  std::uint32_t ring_version = 0;
  Bytes owners;                 // size 2^k; index into backends
  std::vector<RingSlot> moved;  // slots with a previous owner or foreign hosts
  std::vector<BackendRow> backends;
  bool operator==(const PortRow&) const = default;
};
constexpr auto json_fields(const PortRow*) {
  return std::tuple{field("Protocol", &PortRow::protocol), field("Published", &PortRow::published),
                    field("Target", &PortRow::target),     field("RingVersion", &PortRow::ring_version),
                    field("Owners", &PortRow::owners),     field("Moved", &PortRow::moved, kOmitEmpty),
                    field("Backends", &PortRow::backends)};
}

struct ServiceRow {
  std::string id;
  std::string name;
  bool dnsrr = false;                       // name resolves to the tasks instead of the VIP
  std::vector<NetworkAddress> virtual_ips;  // one per network; aliases of the service there
  std::vector<PortRow> ports;
  bool operator==(const ServiceRow&) const = default;
};
constexpr auto json_fields(const ServiceRow*) {
  return std::tuple{field("ID", &ServiceRow::id), field("Name", &ServiceRow::name), field("DNSRR", &ServiceRow::dnsrr),
                    field("VirtualIPs", &ServiceRow::virtual_ips), field("Ports", &ServiceRow::ports)};
}

struct EndpointTables {
  TableVersion version;
  std::vector<NodeRow> nodes;
  std::vector<NetworkRow> networks;
  std::vector<ServiceRow> services;
  std::vector<EndpointRow> endpoints;
};
constexpr auto json_fields(const EndpointTables*) {
  return std::tuple{field("Version", &EndpointTables::version), field("Nodes", &EndpointTables::nodes),
                    field("Networks", &EndpointTables::networks), field("Services", &EndpointTables::services),
                    field("Endpoints", &EndpointTables::endpoints)};
}

// Rows that changed since a version, and ids (task ids for endpoints) that went. Applies to that version only.
struct TableChange {
  TableVersion from;
  EndpointTables upsert;  // its version is the one reached
  std::vector<std::string> removed_nodes, removed_networks, removed_services, removed_endpoints;
};
constexpr auto json_fields(const TableChange*) {
  return std::tuple{field("From", &TableChange::from),
                    field("Upsert", &TableChange::upsert),
                    field("RemovedNodes", &TableChange::removed_nodes, kOmitEmpty),
                    field("RemovedNetworks", &TableChange::removed_networks, kOmitEmpty),
                    field("RemovedServices", &TableChange::removed_services, kOmitEmpty),
                    field("RemovedEndpoints", &TableChange::removed_endpoints, kOmitEmpty)};
}

}  // namespace mesh::model
