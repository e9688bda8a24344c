// In which order flows have their turn. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace mesh::pktgen {

inline constexpr std::uint32_t kFlowsMax = 65535;  // source ports of one address; 0 is none

// Source ports of that many flows, each once, in pseudo-random order, so that neither caches nor tables see neighbours
// one after the other. The same for the same seed. Ports below 1024 are taken last: only when there are more flows than
// others.
[[nodiscard]] std::vector<std::uint16_t> flow_order(std::uint32_t flows, std::uint64_t seed);

}  // namespace mesh::pktgen
