#include "bench/pktgen/replies.h"

#include <algorithm>
#include <cstring>

#include "bench/frame_bytes.h"

namespace mesh::pktgen {
namespace {

struct Arp {
  std::uint16_t hardware, protocol;
  std::uint8_t hardware_bytes, protocol_bytes;
  std::uint16_t operation;
  std::uint8_t sender_mac[6];
  std::uint8_t sender[4];
  std::uint8_t target_mac[6];
  std::uint8_t target[4];
};
static_assert(sizeof(Arp) == 28);

constexpr std::uint16_t kRequest = 1, kReply = 2;
constexpr std::size_t kTcpBytes = 20;

}  // namespace

bool reply_to_arp(std::uint8_t* frame, std::size_t bytes, const probe_shape& shape) {
  const std::uint8_t* own = shape.head + 6;
  Arp arp{};
  if (bytes < PROBE_ETH + sizeof arp || frame[12] != 0x08 || frame[13] != 0x06) return false;
  std::memcpy(&arp, frame + PROBE_ETH, sizeof arp);
  if (arp.operation != mesh_be16(kRequest) || std::memcmp(arp.target, &shape.source, 4) != 0) return false;
  arp.operation = mesh_be16(kReply);
  std::memcpy(arp.target_mac, arp.sender_mac, 6);
  std::memcpy(arp.target, arp.sender, 4);
  std::memcpy(arp.sender_mac, own, 6);
  std::memcpy(arp.sender, &shape.source, 4);
  std::memcpy(frame + PROBE_ETH, &arp, sizeof arp);
  std::memcpy(frame, arp.target_mac, 6);
  std::memcpy(frame + 6, own, 6);
  return true;
}

bool reset_opened(std::uint8_t* frame, std::size_t bytes) {
  probe_ip ip{};
  probe_tcp tcp{};
  if (bytes < PROBE_ETH + sizeof ip + sizeof tcp) return false;
  std::memcpy(&ip, frame + PROBE_ETH, sizeof ip);
  std::memcpy(&tcp, frame + PROBE_ETH + sizeof ip, sizeof tcp);
  if (ip.protocol != PROBE_TCP || (tcp.flags & (PROBE_SYN | PROBE_ACK)) != (PROBE_SYN | PROBE_ACK)) return false;
  std::swap_ranges(frame, frame + 6, frame + 6);
  const std::uint32_t client = ip.target;
  ip.target = ip.source;
  ip.source = client;
  ip.length = mesh_be16(sizeof ip + sizeof tcp);
  ip.checksum = 0;
  probe_tcp reset{};
  reset.source = tcp.target;
  reset.target = tcp.source;
  reset.sequence = tcp.acknowledged;
  reset.offset = kTcpBytes / 4 << 4U;
  reset.flags = PROBE_RST;
  std::uint8_t* at = frame + PROBE_ETH;
  std::memcpy(at, &ip, sizeof ip);
  bench::put_checksum(at);
  std::memcpy(at + sizeof ip, &reset, sizeof reset);
  reset.checksum =
      static_cast<std::uint16_t>(~mesh_fold(mesh_sum(at + sizeof ip, kTcpBytes) + std::uint64_t{ip.source} + ip.target +
                                            mesh_be16(PROBE_TCP) + mesh_be16(kTcpBytes)));
  std::memcpy(at + sizeof ip, &reset, sizeof reset);
  return true;
}

}  // namespace mesh::pktgen
