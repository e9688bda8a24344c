// Frames for tests, built from fields. Every checksum is computed over the whole packet, the slow and obvious way: what
// the programs update incrementally must come out the same.
#pragma once

#include <optional>
#include <string>

#include "bpf/abi.h"
#include "tests/packet/bpf/kernel.h"
#include "tests/packet/bpf/world.h"

namespace mesh::packet {

[[nodiscard]] std::uint16_t slow_checksum(const Bytes& bytes);

// The tunnel around a frame. Node addresses are IPv4.
struct Tunnel {
  std::string from, to;
  Mac source{}, destination{};
  __u8 kind = MESH_KIND_FORWARD;
  __u32 vni = kIngressVni;
  __u16 binding = 0, entry = 0, stop = 0, prev = 0;
  __u8 backend = 0, flags = 0, hops = 0;
  __u32 version = 1;
  __u8 tos = 0;
  __u8 header_version = MESH_TUNNEL_VERSION;
  __u16 source_port = 0;  // 0: as this project's entry chooses it for the inner packet
};

struct Frame {
  Mac destination{}, source{};
  std::string from, to;  // both IPv4 or both IPv6
  __u8 protocol = 6;
  __u16 source_port = 0, destination_port = 0;
  __u8 tcp_flags = 0x10;
  __u8 ttl = 64, tos = 0;
  std::string tcp_options;  // a multiple of four bytes
  std::string payload = "some payload";
  __u16 fragment = 0x4000;        // flags and offset, IPv4
  bool without_checksum = false;  // UDP
  __u32 tag = 0;                  // SCTP, with its only chunk, whose content is the payload
  __u8 chunk = 1, chunk_flags = 0;
  std::optional<Tunnel> tunnel;

  [[nodiscard]] Bytes bytes() const;
  // From the IP header of the innermost packet on.
  [[nodiscard]] Bytes packet() const;
};

}  // namespace mesh::packet
