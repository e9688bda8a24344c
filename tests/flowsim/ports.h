// The published ports of the one service that a run has, and their options. Its containers listen on one target port
// for all of them, so that a client's flows through two published ports may look alike to a container.
#pragma once

#include <array>
#include <cstdint>

#include "tests/flowsim/programs.h"

namespace mesh::flowsim {

using PortIndex = std::size_t;

struct Port {
  std::uint8_t protocol = 6;
  std::uint32_t affinity_ticks = 0;
  bool prefer_local = false;
  double share = 0;  // of the connections
};

inline constexpr std::uint32_t kAffinityTicks = 60;  // some clients come more often, others not
// TCP and UDP in turn.
inline constexpr std::array<Port, FLOWSIM_PORTS> kPorts = {{
    {.share = 0.5},
    {.protocol = 17, .share = 0.15},
    {.affinity_ticks = kAffinityTicks, .share = 0.12},
    {.protocol = 17, .affinity_ticks = kAffinityTicks, .share = 0.05},
    {.prefer_local = true, .share = 0.12},
    {.protocol = 17, .prefer_local = true, .share = 0.06},
}};

[[nodiscard]] inline bool is_datagrams(PortIndex port) { return kPorts[port].protocol == 17; }
[[nodiscard]] inline std::uint16_t number_of(PortIndex port) {
  return static_cast<std::uint16_t>(FLOWSIM_PORT_FIRST + port);
}

}  // namespace mesh::flowsim
