// What the API needs of this host's membership in a cluster: making, entering and leaving one, and the manager if this
// node is one. Implemented by meshd's wiring. Everything on the loop's thread; nothing blocks; a `done` is called once.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/model/cluster.h"
#include "control/model/direct_probe.h"
#include "control/model/endpoint_table.h"
#include "control/model/node.h"
#include "control/model/port.h"
#include "control/model/trace.h"

namespace mesh::manager {
class Manager;
}

namespace mesh::api {

enum class SwarmState : std::uint8_t { kInactive, kPending, kActive, kError, kLocked };
constexpr std::array<EnumName<SwarmState>, 5> json_names(const SwarmState*) {
  return {{{SwarmState::kInactive, "inactive"},
           {SwarmState::kPending, "pending"},
           {SwarmState::kActive, "active"},
           {SwarmState::kError, "error"},
           {SwarmState::kLocked, "locked"}}};
}

// A manager as `info` lists it.
struct RemoteManager {
  std::string node_id;
  std::string addr;  // "192.168.1.10:2377"
};
template <class Visit>
constexpr bool json_fields(const RemoteManager*, Visit&& visit) {
  return visit("NodeID", &RemoteManager::node_id) && visit("Addr", &RemoteManager::addr);
}

struct SwarmInfo {
  SwarmState state = SwarmState::kInactive;
  std::string node_id;
  std::string node_addr;  // "192.168.1.10"
  std::string cluster_id;
  std::string error;  // why the state is pending or error
  std::vector<RemoteManager> managers;
  bool session_up = false;  // with a manager, or this node is one
};

// POST /swarm/init, Docker's keys.
struct SwarmInit {
  std::string listen_addr, advertise_addr, data_path_addr;
  std::uint32_t data_path_port = 0;
  std::vector<std::string> default_addr_pool;
  std::uint32_t subnet_size = 0;
  bool force_new_cluster = false;
  bool auto_lock_managers = false;
  std::string availability;  // "": active, as older clients say it
  model::ClusterSpec spec;
};
template <class Visit>
constexpr bool json_fields(const SwarmInit*, Visit&& visit) {
  using S = SwarmInit;
  return visit("ListenAddr", &S::listen_addr) && visit("AdvertiseAddr", &S::advertise_addr) &&
         visit("DataPathAddr", &S::data_path_addr) && visit("DataPathPort", &S::data_path_port) &&
         visit("DefaultAddrPool", &S::default_addr_pool) && visit("SubnetSize", &S::subnet_size) &&
         visit("ForceNewCluster", &S::force_new_cluster) && visit("AutoLockManagers", &S::auto_lock_managers) &&
         visit("Availability", &S::availability) && visit("Spec", &S::spec);
}

// POST /swarm/join.
struct SwarmJoin {
  std::string listen_addr, advertise_addr, data_path_addr;
  std::vector<std::string> remote_addrs;  // "HOST[:PORT]"
  std::string join_token;
  std::string availability;  // "": active
};
template <class Visit>
constexpr bool json_fields(const SwarmJoin*, Visit&& visit) {
  using S = SwarmJoin;
  return visit("ListenAddr", &S::listen_addr) && visit("AdvertiseAddr", &S::advertise_addr) &&
         visit("DataPathAddr", &S::data_path_addr) && visit("RemoteAddrs", &S::remote_addrs) &&
         visit("JoinToken", &S::join_token) && visit("Availability", &S::availability);
}

class Swarm {
 public:
  virtual ~Swarm() = default;

  [[nodiscard]] virtual SwarmInfo info() const = 0;
  // Null if this node is no manager.
  [[nodiscard]] virtual manager::Manager* manager() = 0;

  // The node's id. kConflict: already in a swarm.
  virtual void init(const SwarmInit& request, std::function<void(Result<std::string>)> done) = 0;
  virtual void join(const SwarmJoin& request, std::function<void(Status)> done) = 0;
  // A manager leaves only with `force`: the cluster's state goes with it.
  virtual void leave(bool force, std::function<void(Status)> done) = 0;

  // Managers only.
  [[nodiscard]] virtual Result<model::JoinTokens> join_tokens() = 0;
  virtual Status rotate_tokens(bool worker, bool manager) = 0;

  // The manager was told something: its tick is due soon. To be called after every change through manager().
  virtual void changed() = 0;
  // Calls `done(true)` as soon as `condition` holds (asked at once and after every change), `done(false)` after
  // `timeout`.
  virtual void wait_until(std::function<bool()> condition, Duration timeout, std::function<void(bool)> done) = 0;
  // Managers only. Asks those of the nodes that have a session whether they can publish these ports (protocol and
  // number are read).
  // `done` comes later: kConflict names the port, the host and what uses it there; success when all have answered or
  // had two seconds.
  virtual void ask_ports(const std::vector<model::PortConfig>& ports, const std::set<std::string>& nodes,
                         std::function<void(Status)> done) = 0;
  // Managers only. Asks one node, which has a session, for its part of a packet's walk. One that waits for a packet
  // ends soon after its answer is no more `wanted`; `done` may not be called then.
  virtual void ask_trace(const std::string& node_id, const model::TraceQuestion& question, std::function<bool()> wanted,
                         std::function<void(Result<model::TraceAnswer>)> done) = 0;
  // The same for a step of the probing of direct answers.
  virtual void ask_probe(const std::string& node_id, const model::ProbeQuestion& question,
                         std::function<void(Result<model::ProbeAnswer>)> done) = 0;
  // Node id -> version of the tables that its kernel holds, for nodes with a session.
  [[nodiscard]] virtual const std::map<std::string, model::TableVersion>& acknowledged() const = 0;
  // Counters of the cluster port and the session, for `meshctl status`.
  [[nodiscard]] virtual Json session_status() const = 0;
};

}  // namespace mesh::api
