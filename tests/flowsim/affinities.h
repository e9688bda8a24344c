// Where clients' addresses belong, on the ports that remember them: what the last new flow of each came to, and whether
// the next one comes to the same.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "tests/flowsim/clients.h"

namespace mesh::flowsim {

class Affinities {
 public:
  explicit Affinities(Simulation& simulation) : simulation_(simulation) {}
  // A new flow of the client, of which the container's host made a record.
  void begin(ConnectionId id, const Container& container);
  // A record had to make room: nothing is promised to the clients whose addresses are in these sets.
  void forget(const std::function<bool(const mesh_address& client, PortIndex port)>& is_lost);

 private:
  struct Key {
    PortIndex port = 0;
    ContainerId inside = kNoContainer;
    std::uint32_t client = 0;
    bool v6 = false;
    auto operator<=>(const Key&) const = default;
  };
  struct Place {
    ContainerId container = kNoContainer;
    Time at = 0;           // the last new flow
    bool excused = false;  // for ever
  };
  [[nodiscard]] bool holds(const Place& place) const;

  Simulation& simulation_;
  std::map<Key, Place> places_;
};

}  // namespace mesh::flowsim
