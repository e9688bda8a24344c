// Connections as their clients see them: SYNs and data sent again, long pauses, ports used again, entries that change.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "tests/flowsim/containers.h"

namespace mesh::flowsim {

inline constexpr std::uint16_t kAnyHost = 100;  // "node" of the address that all hosts answer on

[[nodiscard]] mesh_address address_of_host(std::uint16_t node);
struct Tuple;
[[nodiscard]] mesh_address address_of_client(const Tuple& tuple);

// A client's address and port, and the host it asks.
struct Tuple {
  std::uint32_t client = 0;  // of 198.18.0.0/15
  std::uint16_t port = 0;
  std::uint16_t host = kAnyHost;
  bool operator==(const Tuple&) const = default;
};

struct Connection {
  enum class State : std::uint8_t { kSynSent, kEstablished, kOver };
  Tuple tuple;
  State state = State::kSynSent;
  bool excused = false;     // a packet met a host that was behind for too long: nothing is promised to it
  bool entered = false;     // its last packet came to a host that was up
  bool lost_entry = false;  // replies went to an entry host that is down
  std::uint16_t entry = 0;
  std::uint32_t number = 0;  // of the socket that accepted it, as the client knows it
  ContainerId container = kNoContainer;
  std::uint16_t given_port = 0;  // as that socket sees it
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
  std::uint16_t given_port = 0;
};

class Clients {
 public:
  explicit Clients(Simulation& simulation) : simulation_(simulation) {}
  void start();
  void receive(const Reply& reply);
  [[nodiscard]] Connection& operator[](ConnectionId id) { return connections_[id]; }
  [[nodiscard]] bool all_opened() const;
  template <class Visit>
  void for_each_established(Visit visit) {
    for (ConnectionId id = 0; id < connections_.size(); ++id) {
      if (connections_[id].state == Connection::State::kEstablished) visit(id, connections_[id]);
    }
  }

 private:
  void arrive();
  void open(const Tuple& tuple, std::uint16_t entry, bool excused);
  void open_again_later(const Connection& old);
  void open_from_given_port(const Connection& old);
  void send(ConnectionId id, Segment segment);
  void send_syn(ConnectionId id, int attempt);
  void send_data(ConnectionId id, std::uint32_t count, int attempt);
  void live(ConnectionId id);
  [[nodiscard]] Time pause();
  void give_up(ConnectionId id);
  void reset(ConnectionId id, const Reply& reply);
  [[nodiscard]] std::uint16_t some_host();

  Simulation& simulation_;
  std::deque<Connection> connections_;  // they keep their places
  std::uint32_t next_client_ = 1;
  std::set<std::pair<std::uint32_t, std::uint16_t>> borrowed_;  // clients, and given ports that they used themselves
};

}  // namespace mesh::flowsim
