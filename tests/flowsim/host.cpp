#include "tests/flowsim/host.h"

#include <algorithm>
#include <span>

#include "bpf/lib/flow.h"
#include "dataplane/flow_scan.h"
#include "dataplane/layout.h"
#include "tests/flowsim/simulation.h"

namespace mesh::flowsim {
namespace {

using dataplane::bytes_of;
using dataplane::MapId;
using dataplane::Protocol;

constexpr std::uint8_t kTickShift = 10;  // jiffies of a millisecond

// The port as its host is told of it. A fault is that something is left out.
dataplane::PublishedPort published_port(PortIndex port, const ServiceRow& row, Fault fault) {
  const bool told_affinity = fault != Fault::kNoAffinity;
  dataplane::PublishedPort published{
      .service_id = {},
      .service_name = {},
      .protocol = is_datagrams(port) ? Protocol::kUdp : Protocol::kTcp,
      .port = number_of(port),
      .ring = {},
      .backends = {},
      .affinity_seconds = told_affinity ? kPorts[port].affinity_ticks : 0,
      .prefer_local = kPorts[port].prefer_local && fault != Fault::kNoLocal,
      .addresses = {},
      .allow = {},
  };
  for (const BackendRow& backend : row.backends) {
    if (backend.container == kNoContainer) {
      published.backends.emplace_back();
    } else {
      published.backends.push_back({.node = backend.node, .binding = 0, .state = backend.state});
    }
  }
  return published;
}

dataplane::Ring ring_as_told(const dataplane::Ring& ring, Fault fault) {
  dataplane::Ring told = ring;
  if (fault == Fault::kNoSearch) told.foreign.clear();
  if (fault == Fault::kNoSearch || fault == Fault::kNoPrevious) told.previous.clear();
  return told;
}

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
  config.mesh_v6 = mesh_address{{mesh_be32(0xfd000000), 0, 0, mesh_be32(2)}};
  config.self_address[0] = address_of_host(node_, false);
  config.self_address[1] = address_of_host(kAnyHost, false);
  config.self_address[2] = address_of_host(node_, true);
  config.self_address[3] = address_of_host(kAnyHost, true);
  config.ingress_v4.mask = config.ingress_v6.mask = {{~0U, ~0U, ~0U, ~0U}};
  for (std::uint16_t i = 1; i <= simulation_.scenario.hosts; ++i) {
    mesh_node& node = tables_->nodes[i];
    node.address = address_of_host(i, false);
    node.ifindex = 1;
    node.inner_mtu = 1450;
    node.flags = MESH_NODE_VALID | (i == node_ ? MESH_NODE_SELF : 0U);
  }
  for (PortIndex port = 0; port < kPorts.size(); ++port) {
    tables_->ports[port].index = MESH_SERVICE_INDEX(kPorts[port].protocol, number_of(port));
  }
  picture_ = {};
  row_version_ = 0;
}

flowsim_tables& Host::tables() {
  tables_->jiffies = static_cast<std::uint64_t>(simulation_.clock.now() / kMillisecond);
  return *tables_;
}

bool Host::has_local(PortIndex port) const {
  const std::span backends(tables_->backends + port * MESH_SERVICE_BACKENDS_MAX, MESH_SERVICE_BACKENDS_MAX);
  return std::ranges::any_of(backends, [&](const mesh_backend& backend) {
    return backend.node == node_ && backend.state == MESH_STATE_READY;
  });
}

bool Host::enters_moved(PortIndex port, const mesh_packet& packet) const {
  const mesh_service& service = tables_->ports[port].service;
  const std::uint64_t hash = MESH_OPTIONS_AFFINITY(service.options) != 0
                                 ? mesh_affinity_hash(&packet.source, packet.destination_port, packet.protocol)
                                 : mesh_packet_ring_hash(&packet);
  const std::uint32_t slot = mesh_ring_slot(hash, MESH_RING_LOG2(service.ring));
  return (tables_->rings[MESH_RING_CHUNK(service.ring) + slot / 64].slot[slot % 64] & MESH_SLOT_MOVED) != 0;
}

Time Host::delay() const {
  Random& random = simulation_.random;
  Time delay = 2 * kMillisecond + random.up_to(120 * kMillisecond) + control_delay;
  if (random.chance(0.2)) delay += random.up_to(600 * kMillisecond);
  return delay;
}

void Host::expect(const std::shared_ptr<const ServiceRow>& row) {
  simulation_.clock.after(delay(), [this, row, born = life] {
    if (life != born || !up || row_version_ >= row->version) return;
    apply(*row);
    simulation_.clock.after(simulation_.random.up_to(20 * kMillisecond), [this, born, version = row->version] {
      if (life == born && up) simulation_.leader.acknowledge(node_, version);
    });
  });
}

void Host::apply(const ServiceRow& row) {
  row_version_ = row.version;
  for (const BackendRow& backend : row.backends) {
    if (backend.container == kNoContainer || backend.node != node_) continue;
    const Container& container = simulation_.container(backend.container);
    if (!container.alive) continue;
    for (PortIndex port = 0; port < kPorts.size(); ++port) {
      mesh_binding& binding = tables_->bindings[container.binding(port)];
      binding = container.abi_binding(port);
      binding.state = static_cast<std::uint8_t>(backend.state);
    }
  }
  for (PortIndex port = 0; port < kPorts.size(); ++port) apply_port(port, row);
}

void Host::apply_port(PortIndex port, const ServiceRow& row) {
  const Fault fault = simulation_.scenario.fault;
  const dataplane::Ring& ring = row.rings[port];
  if (ring.owners.empty()) return;
  flowsim_port& entry = tables_->ports[port];
  const bool new_ring = ring.version != ring_version(port);
  const auto chunk = static_cast<std::uint32_t>(port * FLOWSIM_CHUNKS_MAX);
  const mesh_service where{.ring = MESH_RING(chunk, ring.log2(), MESH_RING_VALID, ring.version),
                           .backends = static_cast<std::uint32_t>(port * MESH_SERVICE_BACKENDS_MAX),
                           .options = 0};
  dataplane::PublishedPort published = published_port(port, row, fault);
  for (std::size_t i = 0; i < row.backends.size(); ++i) {
    if (row.backends[i].container == kNoContainer) continue;
    published.backends[i].binding = simulation_.container(row.backends[i].container).binding(port);
  }
  if (new_ring) published.ring = ring_as_told(ring, fault);
  dataplane::Observed rows;
  dataplane::add_rows(rows, node_, published, where);
  write_backends(port, rows);
  if (new_ring) write_ring(port, rows);
  entry.service = dataplane::value_of<mesh_service>(rows[MapId::kServices].begin()->second);
  keep_picture(port, rows, new_ring);
}

void Host::write_backends(PortIndex port, const dataplane::Observed& rows) {
  mesh_backend* first = tables_->backends + port * MESH_SERVICE_BACKENDS_MAX;
  std::fill_n(first, MESH_SERVICE_BACKENDS_MAX, mesh_backend{});
  for (const auto& [key, value] : rows[MapId::kBackends]) {
    tables_->backends[dataplane::value_of<std::uint32_t>(key)] = dataplane::value_of<mesh_backend>(value);
  }
  tables_->ports[port].local = {};
  for (const auto& [key, value] : rows[MapId::kLocals]) {
    tables_->ports[port].local = dataplane::value_of<mesh_local>(value);
  }
}

void Host::write_ring(PortIndex port, const dataplane::Observed& rows) {
  for (const auto& [key, value] : rows[MapId::kRings]) {
    tables_->rings[dataplane::value_of<std::uint32_t>(key)] = dataplane::value_of<mesh_ring_chunk>(value);
  }
  flowsim_port& entry = tables_->ports[port];
  std::ranges::fill(entry.has_row, std::uint8_t{0});
  for (const auto& [key, value] : rows[MapId::kRows]) {
    const auto slot = dataplane::value_of<mesh_row_key>(key).slot;
    entry.rows[slot] = dataplane::value_of<mesh_row>(value);
    entry.has_row[slot] = 1;
    if (simulation_.scenario.fault == Fault::kNoCircle) entry.rows[slot].count = 0;
  }
}

void Host::keep_picture(PortIndex port, const dataplane::Observed& rows, bool with_ring) {
  const std::uint32_t first = static_cast<std::uint32_t>(port * MESH_SERVICE_BACKENDS_MAX);
  dataplane::Table& backends = picture_[MapId::kBackends];
  for (std::uint32_t i = 0; i < MESH_SERVICE_BACKENDS_MAX; ++i) backends.erase(bytes_of(first + i));
  for (const auto& [key, value] : rows[MapId::kBackends]) backends[key] = value;
  for (const auto& [key, value] : rows[MapId::kServices]) picture_[MapId::kServices][key] = value;
  if (!with_ring) return;
  for (const auto& [key, value] : rows[MapId::kRings]) picture_[MapId::kRings][key] = value;
}

// Only if it is still this container's: its number may be another's already.
void Host::unbind(const Container& container) {
  for (PortIndex port = 0; port < kPorts.size(); ++port) {
    mesh_binding& binding = tables_->bindings[container.binding(port)];
    if (binding.ifindex == container.ifindex()) binding = {};
  }
}

void Host::scan() {
  if (!serves()) return;
  const Fault fault = simulation_.scenario.fault;
  flowsim_sweep(&tables());
  dataplane::ForeignSlots foreign(picture_, node_);
  std::vector<std::uint64_t> rewritten(MESH_FILTER_WORDS, 0);
  for (const mesh_flow_set& set : tables_->flows) {
    for (std::uint32_t way = 0; way < MESH_FLOW_WAYS; ++way) {
      if (set.tag[way] == 0) continue;
      const bool left_out = set.record[way].kind == MESH_FLOW_AFFINITY && fault == Fault::kAffinityNotHeld;
      if (!left_out) foreign.add(set.record[way]);
      if (set.record[way].kind != MESH_FLOW_FORWARD) continue;
      const std::uint32_t bit = MESH_FILTER_BIT(set.tag[way]);
      rewritten[bit / 64] |= 1ULL << (bit % 64);
    }
  }
  for (std::uint32_t word = 0; word < MESH_FILTER_WORDS; ++word) {
    tables_->filters[word] = {.rewritten = rewritten[word], .trusted = 0};
  }
  for (dataplane::ForeignHeld& held : foreign.result()) {
    HeldReport report{.port = static_cast<PortIndex>(held.port - FLOWSIM_PORT_FIRST),
                      .node = node_,
                      .ring_version = held.version,
                      .held = std::move(held.held)};
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

void Host::join(const std::shared_ptr<const ServiceRow>& row) {
  clear();
  control_delay = 0;
  up = true;
  apply(*row);
  simulation_.leader.acknowledge(node_, row->version);
}

}  // namespace mesh::flowsim
