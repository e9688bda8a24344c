// The answer of GET /mesh/status (control/api/mesh_routes.cpp).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "control/model/endpoint_table.h"

namespace mesh::meshctl {

// An interface that carries the mesh, as /info and /mesh/dataplane/status tell of it.
struct UplinkAnswer {
  std::string name, mode, why;
};
template <class Visit>
constexpr bool json_fields(const UplinkAnswer*, Visit&& visit) {
  using U = UplinkAnswer;
  return visit("Name", &U::name) && visit("Mode", &U::mode) && visit("Why", &U::why);
}

struct StatusSwarm {
  std::string state, node_id, node_addr, cluster_id, error;
  bool manager = false, session = false;
};
template <class Visit>
constexpr bool json_fields(const StatusSwarm*, Visit&& visit) {
  using S = StatusSwarm;
  return visit("State", &S::state) && visit("NodeID", &S::node_id) && visit("NodeAddr", &S::node_addr) &&
         visit("ClusterID", &S::cluster_id) && visit("Error", &S::error) && visit("Manager", &S::manager) &&
         visit("Session", &S::session);
}

struct StatusNode {
  std::string id, hostname, state, address;
  std::uint32_t number = 0;
  bool session = false;
  std::optional<model::TableVersion> acknowledged;
  std::vector<std::string> problems;
};
template <class Visit>
constexpr bool json_fields(const StatusNode*, Visit&& visit) {
  using S = StatusNode;
  return visit("ID", &S::id) && visit("Hostname", &S::hostname) && visit("State", &S::state) &&
         visit("Address", &S::address) && visit("Number", &S::number) && visit("Session", &S::session) &&
         visit("Acknowledged", &S::acknowledged) && visit("Problems", &S::problems);
}

struct StatusSessions {
  std::map<std::string, std::uint64_t> cluster_port;  // counters of a manager
};
template <class Visit>
constexpr bool json_fields(const StatusSessions*, Visit&& visit) {
  return visit("ClusterPort", &StatusSessions::cluster_port);
}

struct StatusAnswer {
  std::string version;
  StatusSwarm swarm;
  StatusSessions sessions;
  std::optional<model::TableVersion> tables;
  std::vector<StatusNode> nodes;
  std::vector<std::string> problems;  // of the cluster as a whole
};
template <class Visit>
constexpr bool json_fields(const StatusAnswer*, Visit&& visit) {
  using S = StatusAnswer;
  return visit("Version", &S::version) && visit("Swarm", &S::swarm) && visit("Sessions", &S::sessions) &&
         visit("Tables", &S::tables) && visit("Nodes", &S::nodes) && visit("Problems", &S::problems);
}

// Its kernel holds the newest tables.
inline bool is_current(const StatusNode& node, const std::optional<model::TableVersion>& newest) {
  return node.acknowledged && (!newest || *node.acknowledged >= *newest);
}

// "epoch/version".
inline std::string version_text(const model::TableVersion& version) {
  return std::to_string(version.epoch) + "/" + std::to_string(version.version);
}

}  // namespace mesh::meshctl
