#include "control/agent/table_merge.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

namespace mesh::agent {
namespace {

const std::string& key_of(const model::NodeRow& row) { return row.id; }
const std::string& key_of(const model::NetworkRow& row) { return row.id; }
const std::string& key_of(const model::ServiceRow& row) { return row.id; }
const std::string& key_of(const model::EndpointRow& row) { return row.task_id; }

template <class Row>
void merge_rows(std::vector<Row>& rows, const std::vector<Row>& upsert, const std::vector<std::string>& removed) {
  if (upsert.empty() && removed.empty()) return;
  const std::unordered_set<std::string> gone(removed.begin(), removed.end());
  std::erase_if(rows, [&](const Row& row) { return gone.contains(key_of(row)); });
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < rows.size(); ++i) index.emplace(key_of(rows[i]), i);
  for (const Row& row : upsert) {
    const auto [at, added] = index.emplace(key_of(row), rows.size());
    if (added) {
      rows.push_back(row);
    } else {
      rows[at->second] = row;
    }
  }
}

}  // namespace

Status merge(model::EndpointTables& tables, const model::TableChange& change) {
  const model::TableVersion have = tables.version;
  const model::TableVersion reached = change.upsert.version;
  if (reached.epoch == have.epoch && reached <= have) return {};
  if (change.from != have) {
    return fail(ErrorKind::kConflict,
                fmt::format("table change from version {}.{}, but this host holds {}.{}: a change was missed",
                            change.from.epoch, change.from.version, have.epoch, have.version));
  }
  merge_rows(tables.nodes, change.upsert.nodes, change.removed_nodes);
  merge_rows(tables.networks, change.upsert.networks, change.removed_networks);
  merge_rows(tables.services, change.upsert.services, change.removed_services);
  merge_rows(tables.endpoints, change.upsert.endpoints, change.removed_endpoints);
  tables.version = reached;
  return {};
}

}  // namespace mesh::agent
