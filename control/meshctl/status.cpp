#include "control/meshctl/status.h"

#include <algorithm>
#include <cctype>
#include <map>

#include <fmt/format.h>

#include "base/text.h"
#include "control/meshctl/report.h"
#include "control/meshctl/rows.h"
#include "control/meshctl/status_answer.h"
#include "control/meshctl/table.h"
#include "control/meshctl/wording.h"

namespace mesh::meshctl {
namespace {

std::string role_of(const StatusSwarm& swarm) {
  if (swarm.state == "inactive") return "";
  return swarm.manager ? ", manager" : fmt::format(", worker, session {}", swarm.session ? "up" : "down");
}

// What a node's kernel holds, in words.
std::string tables_of(const StatusNode& node, const std::optional<model::TableVersion>& newest) {
  if (!node.session) return "no session";
  if (!node.acknowledged) return "none yet";
  return version_text(*node.acknowledged) + (is_current(node, newest) ? " (current)" : " (behind)");
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
    if (node.session && !is_current(node, answer.tables)) behind.push_back(node.hostname);
  }
  return behind;
}

}  // namespace mesh::meshctl
