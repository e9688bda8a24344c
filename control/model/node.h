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
template <class Visit>
constexpr bool json_fields(const NodeSpec*, Visit&& visit) {
  return visit("Name", &NodeSpec::name, kOmitEmpty) && visit("Labels", &NodeSpec::labels) &&
         visit("Role", &NodeSpec::role) && visit("Availability", &NodeSpec::availability);
}

struct NodeResources {
  std::int64_t nano_cpus = 0;
  std::int64_t memory_bytes = 0;
  Json generic_resources;
  bool operator==(const NodeResources&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NodeResources*, Visit&& visit) {
  return visit("NanoCPUs", &NodeResources::nano_cpus, kOmitEmpty) &&
         visit("MemoryBytes", &NodeResources::memory_bytes, kOmitEmpty) &&
         visit("GenericResources", &NodeResources::generic_resources, kOmitEmpty);
}

struct EnginePlugin {
  std::string type;  // "Network", "Volume", "Log"
  std::string name;
  bool operator==(const EnginePlugin&) const = default;
};
template <class Visit>
constexpr bool json_fields(const EnginePlugin*, Visit&& visit) {
  return visit("Type", &EnginePlugin::type, kOmitEmpty) && visit("Name", &EnginePlugin::name, kOmitEmpty);
}

struct EngineDescription {
  std::string engine_version;
  Labels labels;
  std::vector<EnginePlugin> plugins;
  bool operator==(const EngineDescription&) const = default;
};
template <class Visit>
constexpr bool json_fields(const EngineDescription*, Visit&& visit) {
  return visit("EngineVersion", &EngineDescription::engine_version, kOmitEmpty) &&
         visit("Labels", &EngineDescription::labels, kOmitEmpty) &&
         visit("Plugins", &EngineDescription::plugins, kOmitEmpty);
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
template <class Visit>
constexpr bool json_fields(const NodeDescription*, Visit&& visit) {
  return visit("Hostname", &NodeDescription::hostname, kOmitEmpty) && visit("Platform", &NodeDescription::platform) &&
         visit("Resources", &NodeDescription::resources) && visit("Engine", &NodeDescription::engine) &&
         visit("TLSInfo", &NodeDescription::tls_info);
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
template <class Visit>
constexpr bool json_fields(const NodeStatus*, Visit&& visit) {
  return visit("State", &NodeStatus::state) && visit("Message", &NodeStatus::message, kOmitEmpty) &&
         visit("Addr", &NodeStatus::addr, kOmitEmpty);
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
template <class Visit>
constexpr bool json_fields(const ManagerStatus*, Visit&& visit) {
  return visit("Leader", &ManagerStatus::leader, kOmitEmpty) && visit("Reachability", &ManagerStatus::reachability) &&
         visit("Addr", &ManagerStatus::addr, kOmitEmpty);
}

// The certificate that the cluster's CA issued to this node last.
struct NodeCertificate {
  std::string serial;  // hex
  Time not_before;
  Time not_after;
  bool operator==(const NodeCertificate&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NodeCertificate*, Visit&& visit) {
  return visit("Serial", &NodeCertificate::serial) && visit("NotBefore", &NodeCertificate::not_before) &&
         visit("NotAfter", &NodeCertificate::not_after);
}

struct NodeMesh {
  std::uint16_t number = 0;             // id on the wire, 1..4095; 0 before the first session
  IpAddress address;                    // underlay: tunnel end point and cluster address
  std::vector<IpAddress> addresses;     // every address of its uplinks
  std::vector<std::string> interfaces;  // their names
  std::vector<Cidr> connected_routes;   // prefixes the host reaches by itself; pools must not overlap them
  NodeCertificate certificate;
  bool operator==(const NodeMesh&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NodeMesh*, Visit&& visit) {
  return visit("Number", &NodeMesh::number) && visit("Address", &NodeMesh::address) &&
         visit("Addresses", &NodeMesh::addresses, kOmitEmpty) &&
         visit("Interfaces", &NodeMesh::interfaces, kOmitEmpty) &&
         visit("ConnectedRoutes", &NodeMesh::connected_routes, kOmitEmpty) &&
         visit("Certificate", &NodeMesh::certificate);
}

struct Node : Object {
  NodeSpec spec;
  NodeDescription description;
  NodeStatus status;
  std::optional<ManagerStatus> manager_status;
  std::optional<NodeMesh> mesh;  // always set in the store
  bool operator==(const Node&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Node*, Visit&& visit) {
  return object_fields(visit) && visit("Spec", &Node::spec) && visit("Description", &Node::description) &&
         visit("Status", &Node::status) && visit("ManagerStatus", &Node::manager_status) && visit("Mesh", &Node::mesh);
}

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::NodeSpec);
MESH_JSON_DECLARE(mesh::model::NodeDescription);
MESH_JSON_DECLARE(mesh::model::Node);
