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
template <class Visit>
constexpr bool json_fields(const BindOptions*, Visit&& visit) {
  return visit("Propagation", &BindOptions::propagation, kOmitEmpty) &&
         visit("NonRecursive", &BindOptions::non_recursive, kOmitEmpty) &&
         visit("CreateMountpoint", &BindOptions::create_mountpoint, kOmitEmpty) &&
         visit("ReadOnlyNonRecursive", &BindOptions::read_only_non_recursive, kOmitEmpty) &&
         visit("ReadOnlyForceRecursive", &BindOptions::read_only_force_recursive, kOmitEmpty);
}

struct VolumeOptions {
  bool no_copy = false;
  Labels labels;
  std::string subpath;
  std::optional<Driver> driver_config;
  bool operator==(const VolumeOptions&) const = default;
};
template <class Visit>
constexpr bool json_fields(const VolumeOptions*, Visit&& visit) {
  return visit("NoCopy", &VolumeOptions::no_copy, kOmitEmpty) && visit("Labels", &VolumeOptions::labels, kOmitEmpty) &&
         visit("Subpath", &VolumeOptions::subpath, kOmitEmpty) && visit("DriverConfig", &VolumeOptions::driver_config);
}

struct TmpfsOptions {
  std::int64_t size_bytes = 0;
  std::uint32_t mode = 0;
  std::vector<std::vector<std::string>> options;
  bool operator==(const TmpfsOptions&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TmpfsOptions*, Visit&& visit) {
  return visit("SizeBytes", &TmpfsOptions::size_bytes, kOmitEmpty) && visit("Mode", &TmpfsOptions::mode, kOmitEmpty) &&
         visit("Options", &TmpfsOptions::options, kOmitEmpty);
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
template <class Visit>
constexpr bool json_fields(const Mount*, Visit&& visit) {
  return visit("Type", &Mount::type, kOmitEmpty) && visit("Source", &Mount::source, kOmitEmpty) &&
         visit("Target", &Mount::target, kOmitEmpty) && visit("ReadOnly", &Mount::read_only, kOmitEmpty) &&
         visit("Consistency", &Mount::consistency, kOmitEmpty) && visit("BindOptions", &Mount::bind_options) &&
         visit("VolumeOptions", &Mount::volume_options) && visit("ImageOptions", &Mount::image_options, kOmitEmpty) &&
         visit("TmpfsOptions", &Mount::tmpfs_options) && visit("ClusterOptions", &Mount::cluster_options, kOmitEmpty);
}

}  // namespace mesh::model
