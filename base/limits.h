// Limits that more than one folder relies on, each with its reason. Limits of the packet path are in bpf/abi.h.
#pragma once

#include <cstddef>

#include "base/clock.h"

namespace mesh {

// Nesting of JSON: no Docker API object comes near 20; the parser recurses, so the stack is what is protected.
inline constexpr std::size_t kJsonDepthMax = 64;
// A file read whole (configuration, keys, /proc, image manifests): larger ones are a mistake or an attack.
inline constexpr std::size_t kFileBytesMax = std::size_t{16} << 20U;
// What is kept of a child's standard output and error, each: errors and JSON listings, never data.
inline constexpr std::size_t kProcessOutputBytesMax = std::size_t{4} << 20U;
// A child that has not answered by then (runc, nft, skopeo inspect) is stuck; pulls set their own.
inline constexpr Duration kProcessTimeout = std::chrono::seconds(30);
// Directory levels that remove_tree descends: one descriptor each, far below the soft limit of 1,024.
inline constexpr int kTreeDepthMax = 256;

}  // namespace mesh
