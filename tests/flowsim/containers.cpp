#include "tests/flowsim/containers.h"

#include <cstring>

#include <fmt/format.h>

#include "tests/flowsim/simulation.h"

namespace mesh::flowsim {

mesh_address Container::address(bool v6) const {
  const std::uint32_t number = static_cast<std::uint32_t>(id) + 10U;
  if (v6) return {{mesh_be32(0xfd000000U), mesh_be32(1), 0, mesh_be32(number)}};
  return mesh_address_v4(mesh_be32(0x0a800000U + number));
}

mesh_binding Container::abi_binding(PortIndex port) const {
  mesh_binding result{};
  result.v4 = address(false).word[3];
  result.v6 = address(true);
  result.ifindex = ifindex();
  std::memcpy(result.mac + 2, &id, sizeof id);
  result.target_port = mesh_be16(FLOWSIM_TARGET_PORT);
  result.published_port = mesh_be16(number_of(port));
  result.protocol = kPorts[port].protocol;
  return result;
}

namespace {

constexpr double kLateAnswers = 0.1;  // of all to datagrams
constexpr Time kLateMax = 100 * kSecond;

// Of an established connection, as its client sees it.
void judge_delivery(Simulation& simulation, const Container& container, const Packet& packet,
                    std::uint16_t given_port) {
  const Connection& connection = simulation.clients[packet.connection];
  if (packet.segment != Segment::kData || connection.state != Connection::State::kEstablished) return;
  if (packet.number != connection.number || !simulation.container(connection.container).alive) return;
  if (connection.container == container.id && connection.given_port == given_port) return;
  simulation.broken(Promise::kEstablished, packet.connection,
                    fmt::format("of container {} port {}, delivered to {} port {}", connection.container,
                                connection.given_port, container.id, given_port));
}

void accept(Simulation& simulation, Container& container, const Packet& packet, std::uint16_t given_port) {
  Connection& connection = simulation.clients[packet.connection];
  const std::pair place(container.id, given_port);
  for (const auto& other : connection.accepted) {
    if (other == place || !simulation.container(other.first).alive || connection.state == Connection::State::kOver) {
      continue;
    }
    simulation.broken(
        Promise::kAcceptedOnce, packet.connection,
        fmt::format("by container {} port {} and by {} port {}", other.first, other.second, container.id, given_port));
  }
  connection.accepted.push_back(place);
}

// RFC 9293 §3.10.7: a SYN for a connection that is established is challenged; one for what is over begins a new one.
Segment take_syn(Simulation& simulation, Container& container, const Packet& packet, std::uint16_t given_port,
                 Socket& socket) {
  const bool same = socket.number != 0 && socket.connection == packet.connection;
  if (same) return socket.state == Socket::State::kSynReceived ? Segment::kSynAck : Segment::kChallenge;
  if (socket.number != 0 && socket.state == Socket::State::kEstablished) return Segment::kChallenge;
  socket = {.connection = packet.connection, .number = simulation.next_socket++};
  accept(simulation, container, packet, given_port);
  return Segment::kSynAck;
}

Segment take_segment(const Packet& packet, Socket& socket) {
  if (socket.number != packet.number) return Segment::kChallenge;
  if (packet.segment == Segment::kFin) {
    socket.state = Socket::State::kClosed;
    return Segment::kFin;
  }
  if (socket.state == Socket::State::kSynReceived) socket.state = Socket::State::kEstablished;
  return Segment::kData;
}

// RFC 768 knows no connections: an answer to each, and now and then one that comes by itself later.
void take_datagram(Simulation& simulation, Container& container, const Reply& reply) {
  simulation.network.from_container(container, reply);
  Random& random = simulation.random;
  if (!random.chance(kLateAnswers)) return;
  simulation.clock.after(random.up_to(kLateMax), [&simulation, &container, reply] {
    if (container.alive) simulation.network.from_container(container, reply);
  });
}

// Of a flow that began already, as long as it may not go elsewhere.
void judge_datagram(Simulation& simulation, const Container& container, const Packet& packet, std::uint16_t port) {
  Connection& connection = simulation.clients[packet.connection];
  const bool lives = simulation.is_served(connection);
  if (lives && (connection.container != container.id || connection.given_port != port)) {
    simulation.broken(Promise::kDatagrams, packet.connection,
                      fmt::format("of container {} port {}, delivered to {} port {}", connection.container,
                                  connection.given_port, container.id, port));
  }
  if (connection.container != kNoContainer && connection.container != container.id) ++simulation.figures.led_elsewhere;
  connection.container = container.id;
  connection.given_port = port;
  connection.served_at = simulation.clock.now();
}

// Two addresses that a container sees never have the same last 32 bits.
std::uint64_t key_of(const Seen& client) { return std::uint64_t{client.address.word[3]} << 16U | client.port; }

}  // namespace

void deliver(Simulation& simulation, Container& container, const Packet& packet, const Seen& client) {
  if (!container.alive) return;
  const bool datagrams = is_datagrams(simulation.clients[packet.connection].tuple.service);
  Reply reply{.segment = Segment::kData,
              .connection = packet.connection,
              .number = packet.number,
              .acknowledged = packet.count,
              .container = container.id,
              .client = client};
  if (datagrams) {
    judge_datagram(simulation, container, packet, client.port);
    return take_datagram(simulation, container, reply);
  }
  judge_delivery(simulation, container, packet, client.port);
  const std::uint64_t key = key_of(client);
  const auto found = container.sockets.find(key);
  if (packet.segment == Segment::kReset) {
    if (found != container.sockets.end() && found->second.number == packet.number) container.sockets.erase(found);
    return;
  }
  if (packet.segment == Segment::kSyn) {
    Socket& socket = container.sockets[key];
    reply.segment = take_syn(simulation, container, packet, client.port, socket);
    reply.number = socket.number;
  } else if (found == container.sockets.end()) {
    reply.segment = Segment::kReset;
  } else {
    reply.segment = take_segment(packet, found->second);
    if (packet.segment == Segment::kAck && reply.segment == Segment::kData) return;  // nothing to say to that
  }
  simulation.network.from_container(container, reply);
}

}  // namespace mesh::flowsim
