// Applying what a manager sends to the tables of this host. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>

#include "control/model/endpoint_table.h"

namespace mesh::agent {

// Applies changes in place to tables that nobody else changes meanwhile. Remembers where rows are, so that many changes
// cost what they touch; the order of rows means nothing.
class TableMerger {
 public:
  explicit TableMerger(model::EndpointTables& tables) : tables_(tables) {}

  // kConflict, and nothing changed, when the change starts from another version than the tables have: then something
  // was missed, and the tables must be asked for in full. A change that only repeats what is held already (its version
  // is not newer) is ignored.
  Status merge(const model::TableChange& change);

 private:
  using Index = std::optional<std::unordered_map<std::string, std::size_t>>;  // by id; made when it is needed
  model::EndpointTables& tables_;
  Index nodes_, networks_, services_, endpoints_;
};

// One change.
Status merge(model::EndpointTables& tables, const model::TableChange& change);

}  // namespace mesh::agent
