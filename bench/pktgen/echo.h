// The sink: sends every datagram back to its sender, as fast as one thread can.
#pragma once

#include <csignal>
#include <cstdint>

#include "base/result.h"

namespace mesh::pktgen {

struct EchoFigures {
  std::uint64_t received = 0;
  std::uint64_t answered = 0;
  double seconds = 0;  // from the first datagram to the last
};

// On UDP port `port`, IPv4 and IPv6, until `stopped` or so many seconds have gone (0: no end).
[[nodiscard]] Result<EchoFigures> echo(std::uint16_t port, double seconds, const volatile std::sig_atomic_t& stopped);

}  // namespace mesh::pktgen
