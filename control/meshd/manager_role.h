// What runs on a node that is a manager: the store and the Manager on it, the cluster port with its sessions, the CA
// and the join tokens. Calls Manager::tick soon after every event and carries out what it says.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "control/cluster/manager_server.h"
#include "control/cluster/messages.h"
#include "control/manager/manager.h"
#include "control/store/seal.h"

namespace boost::asio {
class io_context;
}

namespace mesh::meshd {

struct ManagerRoleOptions {
  std::string directory;  // <data dir>/cluster: store.db, seal.key
  SocketAddress listen;
  SocketAddress advertise;  // of the cluster port, as others reach it
};

// For a new cluster.
struct NewCluster {
  model::Cluster cluster;  // spec, pools
  cluster::CertificateAuthority authority;
  model::Availability availability = model::Availability::kActive;
  std::vector<Cidr> connected_routes;
  std::string hostname;
};

class ManagerRole {
 public:
  struct Callbacks {
    std::function<void(const cluster::ManagerMessage&)> to_local_agent;
    std::function<void()> on_change;  // the state, the tables or an acknowledgement changed
    std::function<void(const cluster::NodeIdentity&)> on_identity;  // this node's certificate was renewed
  };

  // With `create` the directory must hold no store; what was made is removed again on an error.
  static Result<std::unique_ptr<ManagerRole>> open(boost::asio::io_context& loop, ManagerRoleOptions options,
                                                   const cluster::NodeIdentity& identity, Callbacks callbacks,
                                                   std::optional<NewCluster> create);
  ~ManagerRole();
  ManagerRole(const ManagerRole&) = delete;
  ManagerRole& operator=(const ManagerRole&) = delete;
  // Removes the store and its key. No role may be open on the directory.
  static Status remove(const std::string& directory);

  [[nodiscard]] manager::Manager& manager();
  [[nodiscard]] Result<model::JoinTokens> join_tokens() const;
  Status rotate_tokens(bool worker, bool manager);
  // See api::Swarm.
  void ask_ports(const std::vector<model::PortConfig>& ports, const std::set<std::string>& nodes,
                 std::function<void(Status)> done);
  void ask_trace(const std::string& node_id, const model::TraceQuestion& question, std::function<bool()> wanted,
                 std::function<void(Result<model::TraceAnswer>)> done);
  void ask_probe(const std::string& node_id, const model::ProbeQuestion& question,
                 std::function<void(Result<model::ProbeAnswer>)> done);
  // Something was changed through manager(): tick soon, close sessions of removed nodes.
  void changed();

  // ---- this node's own agent: a session without a wire, with the same messages.
  Status open_local(const cluster::Hello& hello);
  void from_local_agent(cluster::AgentMessage message);

  [[nodiscard]] const std::map<std::string, model::TableVersion>& acknowledged() const;
  [[nodiscard]] cluster::ServerCounters counters() const;

 private:
  class Impl;
  explicit ManagerRole(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::meshd
