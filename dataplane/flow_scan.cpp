#include "dataplane/flow_scan.h"

#include <arpa/inet.h>
#include <ctime>

#include "bpf/lib/hash.h"
#include "dataplane/layout.h"

namespace mesh::dataplane {
namespace {

// After how long without a packet a record goes; never sooner than the programs would give it up themselves
// (bpf/lib/flow.h), so that a scan changes nothing that a packet could still need.
constexpr std::uint32_t kEstablishedSecondsMax = 5 * 24 * 3600;  // nf_conntrack_tcp_timeout_established
constexpr std::uint32_t kUdpSecondsMax = 200;
constexpr std::uint32_t kNewSecondsMax = 70;     // the last SYN of a client was long ago
constexpr std::uint32_t kClosedSecondsMax = 10;  // late segments are over

bool is_closed(const mesh_flow& record) {
  constexpr unsigned int kBothEnds = MESH_FLOW_CLIENT_FIN | MESH_FLOW_ENDPOINT_FIN;
  return (record.state & MESH_FLOW_RESET) != 0 || (record.state & kBothEnds) == kBothEnds;
}

std::uint32_t idle_limit(const mesh_flow& record) {
  if (record.protocol == static_cast<std::uint8_t>(Protocol::kUdp)) return kUdpSecondsMax;
  if (is_closed(record)) return kClosedSecondsMax;
  return (record.state & MESH_FLOW_CONFIRMED) != 0 ? kEstablishedSecondsMax : kNewSecondsMax;
}

}  // namespace

Tick now_tick() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const auto nanoseconds =
      static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
  return static_cast<Tick>(nanoseconds >> MESH_TICK_SHIFT);
}

std::uint32_t seconds_since(Tick seen, Tick now) {
  // The programs' coarse clock may be a tick ahead of ours.
  const auto ticks = static_cast<std::int32_t>(now - seen);
  if (ticks <= 0) return 0;
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(ticks) << MESH_TICK_SHIFT) / 1'000'000'000U);
}

bool is_due(const mesh_flow& record, const Table& bindings, Tick now) {
  if (!bindings.contains(bytes_of(std::uint32_t{record.binding}))) return true;
  return seconds_since(record.seen, now) > idle_limit(record);
}

std::string flow_state(const mesh_flow& record) {
  if (record.protocol == static_cast<std::uint8_t>(Protocol::kUdp)) {
    return (record.state & MESH_FLOW_ANSWERED) != 0 ? "established" : "new";
  }
  if (is_closed(record)) return "closed";
  if ((record.state & (MESH_FLOW_CLIENT_FIN | MESH_FLOW_ENDPOINT_FIN)) != 0) return "closing";
  return (record.state & MESH_FLOW_CONFIRMED) != 0 ? "established" : "new";
}

ForeignSlots::ForeignSlots(const Observed& observed, std::uint16_t self) : observed_(observed), self_(self) {
  for (const auto& [key, value] : observed[MapId::kServices]) {
    const auto word = value_of<mesh_service>(value);
    services_[value_of<std::uint32_t>(key)] = {word, ring_slots(observed, word.ring), {}};
  }
}

void ForeignSlots::add(const mesh_flow& record) {
  if (record.kind != MESH_FLOW_FORWARD) return;
  const auto protocol = static_cast<Protocol>(record.protocol);
  const auto found = services_.find(service_index(protocol, ntohs(record.original_port)));
  if (found == services_.end()) return;
  Service& service = found->second;
  const std::uint64_t hash =
      mesh_ring_hash(&record.client, &record.original, record.client_port, record.original_port, record.protocol);
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
