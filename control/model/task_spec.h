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
constexpr auto json_fields(const ResourceLimits*) {
  return std::tuple{field("NanoCPUs", &ResourceLimits::nano_cpus, kOmitEmpty),
                    field("MemoryBytes", &ResourceLimits::memory_bytes, kOmitEmpty),
                    field("Pids", &ResourceLimits::pids, kOmitEmpty)};
}

struct ResourceReservations {
  std::int64_t nano_cpus = 0;
  std::int64_t memory_bytes = 0;
  Json generic_resources;
  bool operator==(const ResourceReservations&) const = default;
};
constexpr auto json_fields(const ResourceReservations*) {
  return std::tuple{field("NanoCPUs", &ResourceReservations::nano_cpus, kOmitEmpty),
                    field("MemoryBytes", &ResourceReservations::memory_bytes, kOmitEmpty),
                    field("GenericResources", &ResourceReservations::generic_resources, kOmitEmpty)};
}

struct Resources {
  std::optional<ResourceLimits> limits;
  std::optional<ResourceReservations> reservations;
  std::optional<std::int64_t> swap_bytes;
  std::optional<std::int64_t> memory_swappiness;
  bool operator==(const Resources&) const = default;
};
constexpr auto json_fields(const Resources*) {
  return std::tuple{field("Limits", &Resources::limits), field("Reservations", &Resources::reservations),
                    field("SwapBytes", &Resources::swap_bytes),
                    field("MemorySwappiness", &Resources::memory_swappiness)};
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
constexpr auto json_fields(const RestartPolicy*) {
  return std::tuple{field("Condition", &RestartPolicy::condition, kOmitEmpty), field("Delay", &RestartPolicy::delay),
                    field("MaxAttempts", &RestartPolicy::max_attempts), field("Window", &RestartPolicy::window)};
}

struct SpreadOver {
  std::string descriptor;  // "node.labels.zone"
  bool operator==(const SpreadOver&) const = default;
};
constexpr auto json_fields(const SpreadOver*) { return std::tuple{field("SpreadDescriptor", &SpreadOver::descriptor)}; }
struct PlacementPreference {
  std::optional<SpreadOver> spread;
  bool operator==(const PlacementPreference&) const = default;
};
constexpr auto json_fields(const PlacementPreference*) {
  return std::tuple{field("Spread", &PlacementPreference::spread)};
}

struct Placement {
  std::vector<std::string> constraints;  // "node.labels.disk == ssd"
  std::vector<PlacementPreference> preferences;
  std::uint64_t max_replicas = 0;  // per node; 0: no limit
  std::vector<Platform> platforms;
  bool operator==(const Placement&) const = default;
};
constexpr auto json_fields(const Placement*) {
  return std::tuple{field("Constraints", &Placement::constraints, kOmitEmpty),
                    field("Preferences", &Placement::preferences, kOmitEmpty),
                    field("MaxReplicas", &Placement::max_replicas, kOmitEmpty),
                    field("Platforms", &Placement::platforms, kOmitEmpty)};
}

struct NetworkAttachmentConfig {
  std::string target;  // network id; the API also takes a name and replaces it
  std::vector<std::string> aliases;
  Options driver_opts;
  bool operator==(const NetworkAttachmentConfig&) const = default;
};
constexpr auto json_fields(const NetworkAttachmentConfig*) {
  return std::tuple{field("Target", &NetworkAttachmentConfig::target, kOmitEmpty),
                    field("Aliases", &NetworkAttachmentConfig::aliases, kOmitEmpty),
                    field("DriverOpts", &NetworkAttachmentConfig::driver_opts, kOmitEmpty)};
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
constexpr auto json_fields(const TaskSpec*) {
  return std::tuple{field("ContainerSpec", &TaskSpec::container_spec),
                    field("PluginSpec", &TaskSpec::plugin_spec, kOmitEmpty),
                    field("NetworkAttachmentSpec", &TaskSpec::network_attachment_spec, kOmitEmpty),
                    field("Resources", &TaskSpec::resources),
                    field("RestartPolicy", &TaskSpec::restart_policy),
                    field("Placement", &TaskSpec::placement),
                    field("Networks", &TaskSpec::networks, kOmitEmpty),
                    field("LogDriver", &TaskSpec::log_driver),
                    field("ForceUpdate", &TaskSpec::force_update),
                    field("Runtime", &TaskSpec::runtime, kOmitEmpty)};
}

}  // namespace mesh::model
