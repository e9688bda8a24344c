// What the version of bpf/abi.h before this one laid out differently, so that its tables can be taken over (ADR 13).
// Layouts that are not here are as they were. When MESH_ABI_VERSION goes up, this becomes what that version was, and
// takeover.cpp what its rows become; tests/unit/abi/ has the whole layout of both.
#pragma once

#include "bpf/abi.h"

namespace mesh::dataplane::previous {

inline constexpr std::uint32_t kVersion = MESH_ABI_VERSION - 1;
static_assert(kVersion == 2);

// mesh_binding_counters
struct BindingTraffic {
  mesh_traffic in, out;
};
static_assert(sizeof(BindingTraffic) == 32);

// mesh_counters: what this version counts from here on was one row earlier.
inline constexpr std::uint32_t kFirstMovedCounter = MESH_COUNT_NOBODY_ANSWERED;

}  // namespace mesh::dataplane::previous
