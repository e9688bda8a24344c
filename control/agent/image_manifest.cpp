#include "control/agent/image_manifest.h"

#include <sys/utsname.h>

#include <fmt/format.h>

#include "control/agent/image_reference.h"

namespace mesh::agent {

Result<LayerPacking> layer_packing(std::string_view media_type) {
  struct Row {
    std::string_view media_type;
    LayerPacking packing;
  };
  static constexpr Row kRows[] = {
      {"application/vnd.docker.image.rootfs.diff.tar.gzip", LayerPacking::kGzip},
      {"application/vnd.docker.image.rootfs.diff.tar.zstd", LayerPacking::kZstd},
      {"application/vnd.docker.image.rootfs.diff.tar", LayerPacking::kPlain},
      {"application/vnd.oci.image.layer.v1.tar+gzip", LayerPacking::kGzip},
      {"application/vnd.oci.image.layer.v1.tar+zstd", LayerPacking::kZstd},
      {"application/vnd.oci.image.layer.v1.tar", LayerPacking::kPlain},
  };
  for (const Row& row : kRows) {
    if (row.media_type == media_type) return row.packing;
  }
  return fail(
      ErrorKind::kUnsupported,
      fmt::format("layer of media type \"{}\": only tar, tar+gzip and tar+zstd layers can be unpacked", media_type));
}

Result<Manifest> decode_manifest(std::string_view text) {
  const Json value = TRY_IN("image manifest", parse_json(text, kManifestBytesMax));
  Manifest manifest = TRY_IN("image manifest", decode<Manifest>(value));
  if (manifest.schema_version != 2) {
    return fail(ErrorKind::kUnsupported,
                fmt::format("image manifest of schema version {}: only version 2 is supported; push the image again "
                            "with a current tool",
                            manifest.schema_version));
  }
  if (value.as_object().contains("manifests")) {
    return fail(ErrorKind::kInvalid, "image manifest: an index where the manifest of one platform was expected");
  }
  if (!is_digest(manifest.config.digest))
    return fail(ErrorKind::kInvalid, "image manifest: config has no sha256 digest");
  if (manifest.layers.size() > kLayersMax) {
    return fail(ErrorKind::kExhausted,
                fmt::format("image has {} layers, the limit is {}", manifest.layers.size(), kLayersMax));
  }
  for (const Descriptor& layer : manifest.layers) {
    if (!is_digest(layer.digest)) return fail(ErrorKind::kInvalid, "image manifest: a layer has no sha256 digest");
    TRY(layer_packing(layer.media_type));
  }
  return manifest;
}

Result<ImageConfig> decode_image_config(std::string_view text, const Manifest& manifest) {
  const Json value = TRY_IN("image config", parse_json(text, kManifestBytesMax));
  ImageConfig config = TRY_IN("image config", decode<ImageConfig>(value));
  if (const Json* raw = value.as_object().if_contains("config"); raw != nullptr && raw->is_object()) {
    config.raw_config = *raw;
  } else {
    config.raw_config = JsonObject{};
  }
  if (config.rootfs.diff_ids.size() != manifest.layers.size()) {
    return fail(ErrorKind::kInvalid, fmt::format("image config names {} layers, its manifest {}",
                                                 config.rootfs.diff_ids.size(), manifest.layers.size()));
  }
  for (const std::string& diff_id : config.rootfs.diff_ids) {
    if (!is_digest(diff_id)) return fail(ErrorKind::kInvalid, fmt::format("image config: bad diff id \"{}\"", diff_id));
  }
  return config;
}

std::string host_architecture() {
  utsname name{};
  uname(&name);
  std::string machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine.starts_with("armv")) return "arm";
  if (machine == "i686" || machine == "i386") return "386";
  return machine;  // ppc64le, s390x and riscv64 are named alike
}

}  // namespace mesh::agent
