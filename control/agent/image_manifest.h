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
template <class Visit>
constexpr bool json_fields(const Descriptor*, Visit&& visit) {
  return visit("mediaType", &Descriptor::media_type) && visit("digest", &Descriptor::digest) &&
         visit("size", &Descriptor::size);
}

struct Manifest {
  int schema_version = 0;
  std::string media_type;  // may be absent in OCI manifests
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first
};
template <class Visit>
constexpr bool json_fields(const Manifest*, Visit&& visit) {
  return visit("schemaVersion", &Manifest::schema_version) && visit("mediaType", &Manifest::media_type) &&
         visit("config", &Manifest::config) && visit("layers", &Manifest::layers);
}

// HEALTHCHECK of an image; zero or absent means the default.
struct ImageHealthcheck {
  std::vector<std::string> test;  // "NONE" | "CMD", args… | "CMD-SHELL", command
  Duration interval{}, timeout{}, start_period{}, start_interval{};
  int retries = 0;
};
template <class Visit>
constexpr bool json_fields(const ImageHealthcheck*, Visit&& visit) {
  return visit("Test", &ImageHealthcheck::test, kOmitEmpty) &&
         visit("Interval", &ImageHealthcheck::interval, kOmitEmpty) &&
         visit("Timeout", &ImageHealthcheck::timeout, kOmitEmpty) &&
         visit("StartPeriod", &ImageHealthcheck::start_period, kOmitEmpty) &&
         visit("StartInterval", &ImageHealthcheck::start_interval, kOmitEmpty) &&
         visit("Retries", &ImageHealthcheck::retries, kOmitEmpty);
}

// What a container takes from its image ("config" object of the image config).
struct ImageRunConfig {
  std::vector<std::string> env, cmd, entrypoint, shell;
  std::string user, working_dir, stop_signal;
  std::map<std::string, Json> exposed_ports, volumes;  // keys "80/tcp", "/data"
  std::map<std::string, std::string> labels;
  std::optional<ImageHealthcheck> healthcheck;
};
template <class Visit>
constexpr bool json_fields(const ImageRunConfig*, Visit&& visit) {
  return visit("Env", &ImageRunConfig::env) && visit("Cmd", &ImageRunConfig::cmd) &&
         visit("Entrypoint", &ImageRunConfig::entrypoint) && visit("Shell", &ImageRunConfig::shell, kOmitEmpty) &&
         visit("User", &ImageRunConfig::user) && visit("WorkingDir", &ImageRunConfig::working_dir) &&
         visit("StopSignal", &ImageRunConfig::stop_signal, kOmitEmpty) &&
         visit("ExposedPorts", &ImageRunConfig::exposed_ports, kOmitEmpty) &&
         visit("Volumes", &ImageRunConfig::volumes, kOmitEmpty) &&
         visit("Labels", &ImageRunConfig::labels, kOmitEmpty) && visit("Healthcheck", &ImageRunConfig::healthcheck);
}

struct ImageRootfs {
  std::string type;
  std::vector<std::string> diff_ids;  // digests of the uncompressed layers, lowest first
};
template <class Visit>
constexpr bool json_fields(const ImageRootfs*, Visit&& visit) {
  return visit("type", &ImageRootfs::type) && visit("diff_ids", &ImageRootfs::diff_ids);
}

struct ImageConfig {
  std::string architecture, os, variant, author;
  Time created{};
  ImageRunConfig config;
  Json raw_config;  // the "config" object as it is
  ImageRootfs rootfs;
};
template <class Visit>
constexpr bool json_fields(const ImageConfig*, Visit&& visit) {
  return visit("architecture", &ImageConfig::architecture) && visit("os", &ImageConfig::os) &&
         visit("variant", &ImageConfig::variant) && visit("author", &ImageConfig::author) &&
         visit("created", &ImageConfig::created) && visit("config", &ImageConfig::config) &&
         visit("rootfs", &ImageConfig::rootfs);
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
