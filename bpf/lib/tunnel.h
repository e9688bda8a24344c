// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The header between hosts: encoding, decoding, and the outer headers in front of it. Layout: bpf/abi.h.
#pragma once

#include "bpf/lib/checksum.h"
#include "bpf/lib/packet.h"

// struct mesh_tunnel in the host's own terms.
struct mesh_header {
  __u32 vni;
  __u32 ring_version;
  __u16 binding;
  __u16 entry;
  __u16 stop;
  __u16 prev;
  __u8 kind;
  __u8 backend;
  __u8 moved;
  __u8 mixed;
  __u8 stage;
  __u8 hops;
};

// Outer Ethernet, IPv4, UDP, and the tunnel header with the inner Ethernet type: what adjust_head or adjust_room makes
// room for, plus the inner Ethernet header's own 14 bytes.
#define MESH_ENCAPSULATION_SIZE (MESH_OUTER_SIZE + MESH_ETH_SIZE)
#define MESH_TUNNEL_OFFSET (MESH_ETH_SIZE + 20u + 8u)

MESH_INLINE void mesh_tunnel_encode(struct mesh_tunnel* wire, const struct mesh_header* header) {
  __be32 first = mesh_be32((__u32)MESH_VXLAN_FLAGS << 24 | (__u32)header->stop << 12 | header->prev);
  __be32 second = mesh_be32(header->vni << 8 | MESH_TUNNEL_VERSION);
  __builtin_memcpy(wire, &first, sizeof(first));
  __builtin_memcpy(wire->vni, &second, sizeof(second));
  wire->kind = (__u8)MESH_TUNNEL_KIND(header->kind);
  wire->flags = (__u8)((header->moved ? MESH_TUNNEL_MOVED : 0) | (header->mixed ? MESH_TUNNEL_MIXED : 0) |
                       (header->stage << MESH_TUNNEL_STAGE_SHIFT));
  wire->binding = mesh_be16(header->binding);
  wire->entry = mesh_be16(header->entry);
  wire->hops = (__u8)MESH_TUNNEL_HOPS(header->hops);
  wire->backend = header->backend;
  wire->ring_version = mesh_be32(header->ring_version);
}

MESH_INLINE __u32 mesh_tunnel_vni(const struct mesh_tunnel* wire) {
  __be32 word = 0;  // the identifier and the header version
  __builtin_memcpy(&word, wire->vni, sizeof(word));
  return mesh_swap32(word) >> 8;
}

// Whether the fixed bits are ours; the VNI is judged by the caller.
MESH_INLINE int mesh_tunnel_is_known(const struct mesh_tunnel* wire) {
  return wire->header_version == MESH_TUNNEL_VERSION && (wire->kind & 3) == 2 && (wire->hops & 3) == 2;
}

MESH_INLINE void mesh_tunnel_decode(const struct mesh_tunnel* wire, struct mesh_header* header) {
  __be32 first = 0;  // flags, stop and prev
  __builtin_memcpy(&first, wire, sizeof(first));
  __u32 stop_prev = mesh_swap32(first) & 0xffffffu;
  header->vni = mesh_tunnel_vni(wire);
  header->ring_version = mesh_swap32(wire->ring_version);
  header->binding = mesh_swap16(wire->binding);
  header->entry = mesh_swap16(wire->entry) & (MESH_NODES_MAX - 1);
  header->stop = (__u16)(stop_prev >> 12);
  header->prev = (__u16)(stop_prev & 0xfff);
  header->kind = wire->kind >> 2;
  header->backend = wire->backend;
  header->moved = (wire->flags & MESH_TUNNEL_MOVED) != 0;
  header->mixed = (wire->flags & MESH_TUNNEL_MIXED) != 0;
  header->stage = (wire->flags & MESH_TUNNEL_STAGE_MASK) >> MESH_TUNNEL_STAGE_SHIFT;
  header->hops = wire->hops >> 2;
}

// What the outer IP header takes from the inner one: ECN (RFC 6040 §4.1, normal mode). Not the DSCP: the underlay's
// classes are not the client's to choose.
MESH_INLINE __u8 mesh_outer_tos(__u8 inner_tos) { return inner_tos & 3; }

