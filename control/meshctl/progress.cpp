#include "control/meshctl/progress.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "control/meshctl/table.h"
#include "control/meshctl/wording.h"

namespace mesh::meshctl {
namespace {

using model::TaskState;
using model::UpdateState;

constexpr Duration kMonitorDefault = std::chrono::seconds(5);  // Docker's
constexpr std::size_t kErrorWidth = 100;

// A task that never runs for ever: once it ended well and is not to be restarted, its slot is as it should be.
bool ended_as_wanted(const model::Task& task) {
  const auto& restart = task.spec.restart_policy;
  const auto condition = restart ? restart->condition : model::RestartCondition::kUnset;
  return task.status.state == TaskState::kComplete &&
         (condition == model::RestartCondition::kNone || condition == model::RestartCondition::kOnFailure);
}

bool counts(const model::Task& task) {
  return ended_as_wanted(task) ||
         (task.desired_state == TaskState::kRunning && task.status.state == TaskState::kRunning);
}

// What is shown of a slot: the newest task that is wanted, and the error of the newest that failed.
struct Slot {
  const model::Task* current = nullptr;
  const model::Task* failed = nullptr;
};

void consider(Slot& slot, const model::Task& task, bool up_to_date) {
  const auto newer = [&](const model::Task* than) { return than == nullptr || task.created_at > than->created_at; };
  if (!task.status.err.empty() && newer(slot.failed)) slot.failed = &task;
  const bool wanted = task.desired_state <= TaskState::kRunning || ended_as_wanted(task);
  if (wanted && up_to_date && newer(slot.current)) slot.current = &task;
}

std::string slot_key(const model::Task& task) {
  return task.slot != 0 ? fmt::format("{:09}", task.slot) : task.node_id;
}

std::string label_of(const model::Task& task, const std::vector<model::Node>& nodes, std::uint64_t wanted) {
  if (task.slot != 0) return fmt::format("{}/{}", task.slot, wanted);
  const auto node = std::ranges::find(nodes, task.node_id, &model::Node::id);
  return node == nodes.end() ? short_id(task.node_id) : node->description.hostname;
}

std::optional<std::string> failure_of(const model::Service& service, bool rollback_wanted) {
  if (!service.update_status) return std::nullopt;
  const auto& status = *service.update_status;
  switch (status.state) {
    case UpdateState::kPaused:
      return "service update paused: " + status.message;
    case UpdateState::kRollbackPaused:
      return "service rollback paused: " + status.message;
    case UpdateState::kRollbackCompleted:
      if (rollback_wanted) return std::nullopt;
      return "service rolled back to its previous specification: " + status.message;
    default:
      return std::nullopt;
  }
}

bool is_busy(const model::Service& service) {
  if (!service.update_status) return false;
  const auto state = service.update_status->state;
  return state == UpdateState::kUpdating || state == UpdateState::kRollbackStarted;
}

}  // namespace

bool is_up_to_date(const model::Task& task, const model::ServiceSpec& spec) {
  const auto& wanted = spec.task_template;
  const auto limits = [](const model::TaskSpec& of) {
    return of.resources ? of.resources->limits.value_or(model::ResourceLimits{}) : model::ResourceLimits{};
  };
  return task.spec.container_spec == wanted.container_spec && task.spec.force_update == wanted.force_update &&
         limits(task.spec) == limits(wanted);
}

Duration monitor_of(const model::Service& service, bool rolling_back) {
  const auto& config = rolling_back ? service.spec.rollback_config : service.spec.update_config;
  return config && config->monitor > Duration::zero() ? config->monitor : kMonitorDefault;
}

Progress progress_of(const model::Service& service, const std::vector<model::Task>& tasks,
                     const std::vector<model::Node>& nodes, bool rollback_wanted) {
  Progress progress;
  progress.failure = failure_of(service, rollback_wanted);
  progress.rolling_back = service.update_status && service.update_status->state == UpdateState::kRollbackStarted;

  std::map<std::string, Slot> slots;
  for (const auto& task : tasks) consider(slots[slot_key(task)], task, is_up_to_date(task, service.spec));
  if (model::is_replicated(service.spec)) {
    progress.wanted = model::replicas_of(service.spec);
  } else {
    progress.wanted = service.service_status ? service.service_status->desired_tasks : 0;
  }
  for (const auto& [key, slot] : slots) {
    const auto* shown = slot.current != nullptr ? slot.current : slot.failed;
    if (shown == nullptr) continue;
    SlotProgress line;
    line.label = label_of(*shown, nodes, progress.wanted);
    line.running = slot.current != nullptr && counts(*slot.current);
    line.state = slot.current == nullptr ? "waiting" : name_of(slot.current->status.state);
    if (!line.running && slot.failed != nullptr) line.error = slot.failed->status.err;
    if (line.running) ++progress.running;
    if (slot.current != nullptr || shown->desired_state <= TaskState::kRunning) progress.slots.push_back(line);
  }
  const bool any = progress.wanted > 0 || model::is_replicated(service.spec);
  progress.complete = any && !is_busy(service) && progress.running == progress.wanted;
  return progress;
}

std::vector<std::string> progress_lines(const Progress& progress) {
  std::vector<std::string> lines;
  if (progress.rolling_back) lines.emplace_back("rolling back update:");
  lines.push_back(fmt::format("overall progress: {} out of {} tasks", progress.running, progress.wanted));
  if (progress.slots.size() > kSlotLinesMax) return lines;
  for (const auto& slot : progress.slots) {
    lines.push_back(fmt::format("{}: {}{}", slot.label, slot.state,
                                slot.error.empty() ? "" : " (" + shorten(slot.error, kErrorWidth) + ")"));
  }
  return lines;
}

}  // namespace mesh::meshctl
