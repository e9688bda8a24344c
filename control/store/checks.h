// What every implementation of Store checks in the same way.
#pragma once

#include <optional>
#include <vector>

#include "control/store/store.h"

namespace mesh::store {

[[nodiscard]] std::optional<Kind> parse_kind(std::string_view name);
// The limits of store.h.
[[nodiscard]] Status check_changes(const std::vector<Change>& changes);
// `actual`: version of the object now, 0 if it does not exist.
[[nodiscard]] Status check_precondition(const Precondition& precondition, std::uint64_t actual);

}  // namespace mesh::store
