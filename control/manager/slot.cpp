#include "control/manager/slot.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/manager/constraint.h"

namespace mesh::manager {

SlotKey slot_of(const model::Task& task) { return task.slot != 0 ? SlotKey{task.slot, {}} : SlotKey{0, task.node_id}; }

std::map<SlotKey, Slot> slots_of(const store::View& view, std::string_view service_id) {
  std::map<SlotKey, Slot> slots;
  for (const model::Task* task : view.tasks_of_service(service_id)) {
    if (task->desired_state < model::TaskState::kRemove) slots[slot_of(*task)].push_back(task);
  }
  for (auto& [key, slot] : slots) {
    std::ranges::sort(slot, [](const model::Task* a, const model::Task* b) {
      return std::tuple(b->created_at, b->mesh.attempt, b->id) < std::tuple(a->created_at, a->mesh.attempt, a->id);
    });
  }
  return slots;
}

bool is_up(const store::View& view, std::string_view node_id) {
  const model::Node* node = view.node(node_id);
  return node != nullptr && node->status.state != model::NodeState::kDown;
}

bool has_stopped(const store::View& view, const model::Task& task) {
  return model::is_terminal(task.status.state) || task.status.state < model::TaskState::kAssigned ||
         !is_up(view, task.node_id);
}

std::vector<model::PortConfig> host_ports_of(const model::Service& service) {
  std::vector<model::PortConfig> ports;
  if (!service.spec.endpoint_spec) return ports;
  for (const model::PortConfig& port : service.spec.endpoint_spec->ports) {
    if (!model::is_ingress(port)) ports.push_back(port);
  }
  return ports;
}

model::Task new_task(Draft& draft, const model::Service& service, const SlotKey& slot) {
  model::Task task;
  task.id = draft.make_id();
  task.created_at = draft.now();
  task.spec = service.spec.task_template;
  task.spec.networks = model::networks_of(service.spec);
  task.service_id = service.id;
  task.slot = slot.number;
  task.node_id = slot.node_id;
  task.status = {.timestamp = draft.now(), .state = model::TaskState::kNew, .message = "created"};
  model::TaskMesh& mesh = task.mesh;
  mesh.service_name = service.spec.name;
  mesh.service_labels = service.spec.labels;
  mesh.name = fmt::format("{}.{}", service.spec.name, slot.number != 0 ? std::to_string(slot.number) : slot.node_id);
  mesh.container_name = fmt::format("{}.{}", mesh.name, task.id);
  mesh.host_ports = host_ports_of(service);
  mesh.spec_version = service.mesh ? service.mesh->spec_version : 1;
  mesh.desired_since = draft.now();
  return task;
}

void set_desired(Draft& draft, const model::Task& task, model::TaskState desired) {
  if (task.desired_state >= desired) return;
  model::Task changed = task;
  changed.desired_state = desired;
  changed.mesh.desired_since = draft.now();
  draft.put(std::move(changed));
}

bool is_current(const store::View& view, const model::Service& service, const model::Task& task) {
  if (task.mesh.host_ports != host_ports_of(service)) return false;
  const model::TaskSpec& wanted = service.spec.task_template;
  if (task.spec.networks != model::networks_of(service.spec)) return false;
  if (task.spec.placement != wanted.placement) {
    const model::Node* node = view.node(task.node_id);
    if (node == nullptr || !satisfies(*node, wanted)) return false;
  }
  model::TaskSpec same = task.spec;
  same.placement = wanted.placement;
  same.networks = wanted.networks;
  return same == wanted;
}

}  // namespace mesh::manager
