// Names of images, normalised as docker does (distribution/reference): "nginx" is docker.io/library/nginx:latest.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace mesh::agent {

struct ImageReference {
  std::string domain;      // "docker.io", "localhost:5000", "ghcr.io"
  std::string repository;  // "library/nginx": the path without the domain
  std::string tag;         // "latest"; empty when the reference has only a digest
  std::string digest;      // "sha256:…" or empty

  // kInvalid with the reason for anything docker would refuse: upper case in the path, bad tag, bad digest.
  [[nodiscard]] static Result<ImageReference> parse(std::string_view text);

  [[nodiscard]] std::string name() const;           // "docker.io/library/nginx"
  [[nodiscard]] std::string familiar_name() const;  // "nginx", "diamol/ch09-image-gallery", "localhost:5000/a"
  [[nodiscard]] std::string familiar() const;       // familiar name with :tag or @digest (both if both are there)
  [[nodiscard]] std::string to_string() const;      // full, with :tag and @digest
  // What skopeo takes: it refuses a tag beside a digest, and the digest decides.
  [[nodiscard]] std::string transport_name() const;
  bool operator==(const ImageReference&) const = default;
};

// "sha256:" and 64 lower-case hex digits.
[[nodiscard]] bool is_digest(std::string_view text);

}  // namespace mesh::agent
