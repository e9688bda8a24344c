#include "dataplane/flow_scan.h"

#include <arpa/inet.h>

#include "bpf/lib/flow.h"
#include "dataplane/layout.h"

namespace mesh::dataplane {

std::uint32_t seconds_since(std::uint32_t mark, std::uint32_t now, std::uint8_t tick_shift) {
  // At HZ 100, and at 250 or 1000; nothing but a display depends on it.
  const double seconds_per_tick = tick_shift == 7 ? 1.28 : 1.024;
  return static_cast<std::uint32_t>(mesh_flow_idle(mark, now) * seconds_per_tick);
}

std::uint32_t ring_slot_of(const TracedPacket& packet, const mesh_service& service) {
  const mesh_address client = to_abi(packet.source.ip);
  const mesh_address asked = to_abi(packet.destination.ip);
  const __be16 port = htons(packet.destination.port);
  const std::uint64_t hash = MESH_OPTIONS_AFFINITY(service.options) != 0
                                 ? mesh_affinity_hash(&client, port, packet.protocol)
                                 : mesh_ring_hash(&client, &asked, htons(packet.source.port), port, packet.protocol);
  return mesh_ring_slot(hash, MESH_RING_LOG2(service.ring));
}

std::string flow_state(const FlowEntry& flow) {
  const std::uint8_t state = MESH_FLOW_MARK_STATE(flow.mark);
  if ((state & MESH_FLOW_DATAGRAMS) != 0) return (state & MESH_FLOW_ANSWERED) != 0 ? "established" : "new";
  if (mesh_flow_closed(state) != 0) return "closed";
  if ((state & (MESH_FLOW_CLIENT_FIN | MESH_FLOW_ENDPOINT_FIN)) != 0) return "closing";
  return (state & MESH_FLOW_CONFIRMED) != 0 ? "established" : "new";
}

ForeignSlots::ForeignSlots(const Observed& observed, std::uint16_t self) : observed_(observed), self_(self) {
  for (const auto& [key, value] : observed[MapId::kServices]) {
    const auto word = value_of<mesh_service>(value);
    services_[value_of<std::uint32_t>(key)] = {word, ring_slots(observed, word.ring), {}};
  }
}

void ForeignSlots::add(const mesh_flow& record) {
  if (record.kind == MESH_FLOW_REVERSE) return;
  const auto protocol = static_cast<Protocol>(record.protocol);
  const auto found = services_.find(service_index(protocol, ntohs(record.original_port)));
  if (found == services_.end()) return;
  Service& service = found->second;
  const std::uint64_t hash =
      MESH_OPTIONS_AFFINITY(service.word.options) != 0
          ? mesh_affinity_hash(&record.client, record.original_port, record.protocol)
          : mesh_ring_hash(&record.client, &record.original, record.client_port, record.original_port, record.protocol);
  const std::uint32_t slot = mesh_ring_slot(hash, MESH_RING_LOG2(service.word.ring));
  if (slot >= service.slots.size()) return;
  const auto byte = static_cast<std::uint8_t>(service.slots[slot]);
  if ((byte & MESH_SLOT_MOVED) == 0) return;
  const std::uint32_t row = service.word.backends + (byte & MESH_SLOT_OWNER);
  const auto owner = observed_[MapId::kBackends].find(bytes_of(row));
  if (owner != observed_[MapId::kBackends].end()) {
    const auto backend = value_of<mesh_backend>(owner->second);
    if (backend.node == self_ && backend.binding == record.binding) return;  // the owner's own flow
  }
  service.held.insert(static_cast<std::uint16_t>(slot));
}

std::vector<ForeignHeld> ForeignSlots::result() const {
  std::vector<ForeignHeld> result;
  for (const auto& [index, service] : services_) {
    result.push_back({.protocol = service_protocol(index),
                      .port = service_port(index),
                      .version = MESH_RING_VERSION(service.word.ring),
                      .held = {service.held.begin(), service.held.end()}});
  }
  return result;
}

}  // namespace mesh::dataplane