enum mesh_ecn { MESH_ECN_KEEP = 0, MESH_ECN_MARK = 1, MESH_ECN_DROP = 2 };

// RFC 6040 §4.2: a mark on the outer header reaches the inner one, or the packet is dropped if nobody would see it.
MESH_INLINE int mesh_ecn_after(__u8 outer_tos, __u8 inner_tos) {
  if ((outer_tos & 3) != 3 || (inner_tos & 3) == 3) return MESH_ECN_KEEP;
  return (inner_tos & 3) == 0 ? MESH_ECN_DROP : MESH_ECN_MARK;
}

// Source port of the outer UDP header: spreads flows over paths and queues (RFC 7348 §5), 32768..65535.
MESH_INLINE __be16 mesh_outer_port(__u64 hash) { return mesh_be16((__u16)(0x8000u | (hash & 0x7fff))); }

// Both of the outer Ethernet header's addresses, which a node's row has in the same order. By words: of bytes there
// would be two dozen instructions.
struct mesh_macs {
  __u32 word[3];
} MESH_WIRE;
MESH_STATIC_ASSERT(__builtin_offsetof(struct mesh_node, egress_mac) ==
                           __builtin_offsetof(struct mesh_node, next_hop) + 6 &&
                       __builtin_offsetof(struct mesh_node, next_hop) % 4 == 0,
                   "a node's MACs lie as on the wire");
MESH_INLINE void mesh_outer_write_macs(__u8* start, const struct mesh_node* node) {
  *(struct mesh_macs*)start = *(const struct mesh_macs*)node->next_hop;
}

// Writes outer Ethernet, IPv4 and UDP. `inner_length`: of the inner IP packet. The UDP checksum is zero (RFC 7348 §4).
MESH_INLINE void mesh_outer_write(__u8* start, const struct mesh_node* node, __u32 inner_length, __u8 tos, __u64 hash) {
  struct mesh_eth* eth = (struct mesh_eth*)start;
  struct mesh_ipv4* ip = (struct mesh_ipv4*)(start + MESH_ETH_SIZE);
  struct mesh_udp* udp = (struct mesh_udp*)(start + MESH_ETH_SIZE + 20);
  mesh_outer_write_macs(start, node);
  eth->type = MESH_TYPE_IPV4;
  __be16 length = mesh_be16((__u16)(inner_length + MESH_OUTER_SIZE));
  ip->version_ihl = 0x45;
  ip->tos = tos;
  ip->length = length;
  ip->id = 0;  // "don't fragment": the id has no meaning (RFC 6864)
  ip->fragment = mesh_be16(0x4000);
  ip->ttl = 64;
  ip->protocol = MESH_UDP;
  ip->source = node->source.word[3];
  ip->destination = node->address.word[3];
  __u64 sum = (__u64)mesh_be16((__u16)(0x4500 | tos)) + length + mesh_be16(0x4000) + mesh_be16(64 << 8 | MESH_UDP) +
              ip->source + ip->destination;
  ip->checksum = (__be16)~mesh_fold(sum);
  udp->source = mesh_outer_port(hash);
  udp->destination = mesh_be16(MESH_VXLAN_PORT);
  udp->length = mesh_be16((__u16)(inner_length + MESH_OUTER_SIZE - 20));
  udp->checksum = 0;
}

// Sends a tunnel packet on to another host: the outer addresses change, the inner packet does not.
MESH_INLINE void mesh_outer_retarget(__u8* start, const struct mesh_node* node) {
  struct mesh_ipv4* ip = (struct mesh_ipv4*)(start + MESH_ETH_SIZE);
  mesh_outer_write_macs(start, node);
  __u64 difference = mesh_difference32(ip->source, node->source.word[3]) +
                     mesh_difference32(ip->destination, node->address.word[3]) + mesh_difference16((__u16)ip->ttl, 64);
  ip->checksum = mesh_checksum_update(ip->checksum, difference);
  ip->ttl = 64;
  ip->source = node->source.word[3];
  ip->destination = node->address.word[3];
}
