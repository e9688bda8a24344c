#include "tests/flowsim/host.h"

#include <algorithm>

#include "bpf/lib/flow.h"
#include "dataplane/flow_scan.h"
#include "tests/flowsim/simulation.h"

namespace mesh::flowsim {
namespace {

using dataplane::bytes_of;
using dataplane::MapId;

constexpr std::uint8_t kTickShift = 10;  // jiffies of a millisecond

}  // namespace

Host::Host(Simulation& simulation, std::uint16_t node) : simulation_(simulation), node_(node) { clear(); }

// As a machine that has just started.
void Host::clear() {
  tables_ = std::make_unique<flowsim_tables>();
  mesh_config& config = tables_->config;
  config.abi = MESH_ABI_VERSION;
  config.self = node_;
  config.endpoint_mtu = 1450;
  config.ingress_vni = MESH_VNI_MIN;
  config.flow_mask = FLOWSIM_SETS - 1;
  config.tick_shift = kTickShift;
  config.flow_seed = simulation_.random.number();
  config.mesh_v4 = mesh_address_v4(mesh_be32(0x0a000002));
  config.self_address[0] = address_of_host(node_);
  config.self_address[1] = address_of_host(kAnyHost);
  config.ingress_v4.mask = config.ingress_v6.mask = {{~0U, ~0U, ~0U, ~0U}};
  for (std::uint16_t i = 1; i <= simulation_.scenario.hosts; ++i) {
    mesh_node& node = tables_->nodes[i];
    node.address = address_of_host(i);
    node.ifindex = 1;
    node.inner_mtu = 1450;
    node.flags = MESH_NODE_VALID | (i == node_ ? MESH_NODE_SELF : 0U);
  }
  picture_ = {};
  row_version_ = 0;
}

flowsim_tables& Host::tables() {
  tables_->jiffies = static_cast<std::uint64_t>(simulation_.clock.now() / kMillisecond);
  return *tables_;
}

Time Host::delay() const {
  Random& random = simulation_.random;
  Time delay = 2 * kMillisecond + random.up_to(120 * kMillisecond) + control_delay;
  if (random.chance(0.2)) delay += random.up_to(600 * kMillisecond);
  return delay;
}

void Host::expect(const std::shared_ptr<const PortRow>& row) {
  simulation_.clock.after(delay(), [this, row, born = life] {
    if (life != born || !up || row_version_ >= row->version) return;
    apply(*row);
    simulation_.clock.after(simulation_.random.up_to(20 * kMillisecond), [this, born, version = row->version] {
      if (life == born && up) simulation_.leader.acknowledge(node_, version);
    });
  });
}

void Host::apply(const PortRow& row) {
  row_version_ = row.version;
  std::ranges::fill(tables_->backends, mesh_backend{});
  for (std::size_t i = 0; i < row.backends.size(); ++i) {
    const BackendRow& backend = row.backends[i];
    if (backend.container == kNoContainer) continue;
    tables_->backends[i] = {.node = backend.node,
                            .binding = backend.binding,
                            .state = static_cast<std::uint8_t>(backend.state),
                            .reserved = {}};
    const Container& container = simulation_.container(backend.container);
    if (backend.node == node_ && container.alive) tables_->bindings[backend.binding] = container.abi_binding();
  }
  const bool ready = std::ranges::any_of(row.backends, [](const BackendRow& backend) {
    return backend.container != kNoContainer && backend.state == dataplane::EndpointState::kReady;
  });
  tables_->service.options = MESH_OPTIONS(ready ? MESH_SERVICE_READY : 0U, 0U);
  if (row.ring.version == ring_version()) return;
  write_slots(row);
  write_rows(row);
  const std::uint64_t valid = row.ring.owners.empty() ? 0 : MESH_RING_VALID;
  tables_->service.ring = MESH_RING(0, row.ring.log2(), valid, row.ring.version);
  write_picture();
}

void Host::write_slots(const PortRow& row) {
  const Fault fault = simulation_.scenario.fault;
  for (std::size_t i = 0; i < row.ring.owners.size(); ++i) {
    const bool moved = row.ring.foreign.contains(static_cast<std::uint16_t>(i)) && fault != Fault::kNoSearch;
    tables_->rings[i / 64].slot[i % 64] = static_cast<std::uint8_t>(row.ring.owners[i] | (moved ? MESH_SLOT_MOVED : 0));
  }
}

void Host::write_rows(const PortRow& row) {
  const Fault fault = simulation_.scenario.fault;
  std::ranges::fill(tables_->has_row, std::uint8_t{0});
  const auto row_of = [&](std::uint16_t slot) -> mesh_row& {
    if (tables_->has_row[slot] == 0) tables_->rows[slot] = {.previous = MESH_SLOT_NONE, .count = 0, .host = {}};
    tables_->has_row[slot] = 1;
    return tables_->rows[slot];
  };
  if (fault == Fault::kNoSearch) return;
  if (fault != Fault::kNoPrevious) {
    for (const auto& [slot, previous] : row.ring.previous) row_of(slot).previous = previous;
  }
  if (fault == Fault::kNoCircle) return;
  for (const auto& [slot, hosts] : row.ring.foreign) {
    mesh_row& entry = row_of(slot);
    entry.count = static_cast<std::uint8_t>(hosts.size());
    std::ranges::copy(hosts, entry.host);
  }
}

void Host::write_picture() {
  const std::uint32_t index = MESH_SERVICE_INDEX(MESH_TCP, FLOWSIM_PORT);
  picture_[MapId::kServices][bytes_of(index)] = bytes_of(tables_->service);
  const std::uint32_t chunks = std::max(1U, (1U << MESH_RING_LOG2(tables_->service.ring)) / 64U);
  for (std::uint32_t i = 0; i < chunks; ++i) picture_[MapId::kRings][bytes_of(i)] = bytes_of(tables_->rings[i]);
  picture_[MapId::kBackends].clear();
  for (std::uint32_t i = 0; i < MESH_SERVICE_BACKENDS_MAX; ++i) {
    if (tables_->backends[i].node != 0) picture_[MapId::kBackends][bytes_of(i)] = bytes_of(tables_->backends[i]);
  }
}

// Only if it is still this container's: its number may be another's already.
void Host::unbind(const Container& container) {
  mesh_binding& binding = tables_->bindings[container.binding];
  if (binding.ifindex == container.ifindex()) binding = {};
}

void Host::scan() {
  if (!serves()) return;
  flowsim_sweep(&tables());
  dataplane::ForeignSlots foreign(picture_, node_);
  std::vector<std::uint64_t> rewritten(MESH_FILTER_WORDS, 0);
  for (const mesh_flow_set& set : tables_->flows) {
    for (std::uint32_t way = 0; way < MESH_FLOW_WAYS; ++way) {
      if (set.tag[way] == 0) continue;
      foreign.add(set.record[way]);
      if (set.record[way].kind != MESH_FLOW_FORWARD) continue;
      const std::uint32_t bit = MESH_FILTER_BIT(set.tag[way]);
      rewritten[bit / 64] |= 1ULL << (bit % 64);
    }
  }
  for (std::uint32_t word = 0; word < MESH_FILTER_WORDS; ++word) {
    tables_->filters[word] = {.rewritten = rewritten[word], .trusted = 0};
  }
  for (dataplane::ForeignHeld& held : foreign.result()) {
    HeldReport report{.node = node_, .ring_version = held.version, .held = std::move(held.held)};
    simulation_.clock.after(delay(), [this, born = life, report] {
      if (life == born && up) simulation_.leader.report(report);
    });
  }
}

void Host::die() {
  up = false;
  behind = false;
  ++life;
  simulation_.figures.given_ports += tables_->counters[MESH_COUNT_FLOW_REWRITTEN];
}

void Host::join(const std::shared_ptr<const PortRow>& row) {
  clear();
  control_delay = 0;
  up = true;
  apply(*row);
  simulation_.leader.acknowledge(node_, row->version);
}

}  // namespace mesh::flowsim
