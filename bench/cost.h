// What work costs this process.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace mesh::bench {

// Milliseconds: of processor time of this process, and of the clock on the wall.
[[nodiscard]] double processor_ms();
[[nodiscard]] double wall_ms();
// Memory of it that is in use now.
[[nodiscard]] Result<std::uint64_t> resident_bytes();

// As many open files as this process may have: a published port is held by a placeholder socket or two.
void want_many_files();

}  // namespace mesh::bench
