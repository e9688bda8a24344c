// A host of the cluster (Docker Engine API, /nodes).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/object.h"

namespace mesh::model {

enum class NodeRole : std::uint8_t { kWorker, kManager };
constexpr std::array<EnumName<NodeRole>, 2> json_names(const NodeRole*) {
  return {{{NodeRole::kWorker, "worker"}, {NodeRole::kManager, "manager"}}};
}
enum class Availability : std::uint8_t { kActive, kPause, kDrain };
constexpr std::array<EnumName<Availability>, 3> json_names(const Availability*) {
  return {{{Availability::kActive, "active"}, {Availability::kPause, "pause"}, {Availability::kDrain, "drain"}}};
}

struct NodeSpec {
  std::string name;
  Labels labels;
  NodeRole role = NodeRole::kWorker;
  Availability availability = Availability::kActive;
  bool operator==(const NodeSpec&) const = default;
};
constexpr auto json_fields(const NodeSpec*) {
  return std::tuple{field("Name", &NodeSpec::name, kOmitEmpty), field("Labels", &NodeSpec::labels),
                    field("Role", &NodeSpec::role), field("Availability", &NodeSpec::availability)};
}

struct NodeResources {
  std::int64_t nano_cpus = 0;
  std::int64_t memory_bytes = 0;
  Json generic_resources;
  bool operator==(const NodeResources&) const = default;
};
constexpr auto json_fields(const NodeResources*) {
  return std::tuple{field("NanoCPUs", &NodeResources::nano_cpus, kOmitEmpty),
                    field("MemoryBytes", &NodeResources::memory_bytes, kOmitEmpty),
                    field("GenericResources", &NodeResources::generic_resources, kOmitEmpty)};
}

struct EnginePlugin {
  std::string type;  // "Network", "Volume", "Log"
  std::string name;
  bool operator==(const EnginePlugin&) const = default;
};
constexpr auto json_fields(const EnginePlugin*) {
  return std::tuple{field("Type", &EnginePlugin::type, kOmitEmpty), field("Name", &EnginePlugin::name, kOmitEmpty)};
}

struct EngineDescription {
  std::string engine_version;
  Labels labels;
  std::vector<EnginePlugin> plugins;
  bool operator==(const EngineDescription&) const = default;
};
constexpr auto json_fields(const EngineDescription*) {
  return std::tuple{field("EngineVersion", &EngineDescription::engine_version, kOmitEmpty),
                    field("Labels", &EngineDescription::labels, kOmitEmpty),
                    field("Plugins", &EngineDescription::plugins, kOmitEmpty)};
}

// What a host says about itself when it opens a session.
struct NodeDescription {
  std::string hostname;
  Platform platform;
  NodeResources resources;
  EngineDescription engine;
  TlsInfo tls_info;
  bool operator==(const NodeDescription&) const = default;
};
constexpr auto json_fields(const NodeDescription*) {
  return std::tuple{field("Hostname", &NodeDescription::hostname, kOmitEmpty),
                    field("Platform", &NodeDescription::platform), field("Resources", &NodeDescription::resources),
                    field("Engine", &NodeDescription::engine), field("TLSInfo", &NodeDescription::tls_info)};
}

enum class NodeState : std::uint8_t { kUnknown, kDown, kReady, kDisconnected };
constexpr std::array<EnumName<NodeState>, 4> json_names(const NodeState*) {
  return {{{NodeState::kUnknown, "unknown"},
           {NodeState::kDown, "down"},
           {NodeState::kReady, "ready"},
           {NodeState::kDisconnected, "disconnected"}}};
}

struct NodeStatus {
  NodeState state = NodeState::kUnknown;
  std::string message;
  std::string addr;  // "192.168.1.10"
  bool operator==(const NodeStatus&) const = default;
};
constexpr auto json_fields(const NodeStatus*) {
  return std::tuple{field("State", &NodeStatus::state), field("Message", &NodeStatus::message, kOmitEmpty),
                    field("Addr", &NodeStatus::addr, kOmitEmpty)};
}

enum class Reachability : std::uint8_t { kUnknown, kUnreachable, kReachable };
constexpr std::array<EnumName<Reachability>, 3> json_names(const Reachability*) {
  return {{{Reachability::kUnknown, "unknown"},
           {Reachability::kUnreachable, "unreachable"},
           {Reachability::kReachable, "reachable"}}};
}

struct ManagerStatus {
  bool leader = false;
  Reachability reachability = Reachability::kUnknown;
  std::string addr;  // "192.168.1.10:2377"
  bool operator==(const ManagerStatus&) const = default;
};
constexpr auto json_fields(const ManagerStatus*) {
  return std::tuple{field("Leader", &ManagerStatus::leader, kOmitEmpty),
                    field("Reachability", &ManagerStatus::reachability),
                    field("Addr", &ManagerStatus::addr, kOmitEmpty)};
}

// The certificate that the cluster's CA issued to this node last.
struct NodeCertificate {
  std::string serial;  // hex
  Time not_before;
  Time not_after;
  bool operator==(const NodeCertificate&) const = default;
};
constexpr auto json_fields(const NodeCertificate*) {
  return std::tuple{field("Serial", &NodeCertificate::serial), field("NotBefore", &NodeCertificate::not_before),
                    field("NotAfter", &NodeCertificate::not_after)};
}

struct NodeMesh {
  std::uint16_t number = 0;            // id on the wire, 1..4095; 0 before the first session
  IpAddress address;                   // underlay: tunnel end point and cluster address
  std::vector<IpAddress> addresses;    // every address of its uplinks
  std::vector<Cidr> connected_routes;  // prefixes the host reaches by itself; pools must not overlap them
  NodeCertificate certificate;
  bool operator==(const NodeMesh&) const = default;
};
constexpr auto json_fields(const NodeMesh*) {
  return std::tuple{field("Number", &NodeMesh::number), field("Address", &NodeMesh::address),
                    field("Addresses", &NodeMesh::addresses, kOmitEmpty),
                    field("ConnectedRoutes", &NodeMesh::connected_routes, kOmitEmpty),
                    field("Certificate", &NodeMesh::certificate)};
}

struct Node : Object {
  NodeSpec spec;
  NodeDescription description;
  NodeStatus status;
  std::optional<ManagerStatus> manager_status;
  std::optional<NodeMesh> mesh;  // always set in the store
  bool operator==(const Node&) const = default;
};
constexpr auto json_fields(const Node*) {
  return std::tuple_cat(
      object_fields(),
      std::tuple{field("Spec", &Node::spec), field("Description", &Node::description), field("Status", &Node::status),
                 field("ManagerStatus", &Node::manager_status), field("Mesh", &Node::mesh)});
}

}  // namespace mesh::model
