#include "control/manager/orchestrator.h"

#include <algorithm>
#include <set>

#include "control/manager/constraint.h"
#include "control/manager/restart.h"

namespace mesh::manager {
namespace {

// Removes a task that never reached a host at once; others when they have stopped.
void remove_task(Draft& draft, const model::Task& task) {
  if (task.status.state < model::TaskState::kAssigned) {
    draft.erase(store::Kind::kTask, task.id);
  } else {
    set_desired(draft, task, model::TaskState::kRemove);
  }
}

void remove_slot(Draft& draft, const SlotKey& key, const std::string& service_id) {
  for (const model::Task* task : draft.view().tasks_of_service(service_id)) {
    if (slot_of(*task) == key) remove_task(draft, model::Task(*task));
  }
}

const model::Task* live_task(const Slot& slot) {
  const auto found = std::ranges::find_if(slot, [](const model::Task* task) { return is_live(*task); });
  return found == slot.end() ? nullptr : *found;
}

// A slot is filled by a live task, or by one that ended and is not to be tried again.
bool is_filled(const Slot& slot, Time now) {
  return live_task(slot) != nullptr || (!slot.empty() && !should_restart(*slot.front(), slot, now));
}

bool is_drained(const store::View& view, const std::string& node_id) {
  const model::Node* node = view.node(node_id);
  return node != nullptr && node->spec.availability == model::Availability::kDrain;
}

// On an active node that no longer satisfies the task's constraints; paused nodes keep what they have.
bool is_misplaced(const store::View& view, const model::Task& task) {
  const model::Node* node = view.node(task.node_id);
  return node != nullptr && node->spec.availability == model::Availability::kActive && !satisfies(*node, task.spec);
}

// Live tasks that ended, lost their node, or may not stay where they are.
void restart_tasks(Draft& draft, const model::Service& service) {
  for (const auto& [key, slot] : slots_of(draft.view(), service.id)) {
    for (const model::Task* task : slot) {
      if (!is_live(*task)) continue;
      const bool assigned = task->status.state >= model::TaskState::kAssigned;
      if (model::is_terminal(task->status.state)) {
        // One that ended before its turn had come (its image is missing, say) is replaced when it has: once per delay.
        if (task->mesh.start_not_before > draft.now()) {
          draft.wake_at(task->mesh.start_not_before);
        } else {
          restart(draft, service, *task, slot);
        }
      } else if (assigned && is_drained(draft.view(), task->node_id)) {
        if (model::is_global(service.spec)) {
          set_desired(draft, *task, model::TaskState::kShutdown);
        } else {
          restart(draft, service, *task, slot, Duration{});
        }
      } else if (assigned && (!is_up(draft.view(), task->node_id) || is_misplaced(draft.view(), *task))) {
        if (model::is_global(service.spec)) {
          set_desired(draft, *task, model::TaskState::kShutdown);
        } else {
          restart(draft, service, *task, slot);
        }
      }
      break;  // the next ones of the slot are the updater's business
    }
  }
}

// The slots that a smaller service gives up: those that do not run, then those on the nodes with most, then high
// numbers.
std::vector<SlotKey> slots_to_remove(const std::map<SlotKey, Slot>& slots, std::size_t count) {
  struct Rank {
    bool running;
    std::string node_id;
    SlotKey key;
  };
  std::vector<Rank> ranks;
  std::map<std::string, std::size_t> on_node;
  for (const auto& [key, slot] : slots) {
    const model::Task* task = live_task(slot);
    const bool running = task != nullptr && task->status.state == model::TaskState::kRunning;
    ranks.push_back({running, task == nullptr ? "" : task->node_id, key});
    if (running) ++on_node[ranks.back().node_id];
  }
  std::vector<SlotKey> result;
  while (result.size() < count && !ranks.empty()) {
    const auto worst = std::ranges::min_element(ranks, [&](const Rank& a, const Rank& b) {
      const auto weight = [&](const Rank& r) { return r.running ? on_node[r.node_id] : std::size_t{0}; };
      return std::tuple(a.running, weight(b), b.key) < std::tuple(b.running, weight(a), a.key);
    });
    if (worst->running) --on_node[worst->node_id];
    result.push_back(worst->key);
    ranks.erase(worst);
  }
  return result;
}

// A new task for a slot that has none; it waits for the last one there, if that still runs.
void fill(Draft& draft, const model::Service& service, const SlotKey& key, const Slot& slot) {
  model::Task task = new_task(draft, service, key);
  if (!slot.empty() && !has_stopped(draft.view(), *slot.front())) {
    task.desired_state = model::TaskState::kReady;
    task.mesh.replaces = slot.front()->id;
  }
  draft.put(std::move(task));
}

void orchestrate_replicated(Draft& draft, const model::Service& service) {
  std::map<SlotKey, Slot> slots = slots_of(draft.view(), service.id);
  const std::size_t wanted = model::replicas_of(service.spec);
  if (slots.size() > wanted) {
    for (const SlotKey& key : slots_to_remove(slots, slots.size() - wanted)) {
      remove_slot(draft, key, service.id);
    }
    return;
  }
  std::size_t missing = wanted - slots.size();
  for (const auto& [key, slot] : slots) {
    if (!is_filled(slot, draft.now())) fill(draft, service, key, slot);
  }
  for (std::uint64_t number = 1; missing > 0; ++number) {
    if (slots.contains({number, {}})) continue;
    fill(draft, service, {number, {}}, {});
    --missing;
  }
}

void orchestrate_global(Draft& draft, const model::Service& service) {
  const std::map<SlotKey, Slot> slots = slots_of(draft.view(), service.id);
  for (const auto& [id, node] : draft.view().nodes()) {
    const auto slot = slots.find({0, id});
    const bool has = slot != slots.end() && is_filled(slot->second, draft.now());
    const bool eligible = node->status.state == model::NodeState::kReady &&
                          node->spec.availability == model::Availability::kActive &&
                          satisfies(*node, service.spec.task_template);
    // A task that was shut down because its node was drained or down is no reason against a new one.
    const bool stopped_by_us = slot != slots.end() && live_task(slot->second) == nullptr &&
                               slot->second.front()->status.state == model::TaskState::kShutdown;
    if (eligible && (!has || stopped_by_us)) fill(draft, service, {0, id}, slot == slots.end() ? Slot{} : slot->second);
  }
}

}  // namespace

void collect_orphans(Draft& draft) {
  const store::Rows<model::Task> tasks = draft.view().tasks();
  for (const auto& [id, task] : tasks) {
    if (draft.view().service(task->service_id) == nullptr) remove_task(draft, *task);
    const model::Task* now = draft.view().task(id);
    if (now == nullptr || now->status.state < model::TaskState::kAssigned || model::is_terminal(now->status.state)) {
      continue;
    }
    const model::Node* node = draft.view().node(now->node_id);
    const bool down = node != nullptr && node->status.state == model::NodeState::kDown;
    const Time forget = down ? node->updated_at + kOrphanAfter : Time::max();
    if (node != nullptr && forget > draft.now()) {
      if (down) draft.wake_at(forget);
      continue;
    }
    model::Task orphan = *now;
    orphan.status.state = model::TaskState::kOrphaned;
    orphan.status.message = node == nullptr ? "the node was removed" : "the node is down for too long";
    orphan.status.timestamp = draft.now();
    draft.put(std::move(orphan));
  }
}

void orchestrate(Draft& draft) {
  const store::Rows<model::Service> services = draft.view().services();
  for (const auto& [id, service] : services) {
    restart_tasks(draft, *service);
    if (model::is_global(service->spec)) {
      orchestrate_global(draft, *service);
    } else if (model::is_replicated(service->spec)) {
      orchestrate_replicated(draft, *service);
    }
  }
}

}  // namespace mesh::manager
