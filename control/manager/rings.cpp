#include "control/manager/rings.h"

#include <algorithm>
#include <bitset>
#include <set>

#include "control/manager/drain.h"
#include "control/manager/port_options.h"
#include "control/manager/slot.h"
#include "control/manager/withdrawn.h"

namespace mesh::manager {
namespace {

using dataplane::Ring;
using model::BackendRow;
using model::EndpointState;
using model::TaskState;

std::uint16_t binding_of(const model::Task& task, const model::PortRow& row) {
  for (const model::TaskBinding& binding : task.mesh.bindings) {
    if (model::protocol_name(binding.protocol) == row.protocol && binding.published_port == row.published) {
      return binding.index;
    }
  }
  return 0;
}

// What the row of this task should say; gone if there is no such task any more.
EndpointState state_of(const store::View& view, const model::Task* task) {
  if (task == nullptr || task->mesh.endpoint == EndpointState::kGone || has_stopped(view, *task)) {
    return EndpointState::kGone;
  }
  if (task->mesh.endpoint == EndpointState::kDraining || !is_live(*task)) return EndpointState::kDraining;
  return EndpointState::kReady;
}

// Rows of tasks that every host has as gone become holes; the states of the others move on.
void move_backends(const store::View& view, model::PortRow& row) {
  for (BackendRow& backend : row.backends) {
    if (backend.task_id.empty()) continue;
    const bool owns =
        std::ranges::find(row.owners, static_cast<std::uint8_t>(&backend - row.backends.data())) != row.owners.end();
    if (backend.state == EndpointState::kGone && !owns) {
      backend = BackendRow{};
    } else {
      backend.state = std::max(backend.state, state_of(view, view.task(backend.task_id)));
    }
  }
  while (!row.backends.empty() && row.backends.back().task_id.empty()) row.backends.pop_back();
}

void add_backends(const store::View& view, const std::string& service_id, model::PortRow& row) {
  for (const model::Task* task : view.tasks_of_service(service_id)) {
    const std::uint16_t binding = binding_of(*task, row);
    const model::Node* node = view.node(task->node_id);
    if (!may_serve(view, *task) || binding == 0 || node == nullptr || !node->mesh) continue;
    if (std::ranges::find(row.backends, task->id, &BackendRow::task_id) != row.backends.end()) continue;
    const BackendRow backend{task->id, node->mesh->number, binding, EndpointState::kReady};
    const auto hole = std::ranges::find(row.backends, std::string{}, &BackendRow::task_id);
    if (hole != row.backends.end()) {
      *hole = backend;
    } else if (row.backends.size() < dataplane::kBackendsMax) {
      row.backends.push_back(backend);
    }
  }
}

std::set<std::uint16_t> hosts_alive(const store::View& view) {
  std::set<std::uint16_t> alive;
  for (const auto& [id, node] : view.nodes()) {
    if (node->mesh && node->status.state != model::NodeState::kDown) alive.insert(node->mesh->number);
  }
  return alive;
}

// Hosts leave the foreign sets when they say that they hold nothing there, or when they are dead.
bool drop_hosts(const std::string& id, Ring& ring, const std::set<std::uint16_t>& alive,
                const std::vector<HeldSlots>& held) {
  bool changed = false;
  for (const HeldSlots& report : held) {
    if (report.port_id == id) changed |= dataplane::drop_foreign(ring, report.node, report.ring_version, report.held);
  }
  std::set<std::uint16_t> dead;
  for (const auto& [slot, hosts] : ring.foreign) {
    for (const std::uint16_t host : hosts) {
      if (!alive.contains(host)) dead.insert(host);
    }
  }
  for (const std::uint16_t host : dead) changed |= dataplane::drop_dead(ring, host);
  return changed;
}

// The ring was made for the same shares.
bool has_weights(const model::PortState& port, const std::vector<dataplane::RingMember>& members) {
  return std::ranges::all_of(members, [&](const dataplane::RingMember& member) {
    const std::uint16_t made_for = member.index < port.weights.size() ? port.weights[member.index] : std::uint16_t{1};
    return made_for == member.weight;
  });
}

void remember_weights(model::PortState& port, const std::vector<dataplane::RingMember>& members) {
  port.weights.clear();
  for (const dataplane::RingMember& member : members) {
    if (member.weight == 1) continue;
    port.weights.resize(std::max<std::size_t>(port.weights.size(), member.index + 1U), 1);
    port.weights[member.index] = member.weight;
  }
}

// Nothing to compute: the owners are the members, with these weights, and no host leaves a foreign set.
bool is_up_to_date(const model::PortState& port, const std::vector<dataplane::RingMember>& members,
                   const std::set<std::uint16_t>& alive, const std::vector<HeldSlots>& held) {
  std::bitset<256> wanted, owners;
  for (const dataplane::RingMember& member : members) wanted.set(member.index);
  for (const std::uint8_t owner : port.row.owners) owners.set(owner);
  owners.reset(dataplane::kNoBackend);
  if (wanted != owners || !has_weights(port, members)) return false;
  if (std::ranges::find(held, port.id, &HeldSlots::port_id) != held.end()) return false;
  return std::ranges::all_of(port.row.moved, [&](const model::RingSlot& slot) {
    return std::ranges::all_of(slot.foreign, [&](std::uint16_t host) { return alive.contains(host); });
  });
}

// `announced`: the row that every host holds. Only backends that it lists as ready may own slots.
void change_owners(const store::View& view, const std::string& weight_label, const model::PortRow& announced,
                   model::PortState& port, const std::vector<HeldSlots>& held) {
  const std::map<std::uint16_t, std::uint16_t> weights = node_weights(view, weight_label);
  std::vector<dataplane::RingMember> members;
  std::map<std::uint8_t, std::uint16_t> node_of;
  for (std::size_t i = 0; i < port.row.backends.size(); ++i) {
    const BackendRow& backend = port.row.backends[i];
    const auto index = static_cast<std::uint8_t>(i);
    if (backend.task_id.empty() || backend.state == EndpointState::kGone) continue;
    node_of[index] = backend.node;
    const bool known = i < announced.backends.size() && announced.backends[i].task_id == backend.task_id;
    if (backend.state != EndpointState::kReady || !known) continue;
    const auto weight = weights.find(backend.node);
    members.push_back({index, backend.node, weight == weights.end() ? std::uint16_t{1} : weight->second});
  }
  reduce_weights(members);
  const std::set<std::uint16_t> alive = hosts_alive(view);
  if (is_up_to_date(port, members, alive, held)) return;
  Ring ring = ring_of(port.row);
  const bool dropped = drop_hosts(port.id, ring, alive, held);
  auto changed = dataplane::change_ring(ring, members, node_of);
  if (!changed) return;  // more than 127 backends never get here: add_backends stops there (backend_limit.h tells)
  if (dropped && changed->version == ring.version) *changed = dataplane::next_version(std::move(*changed));
  set_ring(port.row, *changed);
  remember_weights(port, members);
}

// mode=host: a task is reached through its own host only. While it drains, new connections are led to another task
// instead of being refused.
void keep_to_own_hosts(model::PortRow& row) {
  std::set<std::uint16_t> hosts;
  for (const BackendRow& backend : row.backends) {
    if (!backend.task_id.empty() && backend.state != EndpointState::kGone) hosts.insert(backend.node);
  }
  row.prefer_local = true;
  row.entry_nodes.emplace(hosts.begin(), hosts.end());
}

void update_port(Draft& draft, const model::Service& service, const model::PortConfig& config,
                 const Result<model::MeshOptions>& options, const Settled& settled,
                 const std::vector<HeldSlots>& held) {
  const std::string id = port_id(service.id, model::protocol_of(config), config.published_port);
  const model::PortState* before = draft.view().port(id);
  const std::string withdrawn =
      published_port_id(model::protocol_name(model::protocol_of(config)), config.published_port);
  if (draft.view().withdrawn(withdrawn) != nullptr) {
    if (before == nullptr) return;                    // some host may still hold it for its last owner
    draft.erase(store::Kind::kWithdrawn, withdrawn);  // taken back before any host was told
  }
  model::PortState port;
  if (before != nullptr) port = *before;
  port.id = id;
  port.service_id = service.id;
  port.row.protocol = model::protocol_name(model::protocol_of(config));
  port.row.published = config.published_port;
  port.row.target = config.target_port;
  port.row.host_mode = !model::is_ingress(config);
  // Labels that this version cannot read were accepted by another one: the port stays as that left it.
  if (options) set_options(draft.view(), *options, model::published_port(config), port.row);
  if (before == nullptr || settled.ports.contains(id)) {
    const model::PortRow announced = port.row;
    move_backends(draft.view(), port.row);
    add_backends(draft.view(), service.id, port.row);
    change_owners(draft.view(), options ? options->weight_label : "", announced, port, held);
  }
  if (port.row.host_mode) keep_to_own_hosts(port.row);
  if (before == nullptr || port != *before) draft.put(std::move(port));
}

}  // namespace

bool may_serve(const store::View& view, const model::Task& task) {
  return task.desired_state == TaskState::kRunning && task.status.state == TaskState::kRunning &&
         task.mesh.endpoint == EndpointState::kReady && is_up(view, task.node_id);
}

Ring ring_of(const model::PortRow& row) {
  Ring ring;
  ring.version = row.ring_version;
  ring.owners = row.owners;
  for (const model::RingSlot& slot : row.moved) {
    if (slot.previous != dataplane::kNoBackend) ring.previous.emplace(slot.slot, slot.previous);
    if (!slot.foreign.empty()) ring.foreign.emplace(slot.slot, slot.foreign);
  }
  return ring;
}

void set_ring(model::PortRow& row, const Ring& ring) {
  row.ring_version = ring.version;
  row.owners = ring.owners;
  std::map<std::uint16_t, model::RingSlot> moved;
  for (const auto& [slot, previous] : ring.previous) moved[slot] = {slot, previous, {}};
  for (const auto& [slot, hosts] : ring.foreign) {
    model::RingSlot& entry = moved[slot];
    entry.slot = slot;
    entry.foreign = hosts;
  }
  row.moved.clear();
  for (const auto& [slot, entry] : moved) row.moved.push_back(entry);
}

void update_rings(Draft& draft, const Settled& settled, const std::vector<HeldSlots>& held) {
  std::set<std::string> wanted;
  for (const auto& [service_id, service] : store::Rows<model::Service>(draft.view().services())) {
    const Result<model::MeshOptions> options = model::parse_mesh_options(service->spec.labels);
    for (const model::PortConfig& config : service->endpoint.ports) {
      wanted.insert(port_id(service_id, model::protocol_of(config), config.published_port));
      update_port(draft, *service, config, options, settled, held);
    }
  }
  for (const auto& [id, port] : store::Rows<model::PortState>(draft.view().ports())) {
    if (!wanted.contains(id)) draft.erase(store::Kind::kPort, id);
  }
}

}  // namespace mesh::manager
