#include "bench/pktgen/frame.h"

#include <cstring>

#include "bench/frame_bytes.h"

namespace mesh::pktgen {
namespace {

constexpr std::uint8_t kHops = 64;
constexpr unsigned kTcpBytes = 20;

std::uint32_t raw_v4(const IpAddress& address) {
  std::uint32_t raw = 0;
  std::memcpy(&raw, address.bytes().data() + 12, sizeof raw);
  return raw;
}

void put_ip(std::uint8_t* at, const probe_shape& shape, std::size_t bytes) {
  probe_ip ip{};
  ip.version = 0x45;
  ip.length = mesh_be16(static_cast<std::uint16_t>(bytes));
  ip.hops = kHops;
  ip.protocol = shape.protocol;
  ip.source = shape.source;
  ip.target = shape.target;
  std::memcpy(at, &ip, sizeof ip);
  bench::put_checksum(at);
}

void put_udp(std::uint8_t* at, const probe_shape& shape, std::size_t bytes) {
  probe_udp udp{};
  udp.target = shape.target_port;
  udp.length = mesh_be16(static_cast<std::uint16_t>(bytes));
  udp.mark = mesh_be32(PROBE_MARK);
  std::memcpy(at, &udp, sizeof udp);
}

// Also the part of the checksum that is the same for all: of this header and the pseudo-header (RFC 9293 §3.1).
void put_tcp_syn(std::uint8_t* at, probe_shape& shape) {
  probe_tcp tcp{};
  tcp.target = shape.target_port;
  tcp.offset = kTcpBytes / 4 << 4U;
  tcp.flags = PROBE_SYN;
  tcp.window = 0xffff;
  std::memcpy(at, &tcp, sizeof tcp);
  shape.sum = mesh_sum(at, kTcpBytes) + std::uint64_t{shape.source} + shape.target + mesh_be16(PROBE_TCP) +
              mesh_be16(kTcpBytes);
}

}  // namespace

Result<probe_shape> make_shape(const Route& route, const Traffic& traffic) {
  if (!traffic.target.ip.is_v4() || !route.source.is_v4()) {
    return fail(ErrorKind::kInvalid, "from " + route.source.to_string() + " to " + traffic.target.to_string() +
                                         ": only IPv4 addresses are supported");
  }
  if (traffic.bytes < PROBE_BYTES_MIN || traffic.bytes > PROBE_BYTES_MAX) {
    return fail(ErrorKind::kInvalid, "frames of " + std::to_string(traffic.bytes) + " bytes: choose " +
                                         std::to_string(PROBE_BYTES_MIN) + " to " + std::to_string(PROBE_BYTES_MAX));
  }
  if (traffic.protocol == Protocol::kTcpSyn && traffic.bytes != PROBE_BYTES_MIN) {
    return fail(ErrorKind::kInvalid, "a SYN carries no data: leave its size at " + std::to_string(PROBE_BYTES_MIN));
  }
  probe_shape shape{};
  shape.source = raw_v4(route.source);
  shape.target = raw_v4(traffic.target.ip);
  shape.target_port = mesh_be16(traffic.target.port);
  shape.protocol = static_cast<std::uint8_t>(traffic.protocol);
  std::memcpy(shape.head, route.next_hop.bytes.data(), 6);
  std::memcpy(shape.head + 6, route.own.bytes.data(), 6);
  bench::put16(shape.head + 12, 0x0800);
  std::uint8_t* ip = shape.head + PROBE_ETH;
  if (traffic.protocol == Protocol::kUdp) {
    put_ip(ip, shape, traffic.bytes - PROBE_ETH);
    put_udp(ip + PROBE_IP, shape, traffic.bytes - PROBE_ETH - PROBE_IP);
  } else {
    put_ip(ip, shape, PROBE_IP + kTcpBytes);
    put_tcp_syn(ip + PROBE_IP, shape);
  }
  return shape;
}

}  // namespace mesh::pktgen
