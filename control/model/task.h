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
constexpr auto json_fields(const ContainerStatus*) {
  return std::tuple{field("ContainerID", &ContainerStatus::container_id), field("PID", &ContainerStatus::pid),
                    field("ExitCode", &ContainerStatus::exit_code)};
}

struct PortStatus {
  std::vector<PortConfig> ports;  // mode host only
  bool operator==(const PortStatus&) const = default;
};
constexpr auto json_fields(const PortStatus*) { return std::tuple{field("Ports", &PortStatus::ports, kOmitEmpty)}; }

struct TaskStatus {
  Time timestamp;
  TaskState state = TaskState::kNew;
  std::string message;  // what is being done: "preparing", "started"
  std::string err;      // why it is not: "task: non-zero exit (137)", "no suitable node (…)"
  std::optional<ContainerStatus> container_status;
  std::optional<PortStatus> port_status;
  bool operator==(const TaskStatus&) const = default;
};
constexpr auto json_fields(const TaskStatus*) {
  return std::tuple{field("Timestamp", &TaskStatus::timestamp),
                    field("State", &TaskStatus::state),
                    field("Message", &TaskStatus::message, kOmitEmpty),
                    field("Err", &TaskStatus::err, kOmitEmpty),
                    field("ContainerStatus", &TaskStatus::container_status),
                    field("PortStatus", &TaskStatus::port_status)};
}

struct NetworkAttachment {
  AttachedNetwork network;
  std::vector<std::string> addresses;  // "10.1.0.5/24"
  bool operator==(const NetworkAttachment&) const = default;
};
constexpr auto json_fields(const NetworkAttachment*) {
  return std::tuple{field("Network", &NetworkAttachment::network, kOmitEmpty),
                    field("Addresses", &NetworkAttachment::addresses, kOmitEmpty)};
}

// One published port of the service at this task: tunnel packets to it carry `index`, unique on the task's node.
struct TaskBinding {
  PortProtocol protocol = PortProtocol::kTcp;
  std::uint16_t published_port = 0;
  std::uint16_t target_port = 0;
  std::uint16_t index = 0;  // 1..65535; 0 before the task is assigned
  bool operator==(const TaskBinding&) const = default;
};
constexpr auto json_fields(const TaskBinding*) {
  return std::tuple{field("Protocol", &TaskBinding::protocol), field("PublishedPort", &TaskBinding::published_port),
                    field("TargetPort", &TaskBinding::target_port), field("Index", &TaskBinding::index)};
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
  bool stop_allowed = false;                       // drained: its host may be told of a desired state beyond running
  Time desired_since;                              // when desired_state was last changed
  Time running_since;                              // first known to run; never: not yet
  Time ended_at;                                   // known to have ended
  bool by_update = false;                          // made by the updater, or restarted from such a task
  Time start_not_before;                           // restart delay: promoted from ready to running then
  std::string replaces;                            // task of this slot that must have stopped first; "": none
  bool operator==(const TaskMesh&) const = default;
};
constexpr auto json_fields(const TaskMesh*) {
  using S = TaskMesh;
  return std::tuple{field("ServiceName", &S::service_name),
                    field("ServiceLabels", &S::service_labels, kOmitEmpty),
                    field("Name", &S::name),
                    field("ContainerName", &S::container_name),
                    field("NodeHostname", &S::node_hostname, kOmitEmpty),
                    field("IngressV4", &S::ingress_v4),
                    field("IngressV6", &S::ingress_v6),
                    field("Networks", &S::networks, kOmitEmpty),
                    field("Bindings", &S::bindings, kOmitEmpty),
                    field("HostPorts", &S::host_ports, kOmitEmpty),
                    field("SpecVersion", &S::spec_version),
                    field("Attempt", &S::attempt, kOmitEmpty),
                    field("Endpoint", &S::endpoint),
                    field("StopAllowed", &S::stop_allowed, kOmitEmpty),
                    field("DesiredSince", &S::desired_since),
                    field("RunningSince", &S::running_since),
                    field("EndedAt", &S::ended_at),
                    field("ByUpdate", &S::by_update, kOmitEmpty),
                    field("StartNotBefore", &S::start_not_before),
                    field("Replaces", &S::replaces, kOmitEmpty)};
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
constexpr auto json_fields(const Task*) {
  return std::tuple_cat(object_fields(),
                        std::tuple{field("Name", &Task::name, kOmitEmpty), field("Labels", &Task::labels),
                                   field("Spec", &Task::spec), field("ServiceID", &Task::service_id, kOmitEmpty),
                                   field("Slot", &Task::slot, kOmitEmpty), field("NodeID", &Task::node_id, kOmitEmpty),
                                   field("AssignedGenericResources", &Task::assigned_generic_resources, kOmitEmpty),
                                   field("Status", &Task::status), field("DesiredState", &Task::desired_state),
                                   field("NetworksAttachments", &Task::networks_attachments, kOmitEmpty),
                                   field("JobIteration", &Task::job_iteration), field("Mesh", &Task::mesh)});
}

}  // namespace mesh::model
