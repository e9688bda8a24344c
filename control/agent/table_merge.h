// Applying what a manager sends to the tables of this host. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>

#include "control/model/endpoint_table.h"

namespace mesh::agent {

// Whether a change is the next one for tables of version `have`. False: it only repeats what is held already (its
// version is not newer). kConflict: it starts from another version, so something was missed, and the tables must be
// asked for in full.
[[nodiscard]] Result<bool> is_next(const model::TableVersion& have, const model::TableChange& change);

// Applies changes in place to tables that nobody else changes meanwhile. Remembers where rows are, so that many changes
// cost what they touch; the order of rows means nothing.
class TableMerger {
 public:
  explicit TableMerger(model::EndpointTables& tables) : tables_(tables) {}

  // As is_next(); nothing is changed where it is not.
  Status merge(const model::TableChange& change);

  // By id: where a row is. Where it stays as long as the row is there, wherever the row goes.
  using Place = std::pair<const std::string, std::size_t>;
  [[nodiscard]] const Place* service(const std::string& id);
  [[nodiscard]] const Place* endpoint(const std::string& task_id);

 private:
  using Index = std::optional<std::unordered_map<std::string, std::size_t>>;  // by id; made when it is needed
  model::EndpointTables& tables_;
  Index nodes_, networks_, services_, endpoints_;
};

// One change.
Status merge(model::EndpointTables& tables, const model::TableChange& change);

}  // namespace mesh::agent
