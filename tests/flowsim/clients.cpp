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

}  // namespace

mesh_address address_of_host(std::uint16_t node) { return mesh_address_v4(mesh_be32(0xc0a80100U + node)); }
mesh_address address_of_client(const Tuple& tuple) { return mesh_address_v4(mesh_be32(0xc6120000U + tuple.client)); }

bool Clients::all_opened() const { return connections_.size() >= simulation_.scenario.connections; }

void Clients::start() { arrive(); }

std::uint16_t Clients::some_host() {
  return static_cast<std::uint16_t>(1 + simulation_.random.below(simulation_.scenario.hosts));
}

void Clients::arrive() {
  Random& random = simulation_.random;
  if (all_opened()) return;
  for (std::size_t i = 0; i < kArrivals; ++i) {
    Tuple tuple{.client = next_client_ % 0x10000, .port = static_cast<std::uint16_t>(1024 + next_client_ / 0x10000)};
    ++next_client_;
    if (random.chance(kSeveralHosts)) {
      // Three: the flows of one client port share a set of seven records.
      const std::uint16_t nearest = some_host();
      for (std::uint16_t further = 0; further < 3; ++further) {
        ++simulation_.figures.collisions;
        tuple.host = static_cast<std::uint16_t>((nearest + further) % simulation_.scenario.hosts + 1);
        simulation_.clock.after(random.up_to(5 * kSecond), [this, tuple] { open(tuple, tuple.host, false); });
      }
      continue;
    }
    if (!random.chance(simulation_.scenario.flipping_clients)) tuple.host = some_host();
    open(tuple, tuple.host == kAnyHost ? some_host() : tuple.host, false);
  }
  simulation_.clock.after(10 * kMillisecond + random.up_to(40 * kMillisecond), [this] { arrive(); });
}

void Clients::open(const Tuple& tuple, std::uint16_t entry, bool excused) {
  const auto id = static_cast<ConnectionId>(connections_.size());
  Connection& connection = connections_.emplace_back();
  connection.tuple = tuple;
  connection.entry = entry;
  connection.excused = excused;
  ++simulation_.figures.connections;
  send_syn(id, 0);
}

// The network sends what comes to the address of all hosts to any of them, mostly to the same.
void Clients::send(ConnectionId id, Segment segment) {
  Connection& connection = connections_[id];
  connection.entered = false;
  std::uint16_t entry = connection.entry;
  if (connection.tuple.host == kAnyHost) {
    if (simulation_.random.chance(0.3)) entry = some_host();
    while (!simulation_.host(entry).up) entry = static_cast<std::uint16_t>(entry % simulation_.scenario.hosts + 1);
  }
  Packet packet;
  packet.segment = segment;
  packet.connection = id;
  packet.number = connection.number;
  packet.count = connection.sent;
  simulation_.network.from_client(packet, entry);
}

void Clients::send_syn(ConnectionId id, int attempt) {
  Connection& connection = connections_[id];
  if (connection.state != Connection::State::kSynSent) return;
  if (attempt == kSynTriesMax) {
    connection.state = Connection::State::kOver;
    ++simulation_.figures.unanswered;
    return;
  }
  send(id, Segment::kSyn);
  // Far quicker than any kernel, so that the copies meet on their way.
  const Time first = attempt == 0 ? 60 * kMillisecond : 400 * kMillisecond;
  const Time wait = (first << attempt) / 2 + simulation_.random.up_to(first << attempt);
  simulation_.clock.after(wait, [this, id, attempt] { send_syn(id, attempt + 1); });
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
  if (!simulation_.container(connection.container).alive) {
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
    send(id, Segment::kFin);
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
  const Tuple tuple{.client = old.tuple.client, .port = old.given_port, .host = old.tuple.host};
  if (tuple.port == 0 || tuple.port == old.tuple.port || all_opened()) return;
  if (!borrowed_.emplace(tuple.client, tuple.port).second) return;
  ++simulation_.figures.borrowed;
  simulation_.clock.after(simulation_.random.up_to(15 * kSecond),
                          [this, tuple, entry = old.entry, excused = old.excused] { open(tuple, entry, excused); });
}

void Clients::open_again_later(const Connection& old) {
  Random& random = simulation_.random;
  open_from_given_port(old);
  const bool was_given = old.given_port != 0 && old.given_port != old.tuple.port;
  if ((!was_given && !random.chance(kUseAgain)) || all_opened()) return;
  const double part = random.unit();
  const double longest = static_cast<double>(was_given ? 60 * kSecond : 3 * kSecond);
  const auto wait = static_cast<Time>(part * random.unit() * longest);
  simulation_.clock.after(wait, [this, tuple = old.tuple, entry = old.entry, excused = old.excused] {
    ++simulation_.figures.reused;
    open(tuple, entry, excused);
  });
}

void Clients::receive(const Reply& reply) {
  const ConnectionId id = reply.connection;
  Connection& connection = connections_[id];
  const bool established = connection.state == Connection::State::kEstablished;
  switch (reply.segment) {
    case Segment::kSynAck:
      if (connection.state == Connection::State::kSynSent) {
        connection.state = Connection::State::kEstablished;
        connection.number = reply.number;
        connection.container = reply.container;
        connection.given_port = reply.given_port;
        ++simulation_.figures.established;
        send_data(id, ++connection.sent, 0);
        simulation_.clock.after(simulation_.random.up_to(500 * kMillisecond), [this, id] { live(id); });
      } else if (established && connection.number == reply.number) {
        send(id, Segment::kAck);
      }
      break;
    case Segment::kData:
      if (established && connection.number == reply.number) {
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
  if (connection.state == Connection::State::kSynSent && reply.number == 0) ++simulation_.figures.refused;
  if (connection.state != Connection::State::kEstablished || reply.number != connection.number) return;
  connection.state = Connection::State::kOver;
  if (!simulation_.container(connection.container).alive) {
    ++simulation_.figures.resets;
    return;
  }
  simulation_.broken(Promise::kEstablished, id,
                     fmt::format("of container {}, reset by {}", connection.container, reply.container));
}

}  // namespace mesh::flowsim
