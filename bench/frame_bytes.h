// Headers written byte by byte, in network order.
#pragma once

#include <cstdint>
#include <cstring>

#include "bpf/lib/checksum.h"

namespace mesh::bench {

inline void put16(std::uint8_t* at, unsigned value) {
  at[0] = static_cast<std::uint8_t>(value >> 8U);
  at[1] = static_cast<std::uint8_t>(value);
}

inline void put32(std::uint8_t* at, std::uint32_t value) {
  put16(at, value >> 16U);
  put16(at + 2, value & 0xffffU);
}

// Of an IPv4 header without options, whose checksum is zero so far.
inline void put_checksum(std::uint8_t* ip) {
  const auto checksum = static_cast<std::uint16_t>(~mesh_fold(mesh_sum(ip, 20)));
  std::memcpy(ip + 10, &checksum, sizeof checksum);
}

}  // namespace mesh::bench
