// Applying what a manager sends to the tables of this host. Pure.
#pragma once

#include "control/model/endpoint_table.h"

namespace mesh::agent {

// Applies the change in place. kConflict, and nothing changed, when it starts from another version than `tables` has:
// then something was missed, and the tables must be asked for in full. A change that only repeats what is held already
// (its version is not newer) is ignored.
Status merge(model::EndpointTables& tables, const model::TableChange& change);

}  // namespace mesh::agent
