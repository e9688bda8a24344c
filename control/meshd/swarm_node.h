// This host as a member of a cluster, or of none: making one, entering, leaving, coming back after a restart; and the
// wire between the agent and its manager, over a session or, on the manager itself, in this process.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "control/agent/agent.h"
#include "control/api/swarm.h"
#include "control/cluster/agent_session.h"
#include "control/cluster/identity.h"
#include "control/meshd/manager_role.h"
#include "control/meshd/options.h"
#include "control/meshd/swarm_file.h"

namespace mesh::meshd {

class SwarmNode final : public api::Swarm {
 public:
  // `agent` is started and outlives this object.
  SwarmNode(boost::asio::io_context& loop, const Options& options, agent::Agent& agent);
  ~SwarmNode() override;
  SwarmNode(const SwarmNode&) = delete;
  SwarmNode& operator=(const SwarmNode&) = delete;

  // Takes up what the data directory says. Being in no swarm is no error.
  Status start();
  // Ends sessions and the cluster port; nothing is called back afterwards. The node stays a member.
  void stop();

  // ---- api::Swarm
  [[nodiscard]] api::SwarmInfo info() const override;
  [[nodiscard]] manager::Manager* manager() override;
  void init(const api::SwarmInit& request, std::function<void(Result<std::string>)> done) override;
  void join(const api::SwarmJoin& request, std::function<void(Status)> done) override;
  void leave(bool force, std::function<void(Status)> done) override;
  [[nodiscard]] Result<model::JoinTokens> join_tokens() override;
  Status rotate_tokens(bool worker, bool manager) override;
  void changed() override;
  void wait_until(std::function<bool()> condition, Duration timeout, std::function<void(bool)> done) override;
  void ask_ports(const std::vector<model::PortConfig>& ports, const std::set<std::string>& nodes,
                 std::function<void(Status)> done) override;
  void ask_trace(const std::string& node_id, const model::TraceQuestion& question, std::function<bool()> wanted,
                 std::function<void(Result<model::TraceAnswer>)> done) override;
  void ask_probe(const std::string& node_id, const model::ProbeQuestion& question,
                 std::function<void(Result<model::ProbeAnswer>)> done) override;
  [[nodiscard]] const std::map<std::string, model::TableVersion>& acknowledged() const override;
  [[nodiscard]] Json session_status() const override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::meshd
