#include "bench/packet_frames.h"

#include <algorithm>
#include <cstring>

#include "bench/frame_bytes.h"
#include "bpf/lib/tunnel.h"

namespace mesh::bench {
namespace {

constexpr std::uint32_t kEth = 14;

// Addresses of the family: IPv6 ones are fd00:: with the IPv4 address in the last four bytes.
void put_address(std::uint8_t* at, Family family, std::uint32_t v4) {
  if (family == Family::kV6) {
    std::memset(at, 0, 16);
    at[0] = 0xfd;
    at += 12;
  }
  put32(at, v4);
}

struct Ends {
  std::uint32_t source, destination;
  std::uint16_t source_port, destination_port;
};

// An IP packet with a TCP or UDP header at `at`; returns its length. The checksums of the layer above are not looked at
// by the programs, only updated.
std::uint32_t put_ip(std::uint8_t* at, Family family, std::uint8_t protocol, std::uint8_t tcp_flags, const Ends& ends,
                     std::uint32_t payload) {
  const std::uint32_t l3 = family == Family::kV4 ? 20 : 40;
  const std::uint32_t l4 = protocol == kTcp ? 20 : 8;
  const std::uint32_t length = l3 + l4 + payload;
  if (family == Family::kV4) {
    at[0] = 0x45;
    put16(at + 2, length);
    at[8] = 64;
    at[9] = protocol;
    put_address(at + 12, family, ends.source);
    put_address(at + 16, family, ends.destination);
    put_checksum(at);
  } else {
    at[0] = 0x60;
    put16(at + 4, length - l3);
    at[6] = protocol;
    at[7] = 64;
    put_address(at + 8, family, ends.source);
    put_address(at + 24, family, ends.destination);
  }
  std::uint8_t* transport = at + l3;
  put16(transport, ends.source_port);
  put16(transport + 2, ends.destination_port);
  if (protocol == kTcp) {
    transport[12] = 0x50;
    transport[13] = tcp_flags;
  } else {
    put16(transport + 4, l4 + payload);
    put16(transport + 6, 0xffff);
  }
  return length;
}

Frame plain(Family family, std::uint8_t protocol, std::uint8_t tcp_flags, const Ends& ends, bool client_is_source) {
  Frame frame;
  put16(frame.bytes.data() + 12, family == Family::kV4 ? 0x0800 : 0x86dd);
  const std::uint32_t l3 = family == Family::kV4 ? 20 : 40;
  const std::uint32_t l4 = protocol == kTcp ? 20 : 8;
  // The harness writes at least 56 bytes, and socket buffers are filled up to a minimal frame's 60.
  const std::uint32_t size = std::max(64U, (kEth + l3 + l4 + 7) / 8 * 8);
  frame.length = size;
  put_ip(frame.bytes.data() + kEth, family, protocol, tcp_flags, ends, size - kEth - l3 - l4);
  const std::uint32_t address = family == Family::kV4 ? (client_is_source ? 12U : 16U) : (client_is_source ? 20U : 36U);
  frame.address_at = kEth + address;
  frame.port_at = kEth + l3 + (client_is_source ? 0 : 2);
  frame.service_at = kEth + l3 + (client_is_source ? 2 : 0);
  return frame;
}

// A packet in the tunnel from the other host to this one.
Frame encapsulated(const Frame& inner, Family family, std::uint8_t kind, std::uint32_t vni, std::uint16_t binding) {
  Frame frame;
  std::uint8_t* data = frame.bytes.data();
  const std::uint32_t inner_length = inner.length - kEth;
  put16(data + 12, 0x0800);
  put_ip(data + kEth, Family::kV4, kUdp, 0, {kOther4, kSelf4, 40000, MESH_VXLAN_PORT},
         inner_length + MESH_OUTER_SIZE - 28);
  put16(data + kEth + 26, 0);  // no outer checksum
  mesh_tunnel tunnel{};
  const mesh_header header{.vni = vni, .ring_version = 1, .binding = binding, .entry = 2, .stop = 1, .kind = kind};
  mesh_tunnel_encode(&tunnel, &header);
  std::memcpy(data + MESH_TUNNEL_OFFSET, &tunnel, sizeof(tunnel));
  put16(data + MESH_OUTER_SIZE + kEth - 2, family == Family::kV4 ? 0x0800 : 0x86dd);
  std::memcpy(data + MESH_OUTER_SIZE + kEth, inner.bytes.data() + kEth, inner_length);
  frame.length = inner.length + MESH_OUTER_SIZE;
  frame.address_at = inner.address_at + MESH_OUTER_SIZE;
  frame.port_at = inner.port_at + MESH_OUTER_SIZE;
  frame.service_at = inner.service_at + MESH_OUTER_SIZE;
  frame.flags_at = MESH_TUNNEL_OFFSET + offsetof(mesh_tunnel, flags);
  return frame;
}

}  // namespace

Frame client_frame(Family family, std::uint8_t protocol, std::uint8_t tcp_flags, std::uint16_t port) {
  return plain(family, protocol, tcp_flags, {kClient4, kSelf4, 40000, port}, true);
}

Frame other_frame() { return plain(Family::kV4, kTcp, kAck, {kClient4, kSelf4, 40000, 22}, true); }

Frame reply_frame(bool of_tunnel) {
  const std::uint16_t port = of_tunnel ? kTargetPort : kBothTargetPort;
  Frame frame = plain(Family::kV4, kTcp, kAck, {kEndpoint4, kClient4, port, 40000}, false);
  std::ranges::copy(kEndpointMac, frame.bytes.data() + 6);
  return frame;
}

Frame tunnel_frame(Family family, std::uint8_t protocol, std::uint8_t tcp_flags) {
  return encapsulated(client_frame(family, protocol, tcp_flags, kLocalPort), family, MESH_KIND_FORWARD, MESH_VNI_MIN,
                      protocol == kTcp ? kTcpBinding : kUdpBinding);
}

// An endpoint's address cannot vary: the TCP sequence number does in its place.
Frame overlay_out_frame() {
  Frame frame = plain(Family::kV4, kTcp, kAck, {kOverlayHere4, kOverlayThere4, 40000, 80}, true);
  std::ranges::copy(kEndpointMac, frame.bytes.data() + 6);
  frame.address_at = frame.port_at + 4;
  return frame;
}

Frame overlay_in_frame() {
  Frame inner = plain(Family::kV4, kTcp, kAck, {kOverlayThere4, kOverlayHere4, 40000, 80}, true);
  inner.address_at = inner.port_at + 4;
  return encapsulated(inner, Family::kV4, MESH_KIND_OVERLAY, kOverlayVni, 0);
}

}  // namespace mesh::bench
