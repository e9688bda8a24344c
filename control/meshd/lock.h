// One meshd per data directory.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace mesh::meshd {

// Makes the directory, takes the lock (flock on meshd.lock) and writes our pid into it; held until the Fd is closed.
// kConflict: "another meshd (pid N) uses …".
[[nodiscard]] Result<Fd> lock_data_dir(const std::string& data_dir);

}  // namespace mesh::meshd
