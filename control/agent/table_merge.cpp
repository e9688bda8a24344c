#include "control/agent/table_merge.h"

#include <utility>

#include <fmt/format.h>

namespace mesh::agent {
namespace {

const std::string& key_of(const model::NodeRow& row) { return row.id; }
const std::string& key_of(const model::NetworkRow& row) { return row.id; }
const std::string& key_of(const model::ServiceRow& row) { return row.id; }
const std::string& key_of(const model::EndpointRow& row) { return row.task_id; }

template <class Row, class Index>
void merge_rows(std::vector<Row>& rows, Index& index, const std::vector<Row>& upsert,
                const std::vector<std::string>& removed) {
  if (upsert.empty() && removed.empty()) return;
  if (!index) {
    index.emplace();
    index->reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) index->emplace(key_of(rows[i]), i);
  }
  for (const std::string& id : removed) {
    const auto found = index->find(id);
    if (found == index->end()) continue;
    const std::size_t at = found->second;
    index->erase(found);
    if (at + 1 != rows.size()) {
      rows[at] = std::move(rows.back());
      (*index)[key_of(rows[at])] = at;
    }
    rows.pop_back();
  }
  for (const Row& row : upsert) {
    const auto [at, added] = index->emplace(key_of(row), rows.size());
    if (added) {
      rows.push_back(row);
    } else {
      rows[at->second] = row;
    }
  }
}

}  // namespace

Status TableMerger::merge(const model::TableChange& change) {
  const model::TableVersion have = tables_.version;
  const model::TableVersion reached = change.upsert.version;
  if (reached.epoch == have.epoch && reached <= have) return {};
  if (change.from != have) {
    return fail(ErrorKind::kConflict,
                fmt::format("table change from version {}.{}, but this host holds {}.{}: a change was missed",
                            change.from.epoch, change.from.version, have.epoch, have.version));
  }
  const model::EndpointTables& upsert = change.upsert;
  merge_rows(tables_.nodes, nodes_, upsert.nodes, change.removed_nodes);
  merge_rows(tables_.networks, networks_, upsert.networks, change.removed_networks);
  merge_rows(tables_.services, services_, upsert.services, change.removed_services);
  merge_rows(tables_.endpoints, endpoints_, upsert.endpoints, change.removed_endpoints);
  tables_.version = reached;
  return {};
}

Status merge(model::EndpointTables& tables, const model::TableChange& change) {
  return TableMerger(tables).merge(change);
}

}  // namespace mesh::agent
