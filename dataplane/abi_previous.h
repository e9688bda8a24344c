// What the version of bpf/abi.h before this one laid out differently, so that its tables can be taken over (ADR 13).
// Layouts that are not here are as they were. When MESH_ABI_VERSION goes up, this becomes what that version was, and
// takeover.cpp what its rows become; tests/unit/abi/ has the whole layout of both.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpf/abi.h"

namespace mesh::dataplane::previous {

inline constexpr std::uint32_t kVersion = MESH_ABI_VERSION - 1;
static_assert(kVersion == 3);

// mesh_config: it ended before the number of lines of mesh_endpoints4, which there was not. Endpoints of both families
// were in mesh_endpoints; those of IPv4 are written to mesh_endpoints4, and deleted there, by the first pass.
inline constexpr std::uint32_t kConfigSize = 248;
static_assert(kConfigSize == offsetof(mesh_config, endpoint_lines));

// mesh_backend_counters was a per-CPU array, with the index of mesh_backends.

}  // namespace mesh::dataplane::previous
