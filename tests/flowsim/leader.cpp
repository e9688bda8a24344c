#include "tests/flowsim/leader.h"

#include <algorithm>

#include <fmt/format.h>

#include "tests/flowsim/simulation.h"

namespace mesh::flowsim {
namespace {

using dataplane::EndpointState;
using dataplane::Ring;
using dataplane::RingMember;

constexpr Time kPassEvery = 20 * kMillisecond;
constexpr Time kAcknowledgeTimeout = 5 * kSecond;  // as manager::kAcknowledgeTimeout

EndpointState state_of(const Container& container) {
  if (container.known_dead) return EndpointState::kGone;
  return container.draining ? EndpointState::kDraining : EndpointState::kReady;
}

// Share of the hash space whose owner is another one, whatever the sizes.
double moved_share(const Ring& before, const Ring& after) {
  const std::size_t ratio = after.owners.size() / before.owners.size();
  std::size_t moved = 0;
  for (std::size_t i = 0; i < after.owners.size(); ++i) moved += before.owners[i / ratio] != after.owners[i] ? 1U : 0U;
  return static_cast<double>(moved) / static_cast<double>(after.owners.size());
}

// The share of the one backend by which the two differ; 0: they differ in more, or not at all.
double share_of_change(const std::vector<RingMember>& before, const std::vector<RingMember>& after) {
  const std::vector<RingMember>& larger = before.size() > after.size() ? before : after;
  const std::vector<RingMember>& smaller = before.size() > after.size() ? after : before;
  if (larger.size() != smaller.size() + 1 || smaller.empty()) return 0;
  double all = 0, extra = 0;
  for (const RingMember& member : larger) {
    all += member.weight;
    const auto same = std::ranges::find_if(smaller, [&](const RingMember& other) {
      return other.index == member.index && other.node == member.node && other.weight == member.weight;
    });
    if (same != smaller.end()) continue;
    if (extra != 0) return 0;
    extra = member.weight;
  }
  return extra / all;
}

}  // namespace

Leader::Leader(Simulation& simulation) : simulation_(simulation) {}

void Leader::start() {
  pass();
  simulation_.clock.after(kPassEvery, [this] { start(); });
}

void Leader::report(HeldReport report) {
  const Ring& ring = row_->rings[report.port];
  if (report.ring_version != ring.version) return;
  has_work_ |= !ring.foreign.empty();
  reports_[{report.port, report.node}] = std::move(report);
}

void Leader::acknowledge(std::uint16_t node, std::uint32_t version) {
  std::uint32_t& known = acknowledged_[node];
  known = std::max(known, version);
  if (known == row_->version) simulation_.host(node).behind = false;
}

bool Leader::is_settled() {
  if (simulation_.scenario.fault == Fault::kNoWaiting) return true;
  const bool late = simulation_.clock.now() - published_at_ >= kAcknowledgeTimeout;
  bool waits = false;
  for (const auto& host : simulation_.hosts) {
    if (!host->up || acknowledged_[host->node()] == row_->version) continue;
    if (!late) return false;
    host->behind = true;
    waits = true;
  }
  if (waits && !settled_) ++simulation_.figures.timeouts;
  return true;
}

// Every host holds the row: who drains in it may get its signal, and must get no new flow from now on.
void Leader::settle() {
  settled_ = true;
  for (const BackendRow& backend : row_->backends) {
    if (backend.container == kNoContainer || backend.state == EndpointState::kReady) continue;
    Container& container = simulation_.container(backend.container);
    if (container.drained_at) continue;
    container.drained_at = simulation_.clock.now();
    if (container.alive) simulation_.chaos.stop_later(container);
  }
}

void Leader::pass() {
  if ((settled_ && !has_work_) || !is_settled()) return;
  if (!settled_) settle();
  has_work_ = false;
  ServiceRow next = *row_;
  move_backends(next);
  add_backends(next);
  change_owners(next);
  if (next.backends == row_->backends && next.rings == row_->rings) return;
  publish(std::move(next));
}

// Rows of containers that every host has as gone become holes; the states of the others move on.
void Leader::move_backends(ServiceRow& row) const {
  for (std::size_t i = 0; i < row.backends.size(); ++i) {
    BackendRow& backend = row.backends[i];
    if (backend.container == kNoContainer) continue;
    Container& container = simulation_.container(backend.container);
    const bool owns = std::ranges::any_of(row.rings, [&](const Ring& ring) {
      return std::ranges::find(ring.owners, static_cast<std::uint8_t>(i)) != ring.owners.end();
    });
    if (backend.state == EndpointState::kGone && !owns) {
      container.place_released = true;
      backend = BackendRow{};
    } else {
      backend.state = std::max(backend.state, state_of(container));
    }
  }
  while (!row.backends.empty() && row.backends.back().container == kNoContainer) row.backends.pop_back();
}

void Leader::add_backends(ServiceRow& row) const {
  std::erase_if(simulation_.started, [&](ContainerId id) {
    Container& container = simulation_.container(id);
    if (state_of(container) != EndpointState::kReady) {
      container.place_released = container.known_dead;
      return container.known_dead;
    }
    const BackendRow backend{.container = id, .node = container.node, .weight = container.weight};
    const auto hole = std::ranges::find(row.backends, kNoContainer, &BackendRow::container);
    if (hole == row.backends.end() && row.backends.size() >= dataplane::kBackendsMax) return false;
    if (hole == row.backends.end()) {
      row.backends.push_back(backend);
    } else {
      *hole = backend;
    }
    return true;
  });
}

bool Leader::drop_hosts(PortIndex port, Ring& ring) const {
  const bool early = simulation_.scenario.fault == Fault::kForgetEarly;
  bool changed = false;
  for (const auto& [from, report] : reports_) {
    if (report.port != port) continue;
    const std::vector<std::uint16_t> held = early ? std::vector<std::uint16_t>() : report.held;
    changed |= dataplane::drop_foreign(ring, report.node, report.ring_version, held);
  }
  for (const auto& host : simulation_.hosts) {
    if (!host->up) changed |= dataplane::drop_dead(ring, host->node());
  }
  return changed;
}

// Only backends that the row which every host holds lists as ready may own slots.
void Leader::change_owners(ServiceRow& row) {
  const bool draining_too = simulation_.scenario.fault == Fault::kDrainingOwns;
  std::vector<RingMember> members;
  std::map<std::uint8_t, std::uint16_t> node_of;
  for (std::size_t i = 0; i < row.backends.size(); ++i) {
    const BackendRow& backend = row.backends[i];
    const auto index = static_cast<std::uint8_t>(i);
    if (backend.container == kNoContainer || backend.state == EndpointState::kGone) continue;
    node_of[index] = backend.node;
    const bool known = i < row_->backends.size() && row_->backends[i].container == backend.container;
    if (known && (backend.state == EndpointState::kReady || draining_too)) {
      members.push_back({.index = index, .node = backend.node, .weight = backend.weight});
    }
  }
  for (PortIndex port = 0; port < kPorts.size(); ++port) change_owners_of(port, row, members, node_of);
  reports_.clear();
  members_ = members;
}

void Leader::change_owners_of(PortIndex port, ServiceRow& row, const std::vector<RingMember>& members,
                              const std::map<std::uint8_t, std::uint16_t>& node_of) {
  Ring& ring = row.rings[port];
  const bool dropped = drop_hosts(port, ring);
  Ring before = ring;
  if (simulation_.scenario.fault == Fault::kFreshRing && share_of_change(members_, members) != 0) {
    std::ranges::fill(before.owners, dataplane::kNoBackend);
  }
  auto changed = dataplane::change_ring(before, members, node_of);
  if (!changed) return;
  if (changed->version == ring.version) {
    if (dropped) ring = dataplane::next_version(std::move(*changed));
    return;
  }
  judge_movement(ring, *changed, members);
  ring = std::move(*changed);
}

void Leader::judge_movement(const Ring& before, const Ring& after, const std::vector<RingMember>& members) {
  const double share = share_of_change(members_, members);
  if (share == 0 || before.owners.empty()) return;
  const double moved = moved_share(before, after);
  Figures& figures = simulation_.figures;
  ++figures.single_changes;
  figures.largest_move = std::max(figures.largest_move, moved - share);
  if (moved <= share + 0.01) return;
  simulation_.invariants.broken(
      Promise::kMovement,
      fmt::format("ring {}: {:.2f} % of new flows moved, the backend's share is {:.2f} %, slots {} -> {}",
                  after.version, 100 * moved, 100 * share, before.owners.size(), after.owners.size()));
}

void Leader::publish(ServiceRow row) {
  if (row.rings[0].version != row_->rings[0].version) ++simulation_.figures.changes;
  simulation_.figures.slots = row.rings[0].owners.size();
  ++row.version;
  row_ = std::make_shared<ServiceRow>(std::move(row));
  published_at_ = simulation_.clock.now();
  settled_ = false;
  for (const auto& host : simulation_.hosts) {
    if (host->up) host->expect(row_);
  }
}

}  // namespace mesh::flowsim
