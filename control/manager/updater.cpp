#include "control/manager/updater.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/manager/allocator.h"
#include "control/manager/withdrawn.h"

namespace mesh::manager {
namespace {

using model::TaskState;
using model::UpdateState;

struct Parameters {
  std::uint64_t parallelism = 1;
  Duration delay{};
  Duration monitor = kMonitor;
  model::FailureAction action = model::FailureAction::kPause;
  double max_failure_ratio = 0;
  bool start_first = false;
};

bool is_rollback(const model::Service& service) {
  return service.update_status && (service.update_status->state == UpdateState::kRollbackStarted ||
                                   service.update_status->state == UpdateState::kRollbackPaused ||
                                   service.update_status->state == UpdateState::kRollbackCompleted);
}

Parameters parameters_of(const model::Service& service) {
  const auto& config = is_rollback(service) ? service.spec.rollback_config : service.spec.update_config;
  Parameters result;
  if (!config) return result;
  result.parallelism = config->parallelism;
  result.delay = config->delay;
  if (config->monitor != Duration{}) result.monitor = config->monitor;
  // A monitor no longer than the delay would end before the next slot begins.
  if (result.delay >= result.monitor) result.monitor = result.delay + std::chrono::seconds(1);
  if (config->failure_action != model::FailureAction::kUnset) result.action = config->failure_action;
  result.max_failure_ratio = config->max_failure_ratio;
  result.start_first = config->order == model::UpdateOrder::kStartFirst;
  return result;
}

// Made by the update of the current spec.
bool is_part_of(const model::Service& service, const model::Task& task) {
  return task.mesh.by_update && service.mesh && task.mesh.spec_version == service.mesh->spec_version;
}

// One slot as the update sees it.
struct SlotProgress {
  SlotKey key;
  Slot live;                             // newest first
  const model::Task* current = nullptr;  // live, of the current spec
  bool outdated = false;                 // still to be done
  bool settled = true;                   // its new task runs, and has for `delay`
};

SlotProgress progress_of(const store::View& view, const model::Service& service, const SlotKey& key, const Slot& slot,
                         const Parameters& parameters, Draft& draft) {
  SlotProgress progress{.key = key};
  for (const model::Task* task : slot) {
    if (is_live(*task)) progress.live.push_back(task);
  }
  // A slot without live tasks, given up by its restart policy, is brought up to date like any other.
  if (progress.live.empty()) {
    progress.outdated = !slot.empty() && !is_current(view, service, *slot.front());
    return progress;
  }
  for (const model::Task* task : progress.live) {
    if (progress.current == nullptr && is_current(view, service, *task)) progress.current = task;
  }
  progress.outdated = progress.current == nullptr || (progress.live.size() > 1 && !parameters.start_first);
  if (progress.current == nullptr) return progress;
  const model::Task& task = *progress.current;
  if (!is_part_of(service, task)) return progress;
  if (task.mesh.running_since == Time{}) {
    progress.settled = false;
  } else if (task.mesh.running_since + parameters.delay > draft.now()) {
    progress.settled = false;
    draft.wake_at(task.mesh.running_since + parameters.delay);
  }
  return progress;
}

// Tasks made by this update that ended before ever running, or within the monitoring time after that.
std::vector<const model::Task*> failures(const store::View& view, const model::Service& service,
                                         const Parameters& parameters) {
  std::vector<const model::Task*> failed;
  for (const model::Task* task : view.tasks_of_service(service.id)) {
    const TaskState state = task->status.state;
    const bool ended = state == TaskState::kFailed || state == TaskState::kRejected || state == TaskState::kComplete;
    if (!ended || !is_part_of(service, *task) || task->desired_state == TaskState::kRemove) continue;
    const Time ran = task->mesh.running_since;
    if (ran == Time{} || task->mesh.ended_at <= ran + parameters.monitor) failed.push_back(task);
  }
  return failed;
}

void replace(Draft& draft, const model::Service& service, const SlotProgress& slot, bool start_first) {
  if (slot.current != nullptr) {  // a clean task is there already: only the others go
    for (const model::Task* task : slot.live) {
      if (task != slot.current) set_desired(draft, *task, TaskState::kShutdown);
    }
    return;
  }
  model::Task next = new_task(draft, service, slot.key);
  next.mesh.by_update = true;
  const model::Task* old = slot.live.empty() ? nullptr : slot.live.front();
  if (!start_first && old != nullptr && !has_stopped(draft.view(), *old)) {
    next.desired_state = TaskState::kReady;
    next.mesh.replaces = old->id;
  }
  draft.put(std::move(next));
  if (start_first) return;
  for (const model::Task* task : slot.live) set_desired(draft, *task, TaskState::kShutdown);
}

// Start-first: the old tasks of a slot go when the new one runs.
void retire_old(Draft& draft, const std::vector<SlotProgress>& slots) {
  for (const SlotProgress& slot : slots) {
    if (slot.current == nullptr || slot.live.size() < 2 || slot.current->status.state != TaskState::kRunning) continue;
    for (const model::Task* task : slot.live) {
      if (task != slot.current) set_desired(draft, *task, TaskState::kShutdown);
    }
  }
}

void set_status(Draft& draft, const model::Service& service, UpdateState state, std::string message) {
  model::Service changed = service;
  if (!changed.update_status) changed.update_status.emplace();
  changed.update_status->state = state;
  changed.update_status->message = std::move(message);
  if (state == UpdateState::kCompleted || state == UpdateState::kRollbackCompleted) {
    changed.update_status->completed_at = draft.now();
  }
  draft.put(std::move(changed));
}

// True: the update goes no further.
bool stop_on_failure(Draft& draft, const model::Service& service, const Parameters& parameters) {
  if (parameters.action == model::FailureAction::kContinue) return false;
  const std::vector<const model::Task*> failed = failures(draft.view(), service, parameters);
  const std::uint64_t slots = std::max<std::uint64_t>(1, service.mesh ? service.mesh->update_slots : 1);
  if (failed.empty() ||
      static_cast<double>(failed.size()) / static_cast<double>(slots) <= parameters.max_failure_ratio) {
    return false;
  }
  const std::string why = fmt::format("due to failure or early termination of task {}", failed.front()->id);
  if (is_rollback(service)) {
    set_status(draft, service, UpdateState::kRollbackPaused, "rollback paused " + why);
  } else if (parameters.action == model::FailureAction::kRollback && service.previous_spec) {
    model::Service changed = service;
    roll_back(changed, false, draft.now(), "update rolled back " + why);
    if (allocate_service(draft.view(), changed)) {
      withdraw(draft, service, &changed);
      draft.put(std::move(changed));
    }
  } else {
    set_status(draft, service, UpdateState::kPaused, "update paused " + why);
  }
  return true;
}

// No slot is outdated: complete when the last new task has been watched long enough.
void finish(Draft& draft, const model::Service& service, const std::vector<SlotProgress>& slots,
            const Parameters& parameters) {
  Time watched = Time{};
  for (const SlotProgress& slot : slots) {
    if (slot.live.size() > 1) return;  // the old one runs until the new one does
    if (slot.current == nullptr) continue;
    const model::Task& task = *slot.current;
    if (!is_part_of(service, task)) continue;
    if (task.mesh.running_since == Time{}) return;  // there is no time-out for a task that does not start
    watched = std::max(watched, task.mesh.running_since + parameters.monitor);
  }
  if (watched > draft.now()) {
    draft.wake_at(watched);
    return;
  }
  const bool back = is_rollback(service);
  set_status(draft, service, back ? UpdateState::kRollbackCompleted : UpdateState::kCompleted,
             back ? "rollback completed" : "update completed");
}

void update_service(Draft& draft, const model::Service& given) {
  const auto state = given.update_status ? std::optional(given.update_status->state) : std::nullopt;
  const bool running = state == UpdateState::kUpdating || state == UpdateState::kRollbackStarted;
  if (state && !running) return;  // ended or paused: only a new spec, which clears the status, begins another one
  const Parameters parameters = parameters_of(given);
  std::vector<SlotProgress> slots;
  for (const auto& [key, slot] : slots_of(draft.view(), given.id)) {
    slots.push_back(progress_of(draft.view(), given, key, slot, parameters, draft));
  }
  const auto outdated = static_cast<std::uint64_t>(std::ranges::count_if(slots, &SlotProgress::outdated));
  if (!running) {
    if (outdated == 0) return;
    model::Service begun = given;
    begun.update_status = model::UpdateStatus{UpdateState::kUpdating, draft.now(), std::nullopt, "update in progress"};
    if (begun.mesh) begun.mesh->update_slots = outdated;
    draft.put(std::move(begun));
  } else if (given.mesh && given.mesh->update_slots == 0 && outdated > 0) {  // a rollback that has just begun
    model::Service begun = given;
    begun.mesh->update_slots = outdated;
    draft.put(std::move(begun));
  }
  const model::Service& service = *draft.view().service(given.id);
  if (running && stop_on_failure(draft, service, parameters)) return;
  retire_old(draft, slots);
  if (outdated == 0) {
    finish(draft, service, slots, parameters);
    return;
  }
  std::uint64_t in_flight = static_cast<std::uint64_t>(
      std::ranges::count_if(slots, [](const SlotProgress& slot) { return !slot.outdated && !slot.settled; }));
  for (const SlotProgress& slot : slots) {
    if (!slot.outdated) continue;
    if (parameters.parallelism != 0 && in_flight >= parameters.parallelism) break;
    replace(draft, service, slot, parameters.start_first);
    ++in_flight;
  }
}

}  // namespace

void roll_back(model::Service& service, bool keep_current, Time now, std::string message) {
  model::ServiceSpec current = std::move(service.spec);
  service.spec = std::move(*service.previous_spec);
  service.previous_spec.reset();
  if (keep_current) service.previous_spec = std::move(current);
  service.update_status = model::UpdateStatus{UpdateState::kRollbackStarted, now, std::nullopt, std::move(message)};
  if (!service.mesh) service.mesh.emplace();
  ++service.mesh->spec_version;
  service.mesh->update_slots = 0;
}

void update_services(Draft& draft) {
  const store::Rows<model::Service> services = draft.view().services();
  for (const auto& [id, service] : services) update_service(draft, *draft.view().service(id));
}

}  // namespace mesh::manager
