#include "tests/flowsim/clients.h"

#include <algorithm>

#include <fmt/format.h>

#include "tests/flowsim/simulation.h"

namespace mesh::flowsim {
namespace {

constexpr std::size_t kArrivals = 6;  // connections at a time
constexpr int kSynTriesMax = 5;
constexpr int kDataTriesMax = 8;        // 51 s altogether
constexpr double kFinish = 0.10;        // of all pauses end with a FIN
constexpr double kVanish = 0.01;        // ... or with nothing: the client is gone
constexpr double kUseAgain = 0.6;       // of the finished: their port is soon used for another connection
constexpr double kSeveralHosts = 0.08;  // of the clients ask several hosts from one port
constexpr std::uint16_t kHostsAsked = 3;
constexpr double kEverything = 0.02;       // ... or all hosts and all published ports of the protocol
constexpr double kOtherPort = 0.3;         // ... and another published one of the protocol
constexpr double kV6 = 0.25;               // of the clients
constexpr double kInside = 0.03;           // of the clients are containers of the service itself
constexpr std::uint32_t kRegulars = 1000;  // clients that come again and again, to the ports that remember them
constexpr std::uint32_t kFirstRegular = 0x10000;

PortIndex some_port(Random& random) {
  double rest = random.unit();
  PortIndex port = 0;
  while (port + 1 < kPorts.size() && rest >= kPorts[port].share) rest -= kPorts[port++].share;
  return port;
}

}  // namespace

mesh_address address_of_host(std::uint16_t node, bool v6) {
  if (v6) return {{mesh_be32(0x20010db8U), mesh_be32(1), 0, mesh_be32(node)}};
  return mesh_address_v4(mesh_be32(0xc0a80100U + node));
}

bool Clients::all_opened() const { return connections_.size() >= simulation_.scenario.connections; }

void Clients::start() { arrive(); }

std::uint16_t Clients::some_host() {
  return static_cast<std::uint16_t>(1 + simulation_.random.below(simulation_.scenario.hosts));
}

void Clients::arrive() {
  Random& random = simulation_.random;
  if (all_opened()) return;
  for (std::size_t i = 0; i < kArrivals; ++i) {
    const Tuple tuple = some_tuple();
    if (tuple.inside == kNoContainer && random.chance(kSeveralHosts)) {
      open_to_several_hosts(tuple);
    } else {
      open(tuple, tuple.host == kAnyHost ? some_host() : tuple.host, false);
    }
  }
  simulation_.clock.after(10 * kMillisecond + random.up_to(40 * kMillisecond), [this] { arrive(); });
}

// Clients of a port that prefers local backends ask one host: the others would not look for their flows there.
Tuple Clients::some_tuple() {
  Random& random = simulation_.random;
  Tuple tuple{.service = some_port(random)};
  const bool anywhere = random.chance(simulation_.scenario.flipping_clients) && !kPorts[tuple.service].prefer_local;
  if (!anywhere) tuple.host = some_host();
  if (!simulation_.running.empty() && random.chance(kInside)) {
    tuple.inside = simulation_.running[random.below(simulation_.running.size())];
    tuple.port = static_cast<std::uint16_t>(1024 + next_regular_++ % 0xc000);
    tuple.v6 = random.chance(kV6);
    if (kPorts[tuple.service].prefer_local) tuple.host = simulation_.container(tuple.inside).node;
  } else if (kPorts[tuple.service].affinity_ticks != 0) {
    tuple.client = kFirstRegular + static_cast<std::uint32_t>(random.below(kRegulars));
    tuple.port = static_cast<std::uint16_t>(1024 + next_regular_++ % 0xc000);
    tuple.v6 = tuple.client % 4 == 0;
  } else {
    tuple.client = next_client_ % 0x10000;
    tuple.port = static_cast<std::uint16_t>(1024 + next_client_ / 0x10000);
    tuple.v6 = random.chance(kV6);
    ++next_client_;
  }
  return tuple;
}

// From one port, now and then to another published one of the protocol too: its flows share a set of seven records.
// Some clients ask for everything there is, which is more.
void Clients::open_to_several_hosts(Tuple tuple) {
  Random& random = simulation_.random;
  const std::uint16_t nearest = some_host();
  const bool everything = random.chance(kEverything);
  const std::uint16_t asked = everything ? simulation_.scenario.hosts : kHostsAsked;
  for (std::uint16_t further = 0; further < asked; ++further) {
    tuple.host = static_cast<std::uint16_t>((nearest + further) % simulation_.scenario.hosts + 1);
    const PortIndex ports = everything ? kPorts.size() / 2 : 1;
    for (PortIndex port = 0; port < ports; ++port) {
      ++simulation_.figures.collisions;
      if (everything || random.chance(kOtherPort)) tuple.service = (tuple.service + 2) % kPorts.size();
      simulation_.clock.after(random.up_to(5 * kSecond), [this, tuple] { open(tuple, tuple.host, false); });
    }
  }
}

void Clients::open(const Tuple& tuple, std::uint16_t entry, bool excused) {
  const auto id = static_cast<ConnectionId>(connections_.size());
  Connection& connection = connections_.emplace_back();
  connection.tuple = tuple;
  connection.entry = tuple.inside == kNoContainer ? entry : simulation_.container(tuple.inside).node;
  connection.excused = excused;
  ++simulation_.figures.connections;
  if (is_datagrams(tuple.service)) {
    connection.sent = 1;
    ++simulation_.figures.datagram_flows;
  }
  send_first(id, 0);
}

// With the container that the client is.
bool Clients::is_gone(const Connection& connection) const {
  return connection.tuple.inside != kNoContainer && !simulation_.container(connection.tuple.inside).alive;
}

// The network sends what comes to the address of all hosts to any of them, mostly to the same. What a container sends
// enters at its own host.
void Clients::send(ConnectionId id, Segment segment) {
  Connection& connection = connections_[id];
  connection.entered = false;
  if (is_gone(connection)) {
    connection.state = Connection::State::kOver;
    return;
  }
  std::uint16_t entry = connection.entry;
  if (connection.tuple.host == kAnyHost && connection.tuple.inside == kNoContainer) {
    if (simulation_.random.chance(0.3)) entry = some_host();
    while (!simulation_.host(entry).up) entry = static_cast<std::uint16_t>(entry % simulation_.scenario.hosts + 1);
  }
  Packet packet;
  packet.segment = segment;
  packet.connection = id;
  packet.number = connection.number;
  packet.count = connection.sent;
  packet.entry = entry;
  simulation_.network.from_client(packet);
}

// A SYN, or the first datagram of a flow.
void Clients::send_first(ConnectionId id, int attempt) {
  Connection& connection = connections_[id];
  if (connection.state != Connection::State::kSynSent) return;
  if (attempt == kSynTriesMax) {
    connection.state = Connection::State::kOver;
    ++simulation_.figures.unanswered;
    const bool explained = connection.refused || connection.lost_entry || connection.excused || is_gone(connection);
    if (connection.entered && !explained) ++simulation_.figures.unanswered_entered;
    return;
  }
  send(id, is_datagrams(connection.tuple.service) ? Segment::kData : Segment::kSyn);
  // Far quicker than any kernel, so that the copies meet on their way.
  const Time first = attempt == 0 ? 60 * kMillisecond : 400 * kMillisecond;
  const Time wait = (first << attempt) / 2 + simulation_.random.up_to(first << attempt);
  simulation_.clock.after(wait, [this, id, attempt] { send_first(id, attempt + 1); });
}

void Clients::send_data(ConnectionId id, std::uint32_t count, int attempt) {
  const Connection& connection = connections_[id];
  if (connection.state != Connection::State::kEstablished || connection.acknowledged >= count) return;
  if (attempt == kDataTriesMax) return give_up(id);
  send(id, Segment::kData);
  simulation_.clock.after((200 * kMillisecond) << attempt,
                          [this, id, count, attempt] { send_data(id, count, attempt + 1); });
}

void Clients::give_up(ConnectionId id) {
  Connection& connection = connections_[id];
  connection.state = Connection::State::kOver;
  if (!connection.entered || connection.excused) return;
  // Datagrams are led to another one.
  if (!is_datagrams(connection.tuple.service) && !simulation_.container(connection.container).alive) {
    ++simulation_.figures.silent;
    return;
  }
  ++(connection.lost_entry ? simulation_.figures.lost_with_entry : simulation_.figures.lost);
}

Time Clients::pause() {
  Random& random = simulation_.random;
  if (random.chance(0.003)) return random.up_to(simulation_.scenario.idle_max);
  if (random.chance(0.3)) return 2 * kSecond + random.up_to(30 * kSecond);
  return random.up_to(1500 * kMillisecond);
}

void Clients::live(ConnectionId id) {
  Connection& connection = connections_[id];
  if (connection.state != Connection::State::kEstablished) return;
  const double what = simulation_.random.unit();
  if (what < kFinish) {
    if (!is_datagrams(connection.tuple.service)) send(id, Segment::kFin);
    connection.state = Connection::State::kOver;
    return open_again_later(connection);
  }
  if (what < kFinish + kVanish) {
    connection.state = Connection::State::kOver;
    return open_again_later(connection);
  }
  send_data(id, ++connection.sent, 0);
  const Time wait = pause();
  simulation_.clock.after(wait, [this, id, wait] {
    if (connections_[id].state == Connection::State::kEstablished) {
      simulation_.figures.longest_idle = std::max(simulation_.figures.longest_idle, wait / kSecond);
    }
    live(id);
  });
}

// The port that an endpoint saw in this one's place may be the client's next: then two of its connections look alike.
void Clients::open_from_given_port(const Connection& old) {
  Tuple tuple = old.tuple;
  tuple.port = old.given_port;
  if (tuple.port == 0 || tuple.port == old.tuple.port || all_opened()) return;
  if (!borrowed_.emplace(tuple.client, tuple.port).second) return;
  ++simulation_.figures.borrowed;
  simulation_.clock.after(simulation_.random.up_to(15 * kSecond),
                          [this, tuple, entry = old.entry, excused = old.excused] { open(tuple, entry, excused); });
}

void Clients::open_again_later(const Connection& old) {
  Random& random = simulation_.random;
  open_from_given_port(old);
  if (is_datagrams(old.tuple.service)) return;  // that would be the same flow
  // Where the owner is not the only one to make records, nothing of the old one may be on its way any more: the owner
  // would make one of it.
  const Port& port = kPorts[old.tuple.service];
  const Time least = port.affinity_ticks != 0 || port.prefer_local ? kDelayMax : 0;
  const bool was_given = old.given_port != 0 && old.given_port != old.tuple.port;
  if ((!was_given && !random.chance(kUseAgain)) || all_opened()) return;
  const double part = random.unit();
  const double longest = static_cast<double>(was_given ? 60 * kSecond : 3 * kSecond);
  const Time wait = least + static_cast<Time>(part * random.unit() * longest);
  simulation_.clock.after(wait, [this, tuple = old.tuple, entry = old.entry, excused = old.excused] {
    ++simulation_.figures.reused;
    open(tuple, entry, excused);
  });
}

void Clients::establish(ConnectionId id, const Reply& reply) {
  Connection& connection = connections_[id];
  connection.state = Connection::State::kEstablished;
  if (!is_datagrams(connection.tuple.service)) {
    connection.number = reply.number;
    connection.container = reply.container;
    connection.given_port = reply.client.port;
  }
  ++simulation_.figures.established;
  simulation_.clock.after(simulation_.random.up_to(500 * kMillisecond), [this, id] { live(id); });
}

void Clients::receive(const Reply& reply) {
  const ConnectionId id = reply.connection;
  Connection& connection = connections_[id];
  const bool established = connection.state == Connection::State::kEstablished;
  switch (reply.segment) {
    case Segment::kSynAck:
      if (connection.state == Connection::State::kSynSent) {
        establish(id, reply);
        send_data(id, ++connection.sent, 0);
      } else if (established && connection.number == reply.number) {
        send(id, Segment::kAck);
      }
      break;
    case Segment::kData:
      if (connection.state == Connection::State::kSynSent && is_datagrams(connection.tuple.service)) {
        establish(id, reply);
      }
      if (connection.state == Connection::State::kEstablished && connection.number == reply.number) {
        connection.acknowledged = std::max(connection.acknowledged, reply.acknowledged);
      }
      break;
    case Segment::kChallenge:  // of an older connection on these ports: it is ended
      if (connection.state == Connection::State::kSynSent) {
        connection.number = reply.number;
        send(id, Segment::kReset);
        connection.number = 0;
      }
      break;
    case Segment::kReset:
      reset(id, reply);
      break;
    case Segment::kFin:  // the last acknowledgement
      if (connection.number == reply.number) send(id, Segment::kAck);
      break;
    case Segment::kSyn:
    case Segment::kAck:
      break;
  }
}

void Clients::reset(ConnectionId id, const Reply& reply) {
  Connection& connection = connections_[id];
  if (connection.state == Connection::State::kSynSent && reply.number == 0) {
    connection.refused = true;
    ++simulation_.figures.refused;
  }
  if (connection.state != Connection::State::kEstablished || reply.number != connection.number) return;
  connection.state = Connection::State::kOver;
  const bool is_over = is_datagrams(connection.tuple.service) ? !simulation_.is_served(connection)
                                                              : !simulation_.container(connection.container).alive;
  if (is_over) {
    ++simulation_.figures.resets;
    return;
  }
  simulation_.broken(Promise::kEstablished, id,
                     fmt::format("of container {}, reset by {}", connection.container, reply.container));
}

}  // namespace mesh::flowsim
