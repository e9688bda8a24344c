// A service: the declared set of tasks (Docker Engine API, /services).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/port.h"
#include "control/model/task_spec.h"

namespace mesh::model {

struct ReplicatedMode {
  std::optional<std::uint64_t> replicas;  // absent: 1
  bool operator==(const ReplicatedMode&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ReplicatedMode*, Visit&& visit) {
  return visit("Replicas", &ReplicatedMode::replicas);
}

struct GlobalMode {
  bool operator==(const GlobalMode&) const = default;
};
template <class Visit>
constexpr bool json_fields(const GlobalMode*, Visit&&) {
  return true;
}

struct ReplicatedJobMode {
  std::optional<std::uint64_t> max_concurrent;
  std::optional<std::uint64_t> total_completions;
  bool operator==(const ReplicatedJobMode&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ReplicatedJobMode*, Visit&& visit) {
  return visit("MaxConcurrent", &ReplicatedJobMode::max_concurrent) &&
         visit("TotalCompletions", &ReplicatedJobMode::total_completions);
}

// Exactly one member is set; none is replicated with one task.
struct ServiceMode {
  std::optional<ReplicatedMode> replicated;
  std::optional<GlobalMode> global;
  std::optional<ReplicatedJobMode> replicated_job;
  std::optional<GlobalMode> global_job;
  bool operator==(const ServiceMode&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ServiceMode*, Visit&& visit) {
  return visit("Replicated", &ServiceMode::replicated) && visit("Global", &ServiceMode::global) &&
         visit("ReplicatedJob", &ServiceMode::replicated_job) && visit("GlobalJob", &ServiceMode::global_job);
}

enum class FailureAction : std::uint8_t { kUnset, kPause, kContinue, kRollback };
constexpr std::array<EnumName<FailureAction>, 4> json_names(const FailureAction*) {
  return {{{FailureAction::kUnset, ""},
           {FailureAction::kPause, "pause"},
           {FailureAction::kContinue, "continue"},
           {FailureAction::kRollback, "rollback"}}};
}
enum class UpdateOrder : std::uint8_t { kUnset, kStopFirst, kStartFirst };
constexpr std::array<EnumName<UpdateOrder>, 3> json_names(const UpdateOrder*) {
  return {
      {{UpdateOrder::kUnset, ""}, {UpdateOrder::kStopFirst, "stop-first"}, {UpdateOrder::kStartFirst, "start-first"}}};
}

struct UpdateConfig {
  std::uint64_t parallelism = 1;                         // slots at a time; 0: all
  Duration delay{};                                      // between slots
  FailureAction failure_action = FailureAction::kUnset;  // unset: pause
  Duration monitor{};                                    // 0: 5 s
  double max_failure_ratio = 0;                          // 0..1
  UpdateOrder order = UpdateOrder::kUnset;               // unset: stop-first
  bool operator==(const UpdateConfig&) const = default;
};
template <class Visit>
constexpr bool json_fields(const UpdateConfig*, Visit&& visit) {
  return visit("Parallelism", &UpdateConfig::parallelism) && visit("Delay", &UpdateConfig::delay, kOmitEmpty) &&
         visit("FailureAction", &UpdateConfig::failure_action, kOmitEmpty) &&
         visit("Monitor", &UpdateConfig::monitor, kOmitEmpty) &&
         visit("MaxFailureRatio", &UpdateConfig::max_failure_ratio) && visit("Order", &UpdateConfig::order);
}

struct ServiceSpec {
  std::string name;
  Labels labels;
  TaskSpec task_template;
  ServiceMode mode;
  std::optional<UpdateConfig> update_config;
  std::optional<UpdateConfig> rollback_config;
  std::vector<NetworkAttachmentConfig> networks;  // the old place; task_template.networks wins
  std::optional<EndpointSpec> endpoint_spec;
  bool operator==(const ServiceSpec&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ServiceSpec*, Visit&& visit) {
  return visit("Name", &ServiceSpec::name) && visit("Labels", &ServiceSpec::labels) &&
         visit("TaskTemplate", &ServiceSpec::task_template) && visit("Mode", &ServiceSpec::mode) &&
         visit("UpdateConfig", &ServiceSpec::update_config) && visit("RollbackConfig", &ServiceSpec::rollback_config) &&
         visit("Networks", &ServiceSpec::networks, kOmitEmpty) && visit("EndpointSpec", &ServiceSpec::endpoint_spec);
}

enum class UpdateState : std::uint8_t {
  kUpdating,
  kPaused,
  kCompleted,
  kRollbackStarted,
  kRollbackPaused,
  kRollbackCompleted
};
constexpr std::array<EnumName<UpdateState>, 6> json_names(const UpdateState*) {
  return {{{UpdateState::kUpdating, "updating"},
           {UpdateState::kPaused, "paused"},
           {UpdateState::kCompleted, "completed"},
           {UpdateState::kRollbackStarted, "rollback_started"},
           {UpdateState::kRollbackPaused, "rollback_paused"},
           {UpdateState::kRollbackCompleted, "rollback_completed"}}};
}

struct UpdateStatus {
  UpdateState state = UpdateState::kUpdating;
  std::optional<Time> started_at;
  std::optional<Time> completed_at;
  std::string message;
  bool operator==(const UpdateStatus&) const = default;
};
template <class Visit>
constexpr bool json_fields(const UpdateStatus*, Visit&& visit) {
  return visit("State", &UpdateStatus::state) && visit("StartedAt", &UpdateStatus::started_at) &&
         visit("CompletedAt", &UpdateStatus::completed_at) && visit("Message", &UpdateStatus::message, kOmitEmpty);
}

// Counts for `service ls` (GET /services?status=true); made by the API, not stored.
struct ServiceStatus {
  std::uint64_t running_tasks = 0;
  std::uint64_t desired_tasks = 0;
  std::uint64_t completed_tasks = 0;
  bool operator==(const ServiceStatus&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ServiceStatus*, Visit&& visit) {
  return visit("RunningTasks", &ServiceStatus::running_tasks) && visit("DesiredTasks", &ServiceStatus::desired_tasks) &&
         visit("CompletedTasks", &ServiceStatus::completed_tasks);
}

struct JobStatus {
  Version job_iteration;
  Time last_execution;
  bool operator==(const JobStatus&) const = default;
};
template <class Visit>
constexpr bool json_fields(const JobStatus*, Visit&& visit) {
  return visit("JobIteration", &JobStatus::job_iteration) && visit("LastExecution", &JobStatus::last_execution);
}

struct ServiceMesh {
  std::uint64_t spec_version = 1;  // counts accepted spec changes; a task remembers the one it was made from
  std::uint64_t update_slots = 0;  // slots that were outdated when the running update began
  bool operator==(const ServiceMesh&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ServiceMesh*, Visit&& visit) {
  return visit("SpecVersion", &ServiceMesh::spec_version) &&
         visit("UpdateSlots", &ServiceMesh::update_slots, kOmitEmpty);
}

struct Service : Object {
  ServiceSpec spec;
  std::optional<ServiceSpec> previous_spec;
  Endpoint endpoint;
  std::optional<UpdateStatus> update_status;
  std::optional<ServiceStatus> service_status;
  std::optional<JobStatus> job_status;
  std::optional<ServiceMesh> mesh;  // always set in the store
  bool operator==(const Service&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Service*, Visit&& visit) {
  return object_fields(visit) && visit("Spec", &Service::spec) && visit("PreviousSpec", &Service::previous_spec) &&
         visit("Endpoint", &Service::endpoint) && visit("UpdateStatus", &Service::update_status) &&
         visit("ServiceStatus", &Service::service_status) && visit("JobStatus", &Service::job_status) &&
         visit("Mesh", &Service::mesh);
}

// Ports, mode and replicas as the spec means them.
[[nodiscard]] bool is_global(const ServiceSpec& spec);
[[nodiscard]] bool is_replicated(const ServiceSpec& spec);
[[nodiscard]] std::uint64_t replicas_of(const ServiceSpec& spec);
[[nodiscard]] const std::vector<NetworkAttachmentConfig>& networks_of(const ServiceSpec& spec);
[[nodiscard]] PortProtocol protocol_of(const PortConfig& port);
[[nodiscard]] bool is_ingress(const PortConfig& port);
[[nodiscard]] PublishedPort published_port(const PortConfig& port);
[[nodiscard]] bool is_dnsrr(const ServiceSpec& spec);
// "tcp", "udp", "sctp".
[[nodiscard]] std::string protocol_name(PortProtocol protocol);
// "8010/tcp".
[[nodiscard]] std::string port_name(const PublishedPort& port);

// A service without a mode, or without a number of tasks, is stored as one of one task: clients that wait for it ask
// for the number (Docker Engine API, /services/create).
void settle_mode(ServiceSpec& spec);
// Every absent part filled in with its default, as GET /services/{id}?insertDefaults=true shows it.
[[nodiscard]] ServiceSpec with_defaults(ServiceSpec spec);

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::ServiceSpec);
MESH_JSON_DECLARE(mesh::model::Service);
