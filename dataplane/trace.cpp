#include "dataplane/trace.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>

#include "bpf/lib/packet.h"
#include "bpf/lib/tunnel.h"
#include "dataplane/state.h"

namespace mesh::dataplane {
namespace {

constexpr std::size_t kEth = sizeof(mesh_eth), kV4 = sizeof(mesh_ipv4), kV6 = sizeof(mesh_ipv6);
constexpr std::uint8_t kHops = 64;

std::uint64_t sum_words(const std::uint8_t* start, std::size_t size) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < size; i += 2) {
    sum += static_cast<std::uint64_t>(start[i] << 8) | (i + 1 < size ? start[i + 1] : 0U);
  }
  return sum;
}

std::uint16_t checksum_of(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<std::uint16_t>(~sum));
}

// TCP or UDP without payload.
Frame make_l4(const TracedPacket& packet) {
  if (packet.protocol == MESH_UDP) {
    mesh_udp udp{htons(packet.source.port), htons(packet.destination.port), htons(sizeof(mesh_udp)), 0};
    const auto* start = reinterpret_cast<const std::uint8_t*>(&udp);
    return {start, start + sizeof udp};
  }
  mesh_tcp tcp{};
  tcp.source = htons(packet.source.port);
  tcp.destination = htons(packet.destination.port);
  tcp.offset = sizeof tcp / 4 << 4;
  tcp.flags = packet.tcp_flags;
  tcp.window = htons(0xffff);
  const auto* start = reinterpret_cast<const std::uint8_t*>(&tcp);
  return {start, start + sizeof tcp};
}

void write_v4(std::uint8_t* l3, const TracedPacket& packet, std::size_t l4_size) {
  mesh_ipv4 ip{};
  ip.version_ihl = 0x45;
  ip.length = htons(static_cast<std::uint16_t>(kV4 + l4_size));
  ip.fragment = htons(0x4000);
  ip.ttl = kHops;
  ip.protocol = packet.protocol;
  ip.source = htonl(packet.source.ip.v4_host_order());
  ip.destination = htonl(packet.destination.ip.v4_host_order());
  ip.checksum = checksum_of(sum_words(reinterpret_cast<const std::uint8_t*>(&ip), kV4));
  std::memcpy(l3, &ip, kV4);
}

void write_v6(std::uint8_t* l3, const TracedPacket& packet, std::size_t l4_size) {
  mesh_ipv6 ip{};
  ip.version_class_label = htonl(0x60000000U);
  ip.payload_length = htons(static_cast<std::uint16_t>(l4_size));
  ip.next_header = packet.protocol;
  ip.hop_limit = kHops;
  ip.source = to_abi(packet.source.ip);
  ip.destination = to_abi(packet.destination.ip);
  std::memcpy(l3, &ip, kV6);
}

const char* kind_name(std::uint8_t kind) {
  if (kind == MESH_KIND_FORWARD) return "client's packet";
  if (kind == MESH_KIND_REPLY) return "answer";
  return kind == MESH_KIND_OVERLAY ? "packet of a network" : "of a kind that is not known";
}

const char* stage_name(std::uint8_t stage) {
  if (stage == MESH_STAGE_CIRCLE) return "circle";
  if (stage == MESH_STAGE_PREV) return "previous owner";
  return stage == MESH_STAGE_CREATE ? "create" : "entry";
}

std::optional<TracedPacket> packet_of(__be16 type, const std::uint8_t* l3, const std::uint8_t* end) {
  mesh_packet packet{};
  if (l3 > end || mesh_parse_ip(type, l3, end, static_cast<__u32>(end - l3), &packet) != MESH_PARSED) {
    return std::nullopt;
  }
  return TracedPacket{{from_abi(packet.source), ntohs(packet.source_port)},
                      {from_abi(packet.destination), ntohs(packet.destination_port)},
                      packet.protocol,
                      packet.tcp_flags};
}

