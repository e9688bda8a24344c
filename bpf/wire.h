// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Addresses, the headers on the wire, and the tunnel header between hosts. Part of bpf/abi.h.
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#define MESH_STATIC_ASSERT(condition, text) static_assert(condition, text)
extern "C" {
#else
#define MESH_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif
#define MESH_SIZE(type, bytes) MESH_STATIC_ASSERT(sizeof(type) == (bytes), "layout of " #type)

struct mesh_address {
  __be32 word[4];
};
MESH_SIZE(struct mesh_address, 16);

// Headers have no padding of their own, but start at any byte. The kernel's JITs load unaligned words; natively
// "packed" says it to the compiler (and makes it slow in BPF, where it would load single bytes).
#ifdef __bpf__
#define MESH_WIRE
#else
#define MESH_WIRE __attribute__((packed))
#endif

struct mesh_eth {
  __u8 destination[6];
  __u8 source[6];
  __be16 type;
} MESH_WIRE;
MESH_SIZE(struct mesh_eth, 14);

struct mesh_ipv4 {
  __u8 version_ihl;
  __u8 tos;
  __be16 length;
  __be16 id;
  __be16 fragment;
  __u8 ttl;
  __u8 protocol;
  __be16 checksum;
  __be32 source;
  __be32 destination;
} MESH_WIRE;
MESH_SIZE(struct mesh_ipv4, 20);

struct mesh_ipv6 {
  __be32 version_class_label;
  __be16 payload_length;
  __u8 next_header;
  __u8 hop_limit;
  struct mesh_address source;
  struct mesh_address destination;
} MESH_WIRE;
MESH_SIZE(struct mesh_ipv6, 40);

struct mesh_tcp {
  __be16 source;
  __be16 destination;
  __be32 sequence;
  __be32 acknowledgement;
  __u8 offset;
  __u8 flags;
  __be16 window;
  __be16 checksum;
  __be16 urgent;
} MESH_WIRE;
MESH_SIZE(struct mesh_tcp, 20);

// With the header of its first chunk: no packet of SCTP is without one.
struct mesh_sctp {
  __be16 source;
  __be16 destination;
  __be32 tag;
  __be32 checksum;  // CRC32c of the SCTP packet, this field taken as zero; no pseudo-header
  __u8 chunk;       // type
  __u8 flags;
  __be16 length;
} MESH_WIRE;
MESH_SIZE(struct mesh_sctp, 16);

struct mesh_udp {
  __be16 source;
  __be16 destination;
  __be16 length;
  __be16 checksum;
} MESH_WIRE;
MESH_SIZE(struct mesh_udp, 8);

// The header that hosts put before a packet: VXLAN (RFC 7348) whose reserved bits and inner MAC addresses carry what
// FLOWS calls HEADER. A container never sees these MACs: the delivering host writes its own.
//
//   VXLAN   flags 8 (0x08) | stop 12 | prev 12 | VNI 24 | header version 8
//   MAC 1   kind<<2|0x02   | flags 8 (moved, mixed, stage) | binding 16 | entry 16
//   MAC 2   hops<<2|0x02   | backend 8 | ring version 32
//   type    0x0800 or 0x86dd
// The low bits 0x02 keep both MACs unicast and locally administered.
struct mesh_tunnel {
  __u8 vxlan_flags;
  __u8 stop_prev[3];    // stop << 12 | prev, big-endian; node numbers
  __u8 vni[3];          // big-endian
  __u8 header_version;  // MESH_TUNNEL_VERSION
  __u8 kind;
  __u8 flags;
  __be16 binding;  // on the owner's host
  __be16 entry;    // node number of the sender of a reply or overlay packet, of the entry host otherwise
  __u8 hops;
  __u8 backend;  // owner: index in the service's backend list
  __be32 ring_version;
} MESH_WIRE;  // followed by the Ethernet type
MESH_SIZE(struct mesh_tunnel, 20);

#define MESH_VXLAN_FLAGS 0x08
#define MESH_TUNNEL_VERSION 1
#define MESH_TUNNEL_KIND(kind) (((kind) << 2) | 0x02)
#define MESH_TUNNEL_HOPS(hops) (((hops) << 2) | 0x02)
enum mesh_tunnel_kind {
  MESH_KIND_FORWARD = 1,  // client -> backend, untouched client packet
  MESH_KIND_REPLY = 2,    // backend -> client, already restored; the receiver only passes it on
  MESH_KIND_OVERLAY = 3,  // between endpoints of one network
};
#define MESH_TUNNEL_MOVED 0x01
#define MESH_TUNNEL_MIXED 0x02
#define MESH_TUNNEL_STAGE_SHIFT 2
#define MESH_TUNNEL_STAGE_MASK 0x1c
enum mesh_stage {
  MESH_STAGE_ENTRY = 0,   // as the entry stamped it
  MESH_STAGE_CIRCLE = 1,  // on its way round the hosts of the slot
  MESH_STAGE_PREV = 2,    // at the previous owner's host
  MESH_STAGE_CREATE = 3,  // back at the owner's host, which creates the record
};
// Outer Ethernet + IPv4 + UDP + VXLAN, as put before the inner Ethernet header: MTU cost of the tunnel over IPv4.
#define MESH_OUTER_SIZE 50u

#ifdef __cplusplus
}  // extern "C"
#endif
