#include "tests/flowsim/network.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "bpf/lib/flow.h"
#include "bpf/lib/walk.h"
#include "tests/flowsim/simulation.h"

namespace mesh::flowsim {
namespace {

std::uint8_t flags_of(Segment segment) {
  switch (segment) {
    case Segment::kSyn:
      return MESH_TCP_SYN;
    case Segment::kSynAck:
      return MESH_TCP_SYN | MESH_TCP_ACK;
    case Segment::kFin:
      return MESH_TCP_FIN | MESH_TCP_ACK;
    case Segment::kReset:
      return MESH_TCP_RST;
    case Segment::kData:
    case Segment::kAck:
    case Segment::kChallenge:
      return MESH_TCP_ACK;
  }
  return 0;
}

void describe(mesh_packet& ip, const Tuple& tuple, Segment segment) {
  const bool datagrams = is_datagrams(tuple.service);
  ip.protocol = kPorts[tuple.service].protocol;
  ip.ttl = 64;
  ip.length = segment == Segment::kData ? 100 : 60;
  ip.v6 = tuple.v6 ? 1 : 0;
  ip.has_ports = 1;
  ip.l4_size = datagrams ? 8 : 20;
  ip.l4_offset = tuple.v6 ? 40 : 20;
  if (datagrams) return;
  ip.has_payload = segment == Segment::kData ? 1 : 0;
  ip.tcp_flags = flags_of(segment);
}

}  // namespace

Time Network::delay() {
  Random& random = simulation_.random;
  Time delay = 200 + random.up_to(800);
  if (random.chance(0.02)) delay += random.up_to(80 * kMillisecond);
  return delay;
}

void Network::from_client(const Packet& packet) {
  ++simulation_.figures.packets;
  simulation_.clock.after(delay(), [this, packet] { at_entry(simulation_.host(packet.entry), packet); });
}

// Where a host prefers its own containers, and gets its first or loses its last, packets that overtake each other just
// then may part: one goes by the ring, one does not.
void Network::note_entry(const Host& host, Connection& connection, ConnectionId id) {
  const PortIndex port = connection.tuple.service;
  const Time now = simulation_.clock.now();
  const bool has_local = host.has_local(port);
  const bool on_their_way = connection.entered_at != 0 && now - connection.entered_at < kDelayMax;
  if (kPorts[port].prefer_local && on_their_way && has_local != connection.has_local) simulation_.excuse(id);
  connection.entered = true;
  connection.entered_at = now;
  connection.has_local = has_local;
}

void Network::at_entry(Host& host, Packet packet) {
  if (!host.serves()) return;
  Connection& connection = simulation_.clients[packet.connection];
  const Tuple& tuple = connection.tuple;
  note_entry(host, connection, packet.connection);
  packet.entered = simulation_.clock.now();
  packet.has_local = connection.has_local;
  packet.ip.source = simulation_.address_of(tuple);
  packet.ip.source_port = mesh_be16(tuple.port);
  packet.ip.destination = address_of_host(tuple.host, tuple.v6);
  packet.ip.destination_port = mesh_be16(number_of(tuple.service));
  describe(packet.ip, tuple, packet.segment);
  if (host.behind) simulation_.excuse(packet.connection);
  flowsim_tables& tables = host.tables();
  if (host.enters_moved(tuple.service, packet.ip)) ++simulation_.figures.entered_moved;
  tables.counters[MESH_COUNT_FLOW_CREATED] = tables.counters[MESH_COUNT_FLOW_REOPENED] = 0;
  go_on(host, packet, flowsim_enter(&tables, &packet.ip, tuple.inside != kNoContainer));
}

void Network::at_host(Host& host, Packet packet) {
  if (!host.serves()) return;
  const Fault fault = simulation_.scenario.fault;
  const PortIndex port = simulation_.clients[packet.connection].tuple.service;
  if (host.behind) simulation_.excuse(packet.connection);
  if (fault == Fault::kNoVersions) packet.header.ring_version = mesh_be32(host.ring_version(port));
  if (fault == Fault::kNoStage) packet.header.flags &= static_cast<std::uint8_t>(~MESH_TUNNEL_STAGE_MASK);
  if (fault == Fault::kNoChoice && packet.header.backend == MESH_SLOT_NONE) packet.header.backend = 0;
  flowsim_tables& tables = host.tables();
  tables.counters[MESH_COUNT_FLOW_CREATED] = tables.counters[MESH_COUNT_FLOW_REOPENED] = 0;
  go_on(host, packet, flowsim_receive(&tables, &packet.ip, &packet.header));
}

void Network::go_on(Host& host, const Packet& packet, const flowsim_outcome& outcome) {
  switch (outcome.verdict) {
    case FLOWSIM_DROP:
      ++simulation_.figures.drops[outcome.reason];
      if (outcome.reason == MESH_COUNT_HOPS) {
        simulation_.broken(Promise::kHops, packet.connection, fmt::format("at host {}", host.node()));
      }
      break;
    case FLOWSIM_DELIVER:
      judge_new_flow(host, packet, outcome);
      ++simulation_.figures.hops[packet.hops];
      deliver(simulation_, simulation_.container(container_behind(outcome.ifindex)), packet,
              {.address = outcome.seen, .port = mesh_swap16(outcome.given_port)});
      break;
    case FLOWSIM_SEND: {
      Packet next = packet;
      next.header = outcome.header;
      ++next.hops;
      simulation_.clock.after(delay(), [this, next, node = outcome.node] { at_host(simulation_.host(node), next); });
      break;
    }
    case FLOWSIM_CLIENT:
    case FLOWSIM_PASS:  // the host's own stack knows no such connection
      to_client({.segment = Segment::kReset, .connection = packet.connection, .number = packet.number});
      break;
  }
}

// Whose record had to make room is not told: it was one of the set's. Nor is it counted if that one's client was not
// heard of after its SYN; so in a full set nothing is promised.
void Network::excuse_evicted(Host& host, const Packet& packet, std::uint16_t given_port) {
  flowsim_tables& tables = host.tables();
  const auto set_of = [&](const mesh_address& client, std::uint16_t port, std::uint8_t protocol) {
    const std::uint64_t hash = mesh_flow_hash(&client, mesh_be16(port), protocol, tables.config.flow_seed);
    return mesh_flow_set_index(hash, tables.config.flow_mask);
  };
  const Tuple& tuple = simulation_.clients[packet.connection].tuple;
  const std::array full = {set_of(packet.ip.source, tuple.port, packet.ip.protocol),
                           set_of(packet.ip.source, given_port, packet.ip.protocol),
                           set_of(packet.ip.source, number_of(tuple.service), packet.ip.protocol)};
  const auto has_no_room = [&](std::uint32_t set) { return std::ranges::count(tables.flows[set].tag, 0U) == 0; };
  const std::uint64_t evicted = std::exchange(tables.counters[MESH_COUNT_FLOW_EVICTED], 0);
  simulation_.figures.evicted += evicted;
  if (evicted == 0 && std::ranges::none_of(full, has_no_room)) return;
  const auto is_full = [&](std::uint32_t set) { return std::ranges::find(full, set) != full.end(); };
  simulation_.clients.for_each_open([&](ConnectionId id, const Connection& other) {
    const mesh_address client = simulation_.address_of(other.tuple);
    const std::uint8_t protocol = kPorts[other.tuple.service].protocol;
    if (is_full(set_of(client, other.tuple.port, protocol)) || is_full(set_of(client, other.given_port, protocol))) {
      simulation_.excuse(id);
    }
  });
  simulation_.affinities.forget([&](const mesh_address& client, PortIndex port) {
    return is_full(set_of(client, number_of(port), kPorts[port].protocol));
  });
}

void Network::judge_local(Host& host, const Packet& packet) {
  const PortIndex port = simulation_.clients[packet.connection].tuple.service;
  if (!kPorts[port].prefer_local || !packet.has_local) return;
  ++simulation_.figures.kept_local;
  if (host.node() == packet.entry) return;
  simulation_.broken(Promise::kLocal, packet.connection,
                     fmt::format("entered at host {}, begun at {}", packet.entry, host.node()));
}

void Network::judge_new_flow(Host& host, const Packet& packet, const flowsim_outcome& outcome) {
  flowsim_tables& tables = host.tables();
  const bool created = tables.counters[MESH_COUNT_FLOW_CREATED] + tables.counters[MESH_COUNT_FLOW_REOPENED] != 0;
  if (created || tables.counters[MESH_COUNT_FLOW_EVICTED] != 0) {
    excuse_evicted(host, packet, mesh_swap16(outcome.given_port));
  }
  if (tables.counters[MESH_COUNT_FLOW_CREATED] == 0) return;
  const Container& container = simulation_.container(container_behind(outcome.ifindex));
  if (simulation_.clients[packet.connection].tuple.inside == container.id) ++simulation_.figures.looped;
  simulation_.affinities.begin(packet.connection, container);
  judge_local(host, packet);
  if (!container.drained_at || *container.drained_at >= packet.entered) return;
  simulation_.broken(Promise::kDrained, packet.connection,
                     fmt::format("container {} on host {}, {} ms after the acknowledgements", container.id, host.node(),
                                 (packet.entered - *container.drained_at) / kMillisecond));
}

bool Network::is_restored(const Reply& reply, const flowsim_outcome& outcome) {
  if (outcome.verdict != FLOWSIM_SEND && outcome.verdict != FLOWSIM_CLIENT) return false;
  const Tuple& tuple = simulation_.clients[reply.connection].tuple;
  const mesh_address host = address_of_host(tuple.host, tuple.v6);
  const mesh_address client = simulation_.address_of(tuple);
  return mesh_address_equal(&outcome.original, &host) && mesh_address_equal(&outcome.client, &client) &&
         outcome.client_port == mesh_be16(tuple.port) && outcome.original_port == mesh_be16(number_of(tuple.service));
}

void Network::judge_answer(const Reply& reply, bool restored) {
  Connection& connection = simulation_.clients[reply.connection];
  if (is_datagrams(connection.tuple.service)) {
    // What comes later than the record lives may be lost, or the flow is another container's by then. A client that is
    // over does not listen, and is not told any more that its record had to make room.
    if (connection.state == Connection::State::kOver) return;
    if (connection.container != reply.container || connection.given_port != reply.client.port) return;
    const bool served = simulation_.is_served(connection);
    connection.served_at = simulation_.clock.now();
    if (!served || restored) return;
  } else if (reply.segment != Segment::kSynAck || connection.state != Connection::State::kSynSent || restored) {
    return;
  }
  simulation_.broken(Promise::kHeard, reply.connection,
                     fmt::format("of container {} to port {}", reply.container, reply.client.port));
}

void Network::from_container(const Container& container, const Reply& reply) {
  const Connection& connection = simulation_.clients[reply.connection];
  const Tuple& tuple = connection.tuple;
  Host& host = simulation_.host(container.node);
  mesh_packet ip{};
  ip.source = container.address(tuple.v6);
  ip.source_port = mesh_be16(FLOWSIM_TARGET_PORT);
  ip.destination = reply.client.address;
  ip.destination_port = mesh_be16(reply.client.port);
  describe(ip, tuple, reply.segment);
  const mesh_binding binding = container.abi_binding(tuple.service);
  const flowsim_outcome outcome = flowsim_reply(&host.tables(), &ip, container.ifindex(), binding.mac);
  const bool restored = is_restored(reply, outcome);
  judge_answer(reply, restored);
  if (outcome.verdict != FLOWSIM_SEND && outcome.verdict != FLOWSIM_CLIENT) {
    ++simulation_.figures.untranslated;
    return;
  }
  if (!restored) {
    const bool established = connection.state == Connection::State::kEstablished && reply.number == connection.number;
    if (established && container.id == connection.container && !is_datagrams(tuple.service)) {
      simulation_.broken(Promise::kEstablished, reply.connection, "its answer went to another connection");
    }
    return;
  }
  if (outcome.verdict == FLOWSIM_CLIENT) {
    to_client(reply);
  } else {
    through_entry(outcome.node, reply);
  }
}

void Network::through_entry(std::uint16_t entry, const Reply& reply) {
  simulation_.clock.after(delay(), [this, entry, reply] {
    if (simulation_.host(entry).up) return to_client(reply);
    Connection& connection = simulation_.clients[reply.connection];
    if (connection.tuple.host != kAnyHost || connection.tuple.inside != kNoContainer) return;  // it has one way only
    ++simulation_.figures.lost_replies;
    connection.lost_entry = true;
  });
}

void Network::to_client(const Reply& reply) {
  simulation_.clock.after(delay(), [this, reply] { simulation_.clients.receive(reply); });
}

}  // namespace mesh::flowsim
