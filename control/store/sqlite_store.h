// The store of a cluster with one manager: one SQLite file in WAL mode, opened exclusively, so that two managers cannot
// share a data directory. SQLite: "Write-Ahead Logging", "PRAGMA synchronous".
#pragma once

#include <memory>
#include <string>

#include "control/store/store.h"

namespace mesh::store {

// Opens or makes `path` (mode 0600). kConflict: another process has it open; kInternal: it is damaged or no store of
// ours, and the message says what to do; kUnsupported: a newer meshd wrote it.
[[nodiscard]] Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path);

}  // namespace mesh::store
