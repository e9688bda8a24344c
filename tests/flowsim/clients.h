// Connections and flows of datagrams as their clients see them: SYNs and data sent again, long pauses, ports used
// again, entries that change.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "tests/flowsim/containers.h"

namespace mesh::flowsim {

inline constexpr std::uint16_t kAnyHost = 100;  // "node" of the address that all hosts answer on

[[nodiscard]] mesh_address address_of_host(std::uint16_t node, bool v6);

// A client's address and port, and the host and published port it asks.
struct Tuple {
  std::uint32_t client = 0;           // of 198.18.0.0/15, or 2001:db8::/96
  ContainerId inside = kNoContainer;  // ... or this container
  std::uint16_t port = 0;
  std::uint16_t host = kAnyHost;
  PortIndex service = 0;
  bool v6 = false;
};

struct Connection {
  enum class State : std::uint8_t { kSynSent, kEstablished, kOver };
  Tuple tuple;
  State state = State::kSynSent;
  bool excused = false;     // a packet met a host that was behind for too long: nothing is promised to it
  bool entered = false;     // its last packet came to a host that was up
  bool refused = false;     // answered by a reset, before it began
  bool has_local = false;   // its entry host had containers of its own when that packet came,
  Time entered_at = 0;      // ... then
  bool lost_entry = false;  // replies went to an entry host that is down
  std::uint16_t entry = 0;
  std::uint32_t number = 0;  // of the socket that accepted it, as the client knows it
  // Of datagrams, the last one that got any.
  ContainerId container = kNoContainer;
  std::uint16_t given_port = 0;  // as that socket sees it
  Time served_at = 0;            // datagrams: the last one, in either direction
  std::uint32_t sent = 0;        // segments of data
  std::uint32_t acknowledged = 0;
  std::vector<std::pair<ContainerId, std::uint16_t>> accepted;  // by which containers, as which client port
};

// What comes back to a client.
struct Reply {
  Segment segment = Segment::kAck;
  ConnectionId connection = 0;
  std::uint32_t number = 0;
  std::uint32_t acknowledged = 0;
  ContainerId container = kNoContainer;
  Seen client;  // to whom it was sent
};

class Clients {
 public:
  explicit Clients(Simulation& simulation) : simulation_(simulation) {}
  void start();
  void receive(const Reply& reply);
  [[nodiscard]] Connection& operator[](ConnectionId id) { return connections_[id]; }
  [[nodiscard]] bool all_opened() const;
  template <class Visit>
  void for_each_open(Visit visit) {
    for (ConnectionId id = 0; id < connections_.size(); ++id) {
      if (connections_[id].state != Connection::State::kOver) visit(id, connections_[id]);
    }
  }

 private:
  void arrive();
  void open(const Tuple& tuple, std::uint16_t entry, bool excused);
  void open_to_several_hosts(Tuple tuple);
  void open_again_later(const Connection& old);
  void open_from_given_port(const Connection& old);
  void establish(ConnectionId id, const Reply& reply);
  void send(ConnectionId id, Segment segment);
  void send_first(ConnectionId id, int attempt);
  void send_data(ConnectionId id, std::uint32_t count, int attempt);
  void live(ConnectionId id);
  [[nodiscard]] Time pause();
  void give_up(ConnectionId id);
  void reset(ConnectionId id, const Reply& reply);
  [[nodiscard]] Tuple some_tuple();
  [[nodiscard]] bool is_gone(const Connection& connection) const;
  [[nodiscard]] std::uint16_t some_host();

  Simulation& simulation_;
  std::deque<Connection> connections_;  // they keep their places
  std::uint32_t next_client_ = 1;
  std::uint32_t next_regular_ = 0;
  std::set<std::pair<std::uint32_t, std::uint16_t>> borrowed_;  // clients, and given ports that they used themselves
};

}  // namespace mesh::flowsim
