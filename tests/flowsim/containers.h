// The backends: where they are, when they end, and their TCP sockets as far as the promises depend on them.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "tests/flowsim/leader.h"
#include "tests/flowsim/programs.h"

namespace mesh::flowsim {

using ConnectionId = std::uint32_t;

// What a segment is to its receiver.
enum class Segment : std::uint8_t { kSyn, kData, kFin, kAck, kReset, kSynAck, kChallenge };

struct Socket {
  enum class State : std::uint8_t { kSynReceived, kEstablished, kClosed };
  ConnectionId connection = 0;
  std::uint32_t number = 0;  // stands for both sides' sequence numbers: no two connections have the same
  State state = State::kSynReceived;
};

struct Container {
  ContainerId id = kNoContainer;
  std::uint16_t node = 0;
  std::uint16_t place = 0;  // of its bindings on its node
  std::uint16_t weight = 1;
  bool alive = true;
  bool draining = false;
  bool known_dead = false;                            // the leader was told
  bool place_released = false;                        // may be given to another
  std::optional<Time> drained_at;                     // every host knew that it drains, or is gone
  std::unordered_map<std::uint64_t, Socket> sockets;  // of TCP, by the client as the container sees it

  [[nodiscard]] std::uint32_t ifindex() const { return 100U + static_cast<std::uint32_t>(id); }
  [[nodiscard]] mesh_address address(bool v6) const;
  [[nodiscard]] std::uint16_t binding(PortIndex port) const {
    return static_cast<std::uint16_t>(place * kPorts.size() + port);
  }
  [[nodiscard]] mesh_binding abi_binding(PortIndex port) const;
};

// The client as a container sees it.
struct Seen {
  mesh_address address{};
  std::uint16_t port = 0;
};
struct Packet;
void deliver(Simulation& simulation, Container& container, const Packet& packet, const Seen& client);

[[nodiscard]] inline ContainerId container_behind(std::uint32_t ifindex) {
  return static_cast<ContainerId>(ifindex - 100U);
}

}  // namespace mesh::flowsim
