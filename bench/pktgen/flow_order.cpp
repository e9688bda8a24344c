#include "bench/pktgen/flow_order.h"

#include <algorithm>
#include <random>

namespace mesh::pktgen {

std::vector<std::uint16_t> flow_order(std::uint32_t flows, std::uint64_t seed) {
  constexpr std::uint32_t kFirst = 1024, kHigh = 65536 - kFirst;
  std::vector<std::uint16_t> ports(std::min(flows, kFlowsMax));
  for (std::uint32_t flow = 0; flow < ports.size(); ++flow) {
    ports[flow] = static_cast<std::uint16_t>(flow < kHigh ? kFirst + flow : 1 + flow - kHigh);
  }
  // Fisher and Yates by hand: what std::shuffle makes of a seed differs between libraries.
  std::mt19937_64 random(seed);
  for (std::size_t left = ports.size(); left > 1; --left) std::swap(ports[left - 1], ports[random() % left]);
  return ports;
}

}  // namespace mesh::pktgen
