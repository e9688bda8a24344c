// What every task of a service looks like (Docker Engine API, "TaskSpec"; ServiceSpec.TaskTemplate).
// Enums of a spec have a value "unset" that is written as nothing and read from "": the docker CLI sends both.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/container_spec.h"

namespace mesh::model {

// CPU in 1e-9 of a processor, memory in bytes; 0 is "no limit".
struct ResourceLimits {
  std::int64_t nano_cpus = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t pids = 0;
  bool operator==(const ResourceLimits&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ResourceLimits*, Visit&& visit) {
  return visit("NanoCPUs", &ResourceLimits::nano_cpus, kOmitEmpty) &&
         visit("MemoryBytes", &ResourceLimits::memory_bytes, kOmitEmpty) &&
         visit("Pids", &ResourceLimits::pids, kOmitEmpty);
}

struct ResourceReservations {
  std::int64_t nano_cpus = 0;
  std::int64_t memory_bytes = 0;
  Json generic_resources;
  bool operator==(const ResourceReservations&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ResourceReservations*, Visit&& visit) {
  return visit("NanoCPUs", &ResourceReservations::nano_cpus, kOmitEmpty) &&
         visit("MemoryBytes", &ResourceReservations::memory_bytes, kOmitEmpty) &&
         visit("GenericResources", &ResourceReservations::generic_resources, kOmitEmpty);
}

struct Resources {
  std::optional<ResourceLimits> limits;
  std::optional<ResourceReservations> reservations;
  std::optional<std::int64_t> swap_bytes;
  std::optional<std::int64_t> memory_swappiness;
  bool operator==(const Resources&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Resources*, Visit&& visit) {
  return visit("Limits", &Resources::limits) && visit("Reservations", &Resources::reservations) &&
         visit("SwapBytes", &Resources::swap_bytes) && visit("MemorySwappiness", &Resources::memory_swappiness);
}

enum class RestartCondition : std::uint8_t { kUnset, kAny, kOnFailure, kNone };
constexpr std::array<EnumName<RestartCondition>, 4> json_names(const RestartCondition*) {
  return {{{RestartCondition::kUnset, ""},
           {RestartCondition::kAny, "any"},
           {RestartCondition::kOnFailure, "on-failure"},
           {RestartCondition::kNone, "none"}}};
}

struct RestartPolicy {
  RestartCondition condition = RestartCondition::kUnset;  // unset: any
  std::optional<Duration> delay;                          // absent: 5 s
  std::optional<std::uint64_t> max_attempts;              // absent or 0: without end
  std::optional<Duration> window;                         // absent or 0: all attempts count
  bool operator==(const RestartPolicy&) const = default;
};
template <class Visit>
constexpr bool json_fields(const RestartPolicy*, Visit&& visit) {
  return visit("Condition", &RestartPolicy::condition, kOmitEmpty) && visit("Delay", &RestartPolicy::delay) &&
         visit("MaxAttempts", &RestartPolicy::max_attempts) && visit("Window", &RestartPolicy::window);
}

struct SpreadOver {
  std::string descriptor;  // "node.labels.zone"
  bool operator==(const SpreadOver&) const = default;
};
template <class Visit>
constexpr bool json_fields(const SpreadOver*, Visit&& visit) {
  return visit("SpreadDescriptor", &SpreadOver::descriptor);
}
struct PlacementPreference {
  std::optional<SpreadOver> spread;
  bool operator==(const PlacementPreference&) const = default;
};
template <class Visit>
constexpr bool json_fields(const PlacementPreference*, Visit&& visit) {
  return visit("Spread", &PlacementPreference::spread);
}

struct Placement {
  std::vector<std::string> constraints;  // "node.labels.disk == ssd"
  std::vector<PlacementPreference> preferences;
  std::uint64_t max_replicas = 0;  // per node; 0: no limit
  std::vector<Platform> platforms;
  bool operator==(const Placement&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Placement*, Visit&& visit) {
  return visit("Constraints", &Placement::constraints, kOmitEmpty) &&
         visit("Preferences", &Placement::preferences, kOmitEmpty) &&
         visit("MaxReplicas", &Placement::max_replicas, kOmitEmpty) &&
         visit("Platforms", &Placement::platforms, kOmitEmpty);
}

struct NetworkAttachmentConfig {
  std::string target;  // network id; the API also takes a name and replaces it
  std::vector<std::string> aliases;
  Options driver_opts;
  bool operator==(const NetworkAttachmentConfig&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NetworkAttachmentConfig*, Visit&& visit) {
  return visit("Target", &NetworkAttachmentConfig::target, kOmitEmpty) &&
         visit("Aliases", &NetworkAttachmentConfig::aliases, kOmitEmpty) &&
         visit("DriverOpts", &NetworkAttachmentConfig::driver_opts, kOmitEmpty);
}

struct TaskSpec {
  std::optional<ContainerSpec> container_spec;
  Json plugin_spec;
  Json network_attachment_spec;
  std::optional<Resources> resources;
  std::optional<RestartPolicy> restart_policy;
  std::optional<Placement> placement;
  std::vector<NetworkAttachmentConfig> networks;
  std::optional<Driver> log_driver;
  std::uint64_t force_update = 0;  // any other value replaces every task
  std::string runtime;
  bool operator==(const TaskSpec&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TaskSpec*, Visit&& visit) {
  return visit("ContainerSpec", &TaskSpec::container_spec) && visit("PluginSpec", &TaskSpec::plugin_spec, kOmitEmpty) &&
         visit("NetworkAttachmentSpec", &TaskSpec::network_attachment_spec, kOmitEmpty) &&
         visit("Resources", &TaskSpec::resources) && visit("RestartPolicy", &TaskSpec::restart_policy) &&
         visit("Placement", &TaskSpec::placement) && visit("Networks", &TaskSpec::networks, kOmitEmpty) &&
         visit("LogDriver", &TaskSpec::log_driver) && visit("ForceUpdate", &TaskSpec::force_update) &&
         visit("Runtime", &TaskSpec::runtime, kOmitEmpty);
}

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::TaskSpec);
