#include "control/agent/task_step.h"

#include <fmt/format.h>

namespace mesh::agent {
namespace {

using model::TaskState;
using Container = ObservedContainer::State;

bool is_started(const ObservedContainer& container) {
  return container.state == Container::kRunning || container.state == Container::kExited ||
         container.state == Container::kLost;
}

bool should_stop(const model::Task& task, const TaskFacts& facts) {
  return facts.absent || task.desired_state >= TaskState::kShutdown;
}

class Step {
 public:
  Step(const model::Task& task, const TaskFacts& facts, Time now) : task_(task), facts_(facts), now_(now) {
    step_.status = facts.status;
  }

  TaskStep run() && {
    if (model::is_terminal(facts_.status.state)) {
      clean_up();
    } else if (should_stop(task_, facts_)) {
      shut_down();
    } else {
      advance();
    }
    return std::move(step_);
  }

 private:
  void become(TaskState state, std::string_view message, std::string error = {}) {
    step_.status.state = state;
    step_.status.message = message;
    step_.status.err = std::move(error);
    step_.status.timestamp = now_;
    const ObservedContainer& container = facts_.container;
    if (state >= TaskState::kStarting && container.state != Container::kAbsent) {
      step_.status.container_status =
          model::ContainerStatus{container_id_of(task_.id), container.pid, container.exit_code};
    }
    step_.status.port_status.reset();
    if (state == TaskState::kRunning && !task_.mesh.host_ports.empty()) {
      step_.status.port_status = model::PortStatus{task_.mesh.host_ports};
    }
  }

  void try_once(const Attempt& attempt, TaskAction action) {
    if (attempt.state == Attempt::State::kNone) step_.action = action;
  }

  // A failure may pass (a mount that is busy, a runtime that was killed): tried again for as long as it takes.
  void try_until_done(const Attempt& attempt, TaskAction action) {
    if (attempt.state != Attempt::State::kFailed) return try_once(attempt, action);
    const Time again = attempt.failed_at + kRetryDelay;
    if (now_ < again) {
      step_.wake = again;
    } else {
      step_.action = action;
    }
  }

  // Brings a running container to its end: signal, grace, KILL. The status changes when it is seen to have ended.
  void stop_container() {
    if (facts_.stop_signal.state == Attempt::State::kNone || facts_.stop_signal.state == Attempt::State::kRunning) {
      try_once(facts_.stop_signal, TaskAction::kSendStopSignal);
      return;
    }
    const Time deadline = facts_.stop_sent_at + facts_.stop_grace;
    if (now_ < deadline) {
      step_.wake = deadline;
    } else {
      try_until_done(facts_.kill, TaskAction::kSendKill);
    }
  }

  void shut_down() {
    if (facts_.start.state == Attempt::State::kRunning) return;  // known soon: it cannot be taken back half-way
    if (facts_.container.state == Container::kRunning) {
      stop_container();
    } else {
      become(TaskState::kShutdown, "shutdown");
    }
  }

  // The task is over: its container is freed now and removed when the manager forgets the task.
  void clean_up() {
    if (facts_.start.state == Attempt::State::kRunning) return;
    if (facts_.container.state == Container::kRunning) {
      stop_container();
    } else if (facts_.absent) {
      try_until_done(facts_.removal, TaskAction::kRemove);
    } else if (facts_.container.state != Container::kAbsent) {
      try_until_done(facts_.release, TaskAction::kRelease);
    }
  }

  void advance() {
    if (is_started(facts_.container)) {
      follow_container();
      return;
    }
    switch (facts_.status.state) {
      case TaskState::kAccepted:
        become(TaskState::kPreparing, "preparing");
        break;
      case TaskState::kPreparing:
        prepare();
        break;
      case TaskState::kReady:
        if (task_.desired_state >= TaskState::kRunning) become(TaskState::kStarting, "starting");
        break;
      case TaskState::kStarting:
        start();
        break;
      case TaskState::kRunning:
        become(TaskState::kFailed, "started", "task: its container is gone from this host; something removed it");
        break;
      default:
        become(TaskState::kAccepted, "accepted");
        break;
    }
  }

