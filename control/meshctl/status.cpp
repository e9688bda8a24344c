#include "control/meshctl/status.h"

#include <algorithm>
#include <cctype>
#include <map>

#include <fmt/format.h>

#include "base/text.h"
#include "control/meshctl/report.h"
#include "control/meshctl/rows.h"
#include "control/meshctl/table.h"
#include "control/meshctl/wording.h"
#include "control/model/endpoint_table.h"

namespace mesh::meshctl {
namespace {

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

std::string version_text(const model::TableVersion& version) {
  return fmt::format("{}/{}", version.epoch, version.version);
}

std::string role_of(const StatusSwarm& swarm) {
  if (swarm.state == "inactive") return "";
  return swarm.manager ? ", manager" : fmt::format(", worker, session {}", swarm.session ? "up" : "down");
}

// What a node's kernel holds, in words.
std::string tables_of(const StatusNode& node, const std::optional<model::TableVersion>& newest) {
  if (!node.session) return "no session";
  if (!node.acknowledged) return "none yet";
  const bool current = !newest || *node.acknowledged >= *newest;
  return version_text(*node.acknowledged) + (current ? " (current)" : " (behind)");
}

// "sessions 2, connections 5, handshakes failed 1": what never happened is left out.
std::string counters_text(const std::map<std::string, std::uint64_t>& counters) {
  std::string text;
  for (const auto& [name, count] : counters) {
    if (count == 0 && name != "Sessions") continue;
    std::string words = column_title(name);
    std::ranges::transform(words, words.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", words, count);
  }
  return text;
}

std::string node_table(StatusAnswer& answer) {
  std::ranges::sort(answer.nodes, [](const auto& a, const auto& b) { return natural_less(a.hostname, b.hostname); });
  std::string text = "NODE\tSTATUS\tADDRESS\tNUMBER\tTABLES IN KERNEL\n";
  std::string problems;
  for (const auto& problem : answer.problems) problems += fmt::format("  {}\n", problem);
  for (const auto& node : answer.nodes) {
    text += fmt::format("{}{}\t{}\t{}\t{}\t{}\n", node.hostname, node.id == answer.swarm.node_id ? " *" : "",
                        titled(node.state), node.address, node.number, tables_of(node, answer.tables));
    for (const auto& problem : node.problems) problems += fmt::format("  {}: {}\n", node.hostname, problem);
  }
  return align_columns(text) + (problems.empty() ? "" : "\nProblems:\n" + problems);
}

}  // namespace

Result<std::string> render_status(const Json& status, const std::vector<model::Service>& services) {
  auto answer = TRY_IN("status", decode<StatusAnswer>(status));
  std::string text =
      fmt::format("meshd:\t{}\nSwarm:\t{}{}\n", answer.version, answer.swarm.state, role_of(answer.swarm));
  if (!answer.swarm.node_id.empty())
    text += fmt::format("Node:\t{} {}\n", answer.swarm.node_id, answer.swarm.node_addr);
  if (answer.tables) text += fmt::format("Tables:\t{}\n", version_text(*answer.tables));
  if (const auto& counters = answer.sessions.cluster_port; !counters.empty()) {
    text += fmt::format("Cluster port:\t{}\n", counters_text(counters));
  }
  if (!answer.swarm.error.empty()) text += fmt::format("Error:\t{}\n", answer.swarm.error);
  std::string out = align_columns(text);
  if (!answer.nodes.empty()) out += "\n" + node_table(answer);
  if (!services.empty()) out += "\n" + TRY(render_list(kServiceView, "", service_rows(services, {})));
  return out;
}

Result<std::vector<std::string>> nodes_behind(const Json& status) {
  const auto answer = TRY_IN("status", decode<StatusAnswer>(status));
  std::vector<std::string> behind;
  for (const auto& node : answer.nodes) {
    const bool current = node.acknowledged && (!answer.tables || *node.acknowledged >= *answer.tables);
    if (node.session && !current) behind.push_back(node.hostname);
  }
  return behind;
}

}  // namespace mesh::meshctl
