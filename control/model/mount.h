// A mount of a container (Docker Engine API, "Mount").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/object.h"

namespace mesh::model {

struct BindOptions {
  std::string propagation;
  bool non_recursive = false;
  bool create_mountpoint = false;
  bool read_only_non_recursive = false;
  bool read_only_force_recursive = false;
  bool operator==(const BindOptions&) const = default;
};
constexpr auto json_fields(const BindOptions*) {
  return std::tuple{field("Propagation", &BindOptions::propagation, kOmitEmpty),
                    field("NonRecursive", &BindOptions::non_recursive, kOmitEmpty),
                    field("CreateMountpoint", &BindOptions::create_mountpoint, kOmitEmpty),
                    field("ReadOnlyNonRecursive", &BindOptions::read_only_non_recursive, kOmitEmpty),
                    field("ReadOnlyForceRecursive", &BindOptions::read_only_force_recursive, kOmitEmpty)};
}

struct VolumeOptions {
  bool no_copy = false;
  Labels labels;
  std::string subpath;
  std::optional<Driver> driver_config;
  bool operator==(const VolumeOptions&) const = default;
};
constexpr auto json_fields(const VolumeOptions*) {
  return std::tuple{
      field("NoCopy", &VolumeOptions::no_copy, kOmitEmpty), field("Labels", &VolumeOptions::labels, kOmitEmpty),
      field("Subpath", &VolumeOptions::subpath, kOmitEmpty), field("DriverConfig", &VolumeOptions::driver_config)};
}

struct TmpfsOptions {
  std::int64_t size_bytes = 0;
  std::uint32_t mode = 0;
  std::vector<std::vector<std::string>> options;
  bool operator==(const TmpfsOptions&) const = default;
};
constexpr auto json_fields(const TmpfsOptions*) {
  return std::tuple{field("SizeBytes", &TmpfsOptions::size_bytes, kOmitEmpty),
                    field("Mode", &TmpfsOptions::mode, kOmitEmpty),
                    field("Options", &TmpfsOptions::options, kOmitEmpty)};
}

struct Mount {
  std::string type;  // "bind", "volume", "tmpfs", "image", "npipe", "cluster"; "" is "volume"
  std::string source;
  std::string target;
  bool read_only = false;
  std::string consistency;
  std::optional<BindOptions> bind_options;
  std::optional<VolumeOptions> volume_options;
  std::optional<TmpfsOptions> tmpfs_options;
  Json image_options;
  Json cluster_options;
  bool operator==(const Mount&) const = default;
};
constexpr auto json_fields(const Mount*) {
  return std::tuple{field("Type", &Mount::type, kOmitEmpty),
                    field("Source", &Mount::source, kOmitEmpty),
                    field("Target", &Mount::target, kOmitEmpty),
                    field("ReadOnly", &Mount::read_only, kOmitEmpty),
                    field("Consistency", &Mount::consistency, kOmitEmpty),
                    field("BindOptions", &Mount::bind_options),
                    field("VolumeOptions", &Mount::volume_options),
                    field("ImageOptions", &Mount::image_options, kOmitEmpty),
                    field("TmpfsOptions", &Mount::tmpfs_options),
                    field("ClusterOptions", &Mount::cluster_options, kOmitEmpty)};
}

}  // namespace mesh::model
