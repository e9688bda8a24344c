#include "control/manager/restart.h"

#include <algorithm>

namespace mesh::manager {

bool should_restart(const model::Task& task, const Slot& slot, Time now) {
  const model::RestartPolicy policy = task.spec.restart_policy.value_or(model::RestartPolicy{});
  if (policy.condition == model::RestartCondition::kNone) return false;
  if (policy.condition == model::RestartCondition::kOnFailure && task.status.state == model::TaskState::kComplete) {
    return false;
  }
  const std::uint64_t most = policy.max_attempts.value_or(0);
  if (most == 0) return true;
  const Duration window = policy.window.value_or(Duration{});
  if (window == Duration{}) return task.mesh.attempt < most;
  // Judged when it was given up, so that the answer does not change later.
  const Time at = is_live(task) ? now : task.mesh.desired_since;
  const auto attempts = std::ranges::count_if(slot, [&](const model::Task* other) {
    return other->mesh.spec_version == task.mesh.spec_version && other->mesh.attempt > 0 &&
           other->created_at + window > at;
  });
  return static_cast<std::uint64_t>(attempts) < most;
}

void restart(Draft& draft, const model::Service& service, const model::Task& task, const Slot& slot,
             std::optional<Duration> delay) {
  const bool again = should_restart(task, slot, draft.now());
  const model::RestartPolicy policy = task.spec.restart_policy.value_or(model::RestartPolicy{});
  if (again) {
    model::Task next = new_task(draft, service, slot_of(task));
    next.desired_state = model::TaskState::kReady;
    next.mesh.start_not_before = draft.now() + delay.value_or(policy.delay.value_or(kRestartDelay));
    next.mesh.attempt = task.mesh.spec_version == next.mesh.spec_version ? task.mesh.attempt + 1 : 0;
    next.mesh.by_update = task.mesh.by_update && task.mesh.spec_version == next.mesh.spec_version;
    next.mesh.replaces = task.id;
    draft.put(std::move(next));
  }
  set_desired(draft, task, model::TaskState::kShutdown);
}

void promote(Draft& draft) {
  for (const auto& [id, row] : store::Rows<model::Task>(draft.view().tasks())) {
    if (row->desired_state != model::TaskState::kReady || model::is_terminal(row->status.state)) continue;
    const model::TaskMesh& mesh = row->mesh;
    if (mesh.start_not_before > draft.now()) {
      draft.wake_at(mesh.start_not_before);
      continue;
    }
    const model::Task* old = draft.view().task(mesh.replaces);
    if (old != nullptr && !has_stopped(draft.view(), *old)) {
      const Time patience = std::max(mesh.start_not_before, old->mesh.desired_since) + kOldTaskTimeout;
      if (patience > draft.now()) {
        draft.wake_at(patience);
        continue;
      }
    }
    set_desired(draft, *row, model::TaskState::kRunning);
  }
}

}  // namespace mesh::manager
