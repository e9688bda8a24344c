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
auto& index_of(const std::vector<Row>& rows, Index& index) {
  if (!index) {
    index.emplace();
    index->reserve(rows.size() + rows.size() / 8);  // the next ones do not make it grow
    for (std::size_t i = 0; i < rows.size(); ++i) index->emplace(key_of(rows[i]), i);
  }
  return *index;
}

template <class Row, class Index>
const TableMerger::Place* find(const std::vector<Row>& rows, Index& index, const std::string& id) {
  const auto& known = index_of(rows, index);
  const auto found = known.find(id);
  return found == known.end() ? nullptr : &*found;
}

template <class Row, class Index>
void merge_rows(std::vector<Row>& rows, Index& index, const std::vector<Row>& upsert,
                const std::vector<std::string>& removed) {
  if (upsert.empty() && removed.empty()) return;
  auto& known = index_of(rows, index);
  for (const std::string& id : removed) {
    const auto found = known.find(id);
    if (found == known.end()) continue;
    const std::size_t at = found->second;
    known.erase(found);
    if (at + 1 != rows.size()) {
      rows[at] = std::move(rows.back());
      known[key_of(rows[at])] = at;
    }
    rows.pop_back();
  }
  for (const Row& row : upsert) {
    const auto [at, added] = known.emplace(key_of(row), rows.size());
    if (added) {
      rows.push_back(row);
    } else {
      rows[at->second] = row;
    }
  }
}

}  // namespace

Result<bool> is_next(const model::TableVersion& have, const model::TableChange& change) {
  const model::TableVersion reached = change.upsert.version;
  if (reached.epoch == have.epoch && reached <= have) return false;
  if (change.from == have) return true;
  return fail(ErrorKind::kConflict,
              fmt::format("table change from version {}.{}, but this host holds {}.{}: a change was missed",
                          change.from.epoch, change.from.version, have.epoch, have.version));
}

Status TableMerger::merge(const model::TableChange& change) {
  if (!TRY(is_next(tables_.version, change))) return {};
  const model::EndpointTables& upsert = change.upsert;
  merge_rows(tables_.nodes, nodes_, upsert.nodes, change.removed_nodes);
  merge_rows(tables_.networks, networks_, upsert.networks, change.removed_networks);
  merge_rows(tables_.services, services_, upsert.services, change.removed_services);
  merge_rows(tables_.endpoints, endpoints_, upsert.endpoints, change.removed_endpoints);
  tables_.version = upsert.version;
  return {};
}

const TableMerger::Place* TableMerger::service(const std::string& id) { return find(tables_.services, services_, id); }

const TableMerger::Place* TableMerger::endpoint(const std::string& task_id) {
  return find(tables_.endpoints, endpoints_, task_id);
}

Status merge(model::EndpointTables& tables, const model::TableChange& change) {
  return TableMerger(tables).merge(change);
}

}  // namespace mesh::agent