std::optional<TracedTunnel> tunnel_of(const Frame& frame) {
  mesh_ipv4 outer{};
  mesh_tunnel wire{};
  std::memcpy(&outer, frame.data() + kEth, kV4);
  std::memcpy(&wire, frame.data() + MESH_TUNNEL_OFFSET, sizeof wire);
  if (wire.vxlan_flags != MESH_VXLAN_FLAGS || mesh_tunnel_is_known(&wire) == 0) return std::nullopt;
  mesh_header header{};
  mesh_tunnel_decode(&wire, &header);
  return TracedTunnel{.from = IpAddress::v4(ntohl(outer.source)),
                      .to = IpAddress::v4(ntohl(outer.destination)),
                      .kind = kind_name(header.kind),
                      .vni = header.vni,
                      .entry = header.entry,
                      .stop = header.stop,
                      .prev = header.prev,
                      .binding = header.binding,
                      .ring_version = header.ring_version,
                      .hops = header.hops,
                      .stage = stage_name(header.stage),
                      .moved = header.moved != 0,
                      .mixed = header.mixed != 0};
}

}  // namespace

Frame make_frame(const TracedPacket& packet, const MacAddress& from, const MacAddress& to) {
  const bool v4 = packet.source.ip.is_v4();
  const std::size_t l3_size = v4 ? kV4 : kV6;
  Frame l4 = make_l4(packet);
  // The pseudo-header (RFC 9293, RFC 8200 §8.1): of an IPv4-mapped address only its last four bytes are not the same in
  // every packet, and those before them are to be left out.
  std::uint64_t sum = packet.protocol + l4.size() + sum_words(l4.data(), l4.size());
  for (const IpAddress& address : {packet.source.ip, packet.destination.ip}) {
    const std::size_t skip = v4 ? 12 : 0;
    sum += sum_words(address.bytes().data() + skip, address.bytes().size() - skip);
  }
  const std::uint16_t checksum = checksum_of(sum);
  const std::size_t at = packet.protocol == MESH_UDP ? offsetof(mesh_udp, checksum) : offsetof(mesh_tcp, checksum);
  std::memcpy(l4.data() + at, &checksum, sizeof checksum);

  Frame frame(kEth + l3_size);
  std::ranges::copy(to.bytes, frame.begin());
  std::ranges::copy(from.bytes, frame.begin() + 6);
  const __be16 type = v4 ? MESH_TYPE_IPV4 : MESH_TYPE_IPV6;
  std::memcpy(frame.data() + 12, &type, sizeof type);
  v4 ? write_v4(frame.data() + kEth, packet, l4.size()) : write_v6(frame.data() + kEth, packet, l4.size());
  frame.insert(frame.end(), l4.begin(), l4.end());
  return frame;
}

std::optional<Frame> answer_to(const Frame& delivered, bool known) {
  const TracedFrame read = read_frame(delivered);
  if (!read.packet || read.tunnel) return std::nullopt;
  TracedPacket answer = *read.packet;
  if (answer.protocol != MESH_TCP && answer.protocol != MESH_UDP) return std::nullopt;
  if ((answer.tcp_flags & kTcpRst) != 0) return std::nullopt;
  std::swap(answer.source, answer.destination);
  if (answer.protocol == MESH_TCP) {
    const std::uint8_t later = known ? kTcpAck : kTcpRst;
    answer.tcp_flags = (answer.tcp_flags & kTcpSyn) != 0 ? kTcpSyn | kTcpAck : later;
  }
  MacAddress gateway;
  std::copy_n(delivered.begin() + 6, 6, gateway.bytes.begin());
  return make_frame(answer, read.to, gateway);
}

TracedFrame read_frame(const Frame& frame) {
  TracedFrame read;
  if (frame.size() < kEth) return read;
  std::copy_n(frame.begin(), 6, read.to.bytes.begin());
  __be16 type = 0;
  std::memcpy(&type, frame.data() + 12, sizeof type);
  const std::uint8_t* end = frame.data() + frame.size();
  read.packet = packet_of(type, frame.data() + kEth, end);
  const bool vxlan = read.packet && read.packet->protocol == MESH_UDP && type == MESH_TYPE_IPV4 &&
                     read.packet->destination.port == MESH_VXLAN_PORT && frame.size() >= MESH_ENCAPSULATION_SIZE;
  if (!vxlan) return read;
  read.tunnel = tunnel_of(frame);
  if (!read.tunnel) return read;
  std::memcpy(&type, frame.data() + MESH_TUNNEL_OFFSET + sizeof(mesh_tunnel), sizeof type);
  read.packet = packet_of(type, frame.data() + MESH_ENCAPSULATION_SIZE, end);
  return read;
}

}  // namespace mesh::dataplane
