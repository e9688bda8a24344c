#include "control/manager/drain.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/manager/allocator.h"
#include "control/manager/slot.h"
#include "control/manager/withdrawn.h"

namespace mesh::manager {
namespace {

using model::EndpointState;
using model::TaskState;

// The row of this port on every host leads no new flow to the task.
bool is_out_of_ring(const model::PortState& port, const std::string& task_id, const Settled& settled) {
  const auto& backends = port.row.backends;
  const auto backend = std::ranges::find(backends, task_id, &model::BackendRow::task_id);
  if (backend == backends.end()) return true;
  const auto index = static_cast<std::uint8_t>(backend - backends.begin());
  return std::ranges::find(port.row.owners, index) == port.row.owners.end() && settled.ports.contains(port.id);
}

bool is_drained(const Draft& draft, const model::Task& task, const Settled& settled) {
  if (!settled.endpoint_is(task.id, EndpointState::kDraining)) return false;
  return std::ranges::all_of(task.mesh.bindings, [&](const model::TaskBinding& binding) {
    const std::string id = port_id(task.service_id, binding.protocol, binding.published_port);
    const model::PortState* port = draft.view().port(id);
    return port == nullptr || is_out_of_ring(*port, task.id, settled);
  });
}

EndpointState next_state(const Draft& draft, const model::Task& task) {
  const bool runs = task.status.state >= TaskState::kAssigned && !has_stopped(draft.view(), task);
  if (is_live(task)) return EndpointState::kReady;
  return runs ? EndpointState::kDraining : EndpointState::kGone;
}

}  // namespace

std::string port_id(const std::string& service_id, model::PortProtocol protocol, std::uint16_t published) {
  return fmt::format("{}/{}/{}", service_id, model::protocol_name(protocol), published);
}

void drain(Draft& draft, const Settled& settled) {
  for (const auto& [id, row] : store::Rows<model::Task>(draft.view().tasks())) {
    if (is_live(*row) && row->mesh.endpoint == EndpointState::kReady) continue;
    if (row->mesh.endpoint == EndpointState::kGone && row->mesh.stop_allowed && !holds_addresses(*row)) continue;
    model::Task task = *row;
    task.mesh.endpoint = std::max(task.mesh.endpoint, next_state(draft, task));
    if (task.mesh.endpoint == EndpointState::kGone) {
      task.mesh.stop_allowed = true;
      // A host that is only out of sight may still run it with these addresses.
      const bool ended = model::is_terminal(task.status.state) || task.status.state < TaskState::kAssigned;
      if (ended && holds_addresses(task) && settled.endpoint_is(id, EndpointState::kGone)) {
        // Its row vanished with its node, or the manager has just started: no host said that it is gone there.
        if (!settled.published.contains(id) && !task.node_id.empty()) withdraw(draft, task);
        release(task);
      }
    } else if (task.mesh.endpoint == EndpointState::kDraining && !task.mesh.stop_allowed) {
      // What never ran has no flows to lose.
      task.mesh.stop_allowed = task.status.state != TaskState::kRunning || is_drained(draft, task, settled);
    }
    if (task != *row) draft.put(std::move(task));
  }
}

TaskState told_state(const model::Task& task) {
  if (task.desired_state > TaskState::kRunning && !task.mesh.stop_allowed) return TaskState::kRunning;
  return task.desired_state;
}

}  // namespace mesh::manager
