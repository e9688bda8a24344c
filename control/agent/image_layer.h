// Unpacks one layer of an image into a directory that overlayfs can use as a lower directory.
//
// Source: OCI image-spec 1.0 "layer.md" (whiteouts), kernel Documentation/filesystems/overlayfs.rst (char device 0:0
// and trusted.overlay.opaque). Blocking; needs CAP_CHOWN, CAP_MKNOD and CAP_SYS_ADMIN (trusted.* attributes).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "control/agent/image_manifest.h"

namespace mesh::agent {

struct LayerLimits {
  std::uint64_t bytes_max = 64ULL << 30U;  // of file contents, so that a bomb ends before the disk is full
  std::uint64_t entries_max = 4'000'000;
};

struct UnpackedLayer {
  std::string diff_id;      // sha256 of the whole uncompressed stream
  std::uint64_t bytes = 0;  // of file contents
};

// Reads `blob_path`, checks its sha256 against `digest` and writes the tree below `target`, an existing empty
// directory. Refused (kInvalid): a wrong digest, a truncated or corrupt stream, a path that leaves the root (absolute,
// "..", or through a symbolic link). After an error `target` may hold a part; the caller removes it.
[[nodiscard]] Result<UnpackedLayer> unpack_layer(const std::string& blob_path, const std::string& digest,
                                                 LayerPacking packing, const std::string& target,
                                                 const LayerLimits& limits = {});

}  // namespace mesh::agent
