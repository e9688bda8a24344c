// Slots: the places of a service that one live task each should fill. A replicated service has slots 1..N, a global one
// has one slot per node.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/manager/draft.h"

namespace mesh::manager {

// Number of a replicated slot, or the node's id.
struct SlotKey {
  std::uint64_t number = 0;
  std::string node_id;
  auto operator<=>(const SlotKey&) const = default;
};
[[nodiscard]] SlotKey slot_of(const model::Task& task);

// The tasks of one slot, newest first.
using Slot = std::vector<const model::Task*>;
// All slots of a service that have tasks which are not to be removed.
[[nodiscard]] std::map<SlotKey, Slot> slots_of(const store::View& view, std::string_view service_id);

// It should run, now or soon.
[[nodiscard]] inline bool is_live(const model::Task& task) { return task.desired_state <= model::TaskState::kRunning; }
// Nothing of it runs: it ended, never had a host, or its host is gone.
[[nodiscard]] bool has_stopped(const store::View& view, const model::Task& task);
// A host that may keep its tasks: known, not down.
[[nodiscard]] bool is_up(const store::View& view, std::string_view node_id);

// A new task of the service for a slot, in state new, desired running; the caller adjusts it and puts it.
[[nodiscard]] model::Task new_task(Draft& draft, const model::Service& service, const SlotKey& slot);
// Changes the desired state, which only moves forward.
void set_desired(Draft& draft, const model::Task& task, model::TaskState desired);

// Does the task run what the service's spec says? Placement counts only if the task's node no longer satisfies it;
// names, labels, replicas, ingress ports and update parameters never replace a task.
[[nodiscard]] bool is_current(const store::View& view, const model::Service& service, const model::Task& task);
// The service's ports in host mode.
[[nodiscard]] std::vector<model::PortConfig> host_ports_of(const model::Service& service);

}  // namespace mesh::manager
