// The frames of a run: where they come from, where they go, and how one is written. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "bench/pktgen/probe.h"

namespace mesh::pktgen {

// From this host's interface towards the target.
struct Route {
  std::string interface;
  unsigned ifindex = 0;
  IpAddress source;
  MacAddress own, next_hop;
};

enum class Protocol : std::uint8_t { kUdp = PROBE_UDP, kTcpSyn = PROBE_TCP };

struct Traffic {
  SocketAddress target;
  Protocol protocol = Protocol::kUdp;
  std::size_t bytes = PROBE_BYTES_MIN;  // of a frame, without its checksum
  std::vector<std::uint16_t> ports;     // of the flows in the order in which they have their turn; flow_order.h
};

// kInvalid: not IPv4, a size that no Ethernet frame has, or a larger SYN (which carries no data).
[[nodiscard]] Result<probe_shape> make_shape(const Route& route, const Traffic& traffic);

// The probe of one flow in `frame`, which has traffic.bytes.
inline void write_probe(std::uint8_t* frame, const probe_shape& shape, std::uint16_t port, std::uint64_t now_ns) {
  std::memcpy(frame, shape.head, PROBE_BYTES_MIN);
  probe_stamp(frame, &shape, mesh_be16(port), now_ns);
}

}  // namespace mesh::pktgen
