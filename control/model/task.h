// A task: one attempt to run one container of a service on one host (Docker Engine API, /tasks). It is replaced, never
// restarted; its state only moves forward.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/endpoint_table.h"
#include "control/model/network.h"
#include "control/model/port.h"
#include "control/model/task_spec.h"

namespace mesh::model {

// In order. Desired states used: ready (prepared, waiting for its turn), running, shutdown, remove.
enum class TaskState : std::uint8_t {
  kNew,
  kAllocated,
  kPending,
  kAssigned,
  kAccepted,
  kPreparing,
  kReady,
  kStarting,
  kRunning,
  kComplete,
  kShutdown,
  kFailed,
  kRejected,
  kRemove,
  kOrphaned
};
constexpr std::array<EnumName<TaskState>, 15> json_names(const TaskState*) {
  return {{{TaskState::kNew, "new"},
           {TaskState::kAllocated, "allocated"},
           {TaskState::kPending, "pending"},
           {TaskState::kAssigned, "assigned"},
           {TaskState::kAccepted, "accepted"},
           {TaskState::kPreparing, "preparing"},
           {TaskState::kReady, "ready"},
           {TaskState::kStarting, "starting"},
           {TaskState::kRunning, "running"},
           {TaskState::kComplete, "complete"},
           {TaskState::kShutdown, "shutdown"},
           {TaskState::kFailed, "failed"},
           {TaskState::kRejected, "rejected"},
           {TaskState::kRemove, "remove"},
           {TaskState::kOrphaned, "orphaned"}}};
}
[[nodiscard]] std::string_view to_string(TaskState state);
// Complete or later: nothing of it runs any more.
[[nodiscard]] constexpr bool is_terminal(TaskState state) { return state > TaskState::kRunning; }

struct ContainerStatus {
  std::string container_id;
  std::int64_t pid = 0;
  std::int64_t exit_code = 0;
  bool operator==(const ContainerStatus&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ContainerStatus*, Visit&& visit) {
  return visit("ContainerID", &ContainerStatus::container_id) && visit("PID", &ContainerStatus::pid) &&
         visit("ExitCode", &ContainerStatus::exit_code);
}

struct PortStatus {
  std::vector<PortConfig> ports;  // mode host only
  bool operator==(const PortStatus&) const = default;
};
template <class Visit>
constexpr bool json_fields(const PortStatus*, Visit&& visit) {
  return visit("Ports", &PortStatus::ports, kOmitEmpty);
}

struct TaskStatus {
  Time timestamp;
  TaskState state = TaskState::kNew;
  std::string message;  // what is being done: "preparing", "started"
  std::string err;      // why it is not: "task: non-zero exit (137)", "no suitable node (…)"
  std::optional<ContainerStatus> container_status;
  std::optional<PortStatus> port_status;
  bool operator==(const TaskStatus&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TaskStatus*, Visit&& visit) {
  return visit("Timestamp", &TaskStatus::timestamp) && visit("State", &TaskStatus::state) &&
         visit("Message", &TaskStatus::message, kOmitEmpty) && visit("Err", &TaskStatus::err, kOmitEmpty) &&
         visit("ContainerStatus", &TaskStatus::container_status) && visit("PortStatus", &TaskStatus::port_status);
}

struct NetworkAttachment {
  AttachedNetwork network;
  std::vector<std::string> addresses;  // "10.1.0.5/24"
  bool operator==(const NetworkAttachment&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NetworkAttachment*, Visit&& visit) {
  return visit("Network", &NetworkAttachment::network, kOmitEmpty) &&
         visit("Addresses", &NetworkAttachment::addresses, kOmitEmpty);
}

inline constexpr std::uint16_t kBindingMax = 16383;  // per node; what a host's kernel tables hold
// One published port of the service at this task: tunnel packets to it carry `index`, unique on the task's node.
struct TaskBinding {
  PortProtocol protocol = PortProtocol::kTcp;
  std::uint16_t published_port = 0;
  std::uint16_t target_port = 0;
  std::uint16_t index = 0;  // 1..kBindingMax; 0 before the task is assigned
  bool operator==(const TaskBinding&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TaskBinding*, Visit&& visit) {
  return visit("Protocol", &TaskBinding::protocol) && visit("PublishedPort", &TaskBinding::published_port) &&
         visit("TargetPort", &TaskBinding::target_port) && visit("Index", &TaskBinding::index);
}

// What the task's host needs to run it, resolved.
struct TaskMesh {
  std::string service_name;
  Labels service_labels;
  std::string name;            // "image-gallery.1", of a global service "name.<node id>"
  std::string container_name;  // name and task id
  std::string node_hostname;
  IpAddress ingress_v4, ingress_v6;                // on the ingress network, always allocated
  std::vector<NetworkAddress> networks;            // user networks, in the spec's order
  std::vector<TaskBinding> bindings;               // ingress-mode ports
  std::vector<PortConfig> host_ports;              // host-mode ports
  std::uint64_t spec_version = 0;                  // of the service, when the task was made
  std::uint64_t attempt = 0;                       // restarts of this slot at this spec version before this task
  EndpointState endpoint = EndpointState::kReady;  // draining before it is asked to stop, gone afterwards
  bool stop_allowed = false;  // drained: its host may be told of a desired state beyond running, or stop it unhealthy
  Time desired_since;         // when desired_state was last changed
  Time running_since;         // first known to run; never: not yet
  Time ended_at;              // known to have ended
  bool by_update = false;     // made by the updater, or restarted from such a task
  Time start_not_before;      // restart delay: promoted from ready to running then
  std::string replaces;       // task of this slot that must have stopped first; "": none
  bool operator==(const TaskMesh&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TaskMesh*, Visit&& visit) {
  using S = TaskMesh;
  return visit("ServiceName", &S::service_name) && visit("ServiceLabels", &S::service_labels, kOmitEmpty) &&
         visit("Name", &S::name) && visit("ContainerName", &S::container_name) &&
         visit("NodeHostname", &S::node_hostname, kOmitEmpty) && visit("IngressV4", &S::ingress_v4) &&
         visit("IngressV6", &S::ingress_v6) && visit("Networks", &S::networks, kOmitEmpty) &&
         visit("Bindings", &S::bindings, kOmitEmpty) && visit("HostPorts", &S::host_ports, kOmitEmpty) &&
         visit("SpecVersion", &S::spec_version) && visit("Attempt", &S::attempt, kOmitEmpty) &&
         visit("Endpoint", &S::endpoint) && visit("StopAllowed", &S::stop_allowed, kOmitEmpty) &&
         visit("DesiredSince", &S::desired_since) && visit("RunningSince", &S::running_since) &&
         visit("EndedAt", &S::ended_at) && visit("ByUpdate", &S::by_update, kOmitEmpty) &&
         visit("StartNotBefore", &S::start_not_before) && visit("Replaces", &S::replaces, kOmitEmpty);
}

struct Task : Object {
  std::string name;
  Labels labels;
  TaskSpec spec;
  std::string service_id;
  std::uint64_t slot = 0;  // from 1; 0 for global services
  std::string node_id;
  Json assigned_generic_resources;
  TaskStatus status;
  TaskState desired_state = TaskState::kRunning;
  std::vector<NetworkAttachment> networks_attachments;
  std::optional<Version> job_iteration;
  TaskMesh mesh;
  bool operator==(const Task&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Task*, Visit&& visit) {
  return object_fields(visit) && visit("Name", &Task::name, kOmitEmpty) && visit("Labels", &Task::labels) &&
         visit("Spec", &Task::spec) && visit("ServiceID", &Task::service_id, kOmitEmpty) &&
         visit("Slot", &Task::slot, kOmitEmpty) && visit("NodeID", &Task::node_id, kOmitEmpty) &&
         visit("AssignedGenericResources", &Task::assigned_generic_resources, kOmitEmpty) &&
         visit("Status", &Task::status) && visit("DesiredState", &Task::desired_state) &&
         visit("NetworksAttachments", &Task::networks_attachments, kOmitEmpty) &&
         visit("JobIteration", &Task::job_iteration) && visit("Mesh", &Task::mesh);
}

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::TaskStatus);
MESH_JSON_DECLARE(mesh::model::TaskMesh);
MESH_JSON_DECLARE(mesh::model::Task);
