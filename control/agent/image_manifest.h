// Manifests and configs of images: Docker Image Manifest V2 Schema 2 and OCI image-spec 1.0. Pure decoding.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace mesh::agent {

inline constexpr std::size_t kLayersMax = 127;               // as the Docker engine; overlayfs takes more
inline constexpr std::size_t kManifestBytesMax = 4U << 20U;  // the limit registries use

struct Descriptor {
  std::string media_type;
  std::string digest;
  std::uint64_t size = 0;
};
constexpr auto json_fields(const Descriptor*) {
  return std::tuple{field("mediaType", &Descriptor::media_type), field("digest", &Descriptor::digest),
                    field("size", &Descriptor::size)};
}

struct Manifest {
  int schema_version = 0;
  std::string media_type;  // may be absent in OCI manifests
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first
};
constexpr auto json_fields(const Manifest*) {
  return std::tuple{field("schemaVersion", &Manifest::schema_version), field("mediaType", &Manifest::media_type),
                    field("config", &Manifest::config), field("layers", &Manifest::layers)};
}

// HEALTHCHECK of an image; zero or absent means the default.
struct ImageHealthcheck {
  std::vector<std::string> test;  // "NONE" | "CMD", args… | "CMD-SHELL", command
  Duration interval{}, timeout{}, start_period{}, start_interval{};
  int retries = 0;
};
constexpr auto json_fields(const ImageHealthcheck*) {
  return std::tuple{field("Test", &ImageHealthcheck::test, kOmitEmpty),
                    field("Interval", &ImageHealthcheck::interval, kOmitEmpty),
                    field("Timeout", &ImageHealthcheck::timeout, kOmitEmpty),
                    field("StartPeriod", &ImageHealthcheck::start_period, kOmitEmpty),
                    field("StartInterval", &ImageHealthcheck::start_interval, kOmitEmpty),
                    field("Retries", &ImageHealthcheck::retries, kOmitEmpty)};
}

// What a container takes from its image ("config" object of the image config).
struct ImageRunConfig {
  std::vector<std::string> env, cmd, entrypoint, shell;
  std::string user, working_dir, stop_signal;
  std::map<std::string, Json> exposed_ports, volumes;  // keys "80/tcp", "/data"
  std::map<std::string, std::string> labels;
  std::optional<ImageHealthcheck> healthcheck;
};
constexpr auto json_fields(const ImageRunConfig*) {
  return std::tuple{field("Env", &ImageRunConfig::env),
                    field("Cmd", &ImageRunConfig::cmd),
                    field("Entrypoint", &ImageRunConfig::entrypoint),
                    field("Shell", &ImageRunConfig::shell, kOmitEmpty),
                    field("User", &ImageRunConfig::user),
                    field("WorkingDir", &ImageRunConfig::working_dir),
                    field("StopSignal", &ImageRunConfig::stop_signal, kOmitEmpty),
                    field("ExposedPorts", &ImageRunConfig::exposed_ports, kOmitEmpty),
                    field("Volumes", &ImageRunConfig::volumes, kOmitEmpty),
                    field("Labels", &ImageRunConfig::labels, kOmitEmpty),
                    field("Healthcheck", &ImageRunConfig::healthcheck)};
}

struct ImageRootfs {
  std::string type;
  std::vector<std::string> diff_ids;  // digests of the uncompressed layers, lowest first
};
constexpr auto json_fields(const ImageRootfs*) {
  return std::tuple{field("type", &ImageRootfs::type), field("diff_ids", &ImageRootfs::diff_ids)};
}

struct ImageConfig {
  std::string architecture, os, variant, author;
  Time created{};
  ImageRunConfig config;
  Json raw_config;  // the "config" object as it is
  ImageRootfs rootfs;
};
constexpr auto json_fields(const ImageConfig*) {
  return std::tuple{field("architecture", &ImageConfig::architecture),
                    field("os", &ImageConfig::os),
                    field("variant", &ImageConfig::variant),
                    field("author", &ImageConfig::author),
                    field("created", &ImageConfig::created),
                    field("config", &ImageConfig::config),
                    field("rootfs", &ImageConfig::rootfs)};
}

// How a layer's blob is packed, from its media type; kUnsupported for a foreign or encrypted layer.
enum class LayerPacking : std::uint8_t { kPlain, kGzip, kZstd };
[[nodiscard]] Result<LayerPacking> layer_packing(std::string_view media_type);

// Both check what later steps rely on: digests well formed, layer counts in the limit, one diff id per layer.
[[nodiscard]] Result<Manifest> decode_manifest(std::string_view text);
[[nodiscard]] Result<ImageConfig> decode_image_config(std::string_view text, const Manifest& manifest);

// The architecture of this machine as images name it: "amd64", "arm64", …
[[nodiscard]] std::string host_architecture();

}  // namespace mesh::agent
