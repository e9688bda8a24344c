// The wires: packets of clients to entry hosts and between hosts, replies back. Delays differ from packet to packet, so
// that they overtake each other; nothing is lost but at hosts that are down.
#pragma once

#include <cstdint>

#include "tests/flowsim/clients.h"
#include "tests/flowsim/host.h"

namespace mesh::flowsim {

inline constexpr Time kDelayMax = 250 * kMillisecond;  // of what is on its way through some hosts

// Of a client.
struct Packet {
  Segment segment = Segment::kSyn;
  ConnectionId connection = 0;
  std::uint32_t number = 0;  // of the socket that it is meant for; 0: of none yet
  std::uint32_t count = 0;   // of segments of data, up to this one
  std::uint32_t hops = 0;
  std::uint16_t entry = 0;
  Time entered = 0;
  bool has_local = false;  // the entry host had a container of its own to prefer
  mesh_packet ip{};
  mesh_tunnel header{};
};

class Network {
 public:
  explicit Network(Simulation& simulation) : simulation_(simulation) {}
  void from_client(const Packet& packet);
  void from_container(const Container& container, const Reply& reply);

 private:
  void at_entry(Host& host, Packet packet);
  void at_host(Host& host, Packet packet);
  void go_on(Host& host, const Packet& packet, const flowsim_outcome& outcome);
  void to_client(const Reply& reply);
  void through_entry(std::uint16_t entry, const Reply& reply);
  void excuse_evicted(Host& host, const Packet& packet, std::uint16_t given_port);
  void judge_new_flow(Host& host, const Packet& packet, const flowsim_outcome& outcome);
  void judge_local(Host& host, const Packet& packet);
  void note_entry(const Host& host, Connection& connection, ConnectionId id);
  void judge_answer(const Reply& reply, bool restored);
  [[nodiscard]] bool is_restored(const Reply& reply, const flowsim_outcome& outcome);
  [[nodiscard]] Time delay();

  Simulation& simulation_;
};

}  // namespace mesh::flowsim
