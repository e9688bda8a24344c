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

void describe(mesh_packet& ip, Segment segment) {
  ip.protocol = MESH_TCP;
  ip.ttl = 64;
  ip.length = segment == Segment::kData ? 100 : 40;
  ip.has_ports = 1;
  ip.has_payload = segment == Segment::kData ? 1 : 0;
  ip.tcp_flags = flags_of(segment);
  ip.l4_size = 20;
  ip.l4_offset = 20;
}

}  // namespace

Time Network::delay() {
  Random& random = simulation_.random;
  Time delay = 200 + random.up_to(800);
  if (random.chance(0.02)) delay += random.up_to(80 * kMillisecond);
  return delay;
}

void Network::from_client(const Packet& packet, std::uint16_t entry) {
  ++simulation_.figures.packets;
  simulation_.clock.after(delay(), [this, packet, entry] { at_entry(simulation_.host(entry), packet); });
}

void Network::at_entry(Host& host, Packet packet) {
  if (!host.serves()) return;
  Connection& connection = simulation_.clients[packet.connection];
  connection.entered = true;
  packet.entered = simulation_.clock.now();
  packet.ip.source = address_of_client(connection.tuple);
  packet.ip.source_port = mesh_be16(connection.tuple.port);
  packet.ip.destination = address_of_host(connection.tuple.host);
  packet.ip.destination_port = mesh_be16(FLOWSIM_PORT);
  describe(packet.ip, packet.segment);
  if (host.behind) simulation_.excuse(packet.connection);
  flowsim_tables& tables = host.tables();
  const std::uint32_t slot = mesh_ring_slot(mesh_packet_ring_hash(&packet.ip), MESH_RING_LOG2(tables.service.ring));
  if ((tables.rings[slot / 64].slot[slot % 64] & MESH_SLOT_MOVED) != 0) ++simulation_.figures.entered_moved;
  tables.counters[MESH_COUNT_FLOW_CREATED] = 0;
  go_on(host, packet, flowsim_enter(&tables, &packet.ip));
}

void Network::at_host(Host& host, Packet packet) {
  if (!host.serves()) return;
  const Fault fault = simulation_.scenario.fault;
  if (host.behind) simulation_.excuse(packet.connection);
  if (fault == Fault::kNoVersions) packet.header.ring_version = mesh_be32(host.ring_version());
  if (fault == Fault::kNoStage) packet.header.flags &= static_cast<std::uint8_t>(~MESH_TUNNEL_STAGE_MASK);
  flowsim_tables& tables = host.tables();
  tables.counters[MESH_COUNT_FLOW_CREATED] = 0;
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
              mesh_swap16(outcome.given_port));
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

// Whose record had to make room is not told: it was one of the set's.
void Network::excuse_evicted(Host& host, const Packet& packet, std::uint16_t given_port) {
  flowsim_tables& tables = host.tables();
  if (tables.counters[MESH_COUNT_FLOW_EVICTED] == 0) return;
  simulation_.figures.evicted += std::exchange(tables.counters[MESH_COUNT_FLOW_EVICTED], 0);
  const auto set_of = [&](const mesh_address& client, std::uint16_t port) {
    const std::uint64_t hash = mesh_flow_hash(&client, mesh_be16(port), MESH_TCP, tables.config.flow_seed);
    return mesh_flow_set_index(hash, tables.config.flow_mask);
  };
  const Tuple& tuple = simulation_.clients[packet.connection].tuple;
  const std::array full = {set_of(packet.ip.source, tuple.port), set_of(packet.ip.source, given_port)};
  simulation_.clients.for_each_established([&](ConnectionId id, const Connection& other) {
    const mesh_address client = address_of_client(other.tuple);
    const auto is_in = [&](std::uint16_t port) { return std::ranges::find(full, set_of(client, port)) != full.end(); };
    if (is_in(other.tuple.port) || is_in(other.given_port)) simulation_.excuse(id);
  });
}

void Network::judge_new_flow(Host& host, const Packet& packet, const flowsim_outcome& outcome) {
  excuse_evicted(host, packet, mesh_swap16(outcome.given_port));
  if (host.tables().counters[MESH_COUNT_FLOW_CREATED] == 0) return;
  const Container& container = simulation_.container(container_behind(outcome.ifindex));
  if (!container.drained_at || *container.drained_at >= packet.entered) return;
  simulation_.broken(Promise::kDrained, packet.connection,
                     fmt::format("container {} on host {}, {} ms after the acknowledgements", container.id, host.node(),
                                 (packet.entered - *container.drained_at) / kMillisecond));
}

bool Network::is_restored(const Reply& reply, const flowsim_outcome& outcome) {
  const Tuple& tuple = simulation_.clients[reply.connection].tuple;
  const mesh_address host = address_of_host(tuple.host);
  return mesh_address_equal(&outcome.original, &host) && outcome.client_port == mesh_be16(tuple.port);
}

void Network::judge_answer(const Reply& reply, const flowsim_outcome& outcome) {
  const bool sent = outcome.verdict == FLOWSIM_SEND || outcome.verdict == FLOWSIM_CLIENT;
  const bool waiting = simulation_.clients[reply.connection].state == Connection::State::kSynSent;
  if (reply.segment != Segment::kSynAck || !waiting || (sent && is_restored(reply, outcome))) return;
  simulation_.broken(Promise::kHeard, reply.connection,
                     fmt::format("of container {} to port {}", reply.container, reply.given_port));
}

void Network::from_container(const Container& container, const Reply& reply) {
  const Connection& connection = simulation_.clients[reply.connection];
  Host& host = simulation_.host(container.node);
  mesh_packet ip{};
  ip.source = container.address();
  ip.source_port = mesh_be16(FLOWSIM_TARGET_PORT);
  ip.destination = address_of_client(connection.tuple);
  ip.destination_port = mesh_be16(reply.given_port);
  describe(ip, reply.segment);
  const mesh_binding binding = container.abi_binding();
  const flowsim_outcome outcome = flowsim_reply(&host.tables(), &ip, container.ifindex(), binding.mac);
  judge_answer(reply, outcome);
  if (outcome.verdict != FLOWSIM_SEND && outcome.verdict != FLOWSIM_CLIENT) {
    ++simulation_.figures.untranslated;
    return;
  }
  if (!is_restored(reply, outcome)) {
    const bool established = connection.state == Connection::State::kEstablished && reply.number == connection.number;
    if (established && container.id == connection.container) {
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
    if (connection.tuple.host != kAnyHost) return;  // its client talks to that host alone
    ++simulation_.figures.lost_replies;
    connection.lost_entry = true;
  });
}

void Network::to_client(const Reply& reply) {
  simulation_.clock.after(delay(), [this, reply] { simulation_.clients.receive(reply); });
}

}  // namespace mesh::flowsim
