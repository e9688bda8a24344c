// The tables of all hosts as a function of the view, and the difference of two of them.
#pragma once

#include "control/manager/draft.h"
#include "control/model/endpoint_table.h"

namespace mesh::manager {

// Rows in the order of their ids; the version is the caller's.
[[nodiscard]] model::EndpointTables make_tables(const store::View& view);
[[nodiscard]] bool same_rows(const model::EndpointTables& a, const model::EndpointTables& b);
// What turns `from` into `to`; both ordered as make_tables orders.
[[nodiscard]] model::TableChange difference(const model::EndpointTables& from, const model::EndpointTables& to);

}  // namespace mesh::manager
