// The life of one task on this host, as a pure function: what was asked (the task), what is seen (image, network,
// container, health) and the time give the task's next status and at most one action. The loop carries actions out and
// calls again with what it then sees; nothing here remembers, so a restarted meshd goes on where it was.
//
// States and wording: Docker's Swarm (swarmkit agent/exec, moby daemon/cluster/executor).
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "control/agent/container_runtime.h"
#include "control/agent/health.h"
#include "control/model/task.h"

namespace mesh::agent {

// What a step of the work came to. kNone: not tried yet.
struct Attempt {
  enum class State : std::uint8_t { kNone, kRunning, kDone, kFailed };
  State state = State::kNone;
  std::string error;  // kFailed
  Time failed_at{};   // kFailed
  bool operator==(const Attempt&) const = default;
};

inline constexpr Duration kRetryDelay = std::chrono::seconds(2);  // of a KILL, release or removal that failed
// How long an unhealthy task waits for the manager to drain it before it is stopped all the same: twice what a manager
// waits for a host that does not acknowledge, once for the tables and once for the ring.
inline constexpr Duration kDrainWaitMax = std::chrono::seconds(10);

// What is known of a task on this host. Container, stop_grace and has_health_check survive a restart of meshd with the
// container's directory, the status with the task's record; attempts and health begin anew.
struct TaskFacts {
  model::TaskStatus status;    // last reported
  bool absent = false;         // the manager no longer lists it: remove what is left
  Attempt image;               // pull; kDone also when the pull failed but the image was here before
  bool network_ready = false;  // link complete and known to the data plane
  Attempt start;
  Attempt stop_signal;  // kDone: the stop signal was sent
  Time stop_sent_at{};
  Attempt kill;
  Attempt release;
  Attempt removal;
  ObservedContainer container;
  Duration stop_grace = std::chrono::seconds(10);  // of the container, once it is made
  bool has_health_check = false;
  Health health = Health::kStarting;
  Time unhealthy_since{};  // kUnhealthy
};

enum class TaskAction : std::uint8_t {
  kNone,
  kPull,
  kStart,
  kSendStopSignal,
  kSendKill,
  kRelease,  // free mounts, cgroups and network of a stopped container; directory and log stay
  kRemove,   // everything, and forget the task
};

struct TaskStep {
  model::TaskStatus status;  // to report if it differs from the last one
  TaskAction action = TaskAction::kNone;
  std::optional<Time> wake;  // look again then, even if nothing happens
};

[[nodiscard]] TaskStep next_step(const model::Task& task, const TaskFacts& facts, Time now);

// Whether the task's network should exist: from its preparation until its container is gone.
[[nodiscard]] bool wants_network(const model::Task& task, const TaskFacts& facts);

[[nodiscard]] std::string_view action_name(TaskAction action);

}  // namespace mesh::agent