  void prepare() {
    try_once(facts_.image, TaskAction::kPull);
    if (facts_.image.state == Attempt::State::kFailed) {
      become(TaskState::kRejected, "preparing", facts_.image.error);
    } else if (facts_.image.state == Attempt::State::kDone) {
      become(TaskState::kReady, "prepared");
    }
  }

  void start() {
    // A restart of meshd forgot the image that was looked up; it is here.
    if (facts_.image.state != Attempt::State::kDone) {
      try_once(facts_.image, TaskAction::kPull);
      if (facts_.image.state == Attempt::State::kFailed) become(TaskState::kRejected, "starting", facts_.image.error);
      return;
    }
    if (facts_.start.state == Attempt::State::kFailed) {
      become(TaskState::kFailed, "starting", "starting container failed: " + facts_.start.error);
    } else if (facts_.network_ready) {
      try_once(facts_.start, TaskAction::kStart);
    }
  }

  void follow_container() {
    const ObservedContainer& container = facts_.container;
    if (container.state == Container::kLost) {
      become(TaskState::kFailed, "started",
             "task: its container was lost: the host was restarted, or its monitor was killed");
      return;
    }
    // Drained while it should run: it was reported unhealthy, by a meshd before this one perhaps.
    const bool drained = task_.mesh.stop_allowed;
    const bool unhealthy = drained || (facts_.has_health_check && facts_.health == Health::kUnhealthy);
    if (container.state == Container::kExited) {
      finish(unhealthy);
    } else if (unhealthy) {
      // As Swarm: out of names, virtual IP and ring first. A task that never served has nothing to be taken from.
      const Time deadline = facts_.unhealthy_since + kDrainWaitMax;
      if (!drained && facts_.status.state == TaskState::kRunning && now_ < deadline) {
        step_.wake = deadline;
      } else {
        stop_container();
      }
    } else if (facts_.has_health_check && facts_.health == Health::kStarting) {
      // Serving begins with the first success, as in Swarm.
      if (facts_.status.state < TaskState::kStarting) become(TaskState::kStarting, "starting");
    } else if (facts_.status.state < TaskState::kRunning) {
      become(TaskState::kRunning, "started");
    }
  }

  void finish(bool unhealthy) {
    const ObservedContainer& container = facts_.container;
    if (container.exit_code == 0) {
      become(TaskState::kComplete, "finished");
      return;
    }
    std::string why = fmt::format("task: non-zero exit ({})", container.exit_code);
    if (unhealthy) why += ": dockerexec: unhealthy container";
    if (container.out_of_memory) why += ": out of memory, the limit was reached";
    become(TaskState::kFailed, "started", std::move(why));
  }

  const model::Task& task_;
  const TaskFacts& facts_;
  Time now_;
  TaskStep step_;
};

}  // namespace

TaskStep next_step(const model::Task& task, const TaskFacts& facts, Time now) { return Step(task, facts, now).run(); }

bool wants_network(const model::Task& task, const TaskFacts& facts) {
  if (facts.container.state == Container::kRunning || facts.start.state == Attempt::State::kRunning) return true;
  return !model::is_terminal(facts.status.state) && !should_stop(task, facts);
}

std::string_view action_name(TaskAction action) {
  switch (action) {
    case TaskAction::kNone:
      return "none";
    case TaskAction::kPull:
      return "pull";
    case TaskAction::kStart:
      return "start";
    case TaskAction::kSendStopSignal:
      return "stop";
    case TaskAction::kSendKill:
      return "kill";
    case TaskAction::kRelease:
      return "release";
    case TaskAction::kRemove:
      break;
  }
  return "remove";
}

}  // namespace mesh::agent
