#include "control/manager/reaper.h"

#include <algorithm>

#include "control/manager/allocator.h"
#include "control/manager/slot.h"

namespace mesh::manager {
namespace {

bool is_dead(const model::Task& task) {
  return !is_live(task) && !holds_addresses(task) &&
         (model::is_terminal(task.status.state) || task.status.state < model::TaskState::kAssigned);
}

std::int64_t limit_of(const store::View& view, const model::Service* service) {
  std::int64_t limit = kTaskHistoryLimit;
  if (const model::Cluster* cluster = view.cluster()) {
    limit = cluster->spec.orchestration.task_history_retention_limit.value_or(limit);
  }
  if (limit < 0 || service == nullptr || !service->spec.task_template.restart_policy) return limit;
  // Attempts are counted in the history.
  const auto attempts = service->spec.task_template.restart_policy->max_attempts.value_or(0);
  return attempts == 0 ? limit
                       : std::max(limit, static_cast<std::int64_t>(std::min<std::uint64_t>(attempts, 1000)) + 1);
}

}  // namespace

void reap(Draft& draft) {
  for (const auto& [id, task] : store::Rows<model::Task>(draft.view().tasks())) {
    if (task->desired_state == model::TaskState::kRemove && is_dead(*task)) draft.erase(store::Kind::kTask, id);
  }
  for (const std::string& service_id : draft.view().services_with_tasks()) {
    const std::int64_t limit = limit_of(draft.view(), draft.view().service(service_id));
    if (limit < 0) continue;
    for (const auto& [key, slot] : slots_of(draft.view(), service_id)) {
      auto kept = static_cast<std::int64_t>(slot.size());
      // Oldest first; the newest stays, because it tells what became of the slot.
      for (auto task = slot.rbegin(); task != slot.rend() && kept > std::max<std::int64_t>(limit, 1); ++task) {
        if (*task == slot.front() || !is_dead(**task)) continue;
        draft.erase(store::Kind::kTask, (*task)->id);
        --kept;
      }
    }
  }
}

}  // namespace mesh::manager
