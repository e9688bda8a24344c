// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Changing addresses, ports and TTL of a packet in place. The IP header's checksum is updated here; the transport
// checksum is left to the caller, because an skb may hold it only partially.
#pragma once

#include "bpf/lib/checksum.h"
#include "bpf/lib/packet.h"

// What the packet shall have afterwards.
struct mesh_tuple {
  struct mesh_address source;
  struct mesh_address destination;
  __be16 source_port;
  __be16 destination_port;
};

struct mesh_differences {
  __u64 pseudo;  // of the addresses, which the pseudo-header covers
  __u64 ports;
};

// The Ethernet header of a packet that begins at `start`. Returns -1 when it is not in reach.
MESH_INLINE int mesh_write_eth(__u8* start, const __u8* end, const __u8* to, const __u8* from, int v6) {
  struct mesh_eth* eth = (struct mesh_eth*)start;
  if ((const __u8*)(eth + 1) > end) return -1;
  mesh_copy_mac(eth->destination, to);
  mesh_copy_mac(eth->source, from);
  eth->type = v6 ? MESH_TYPE_IPV6 : MESH_TYPE_IPV4;
  return 0;
}

// One hop further. The caller has seen that ttl > 1. Returns -1 when the header is not in reach.
MESH_INLINE int mesh_decrement_ttl(__u8* l3, const __u8* end, int v6) {
  if (v6) {
    struct mesh_ipv6* ip = (struct mesh_ipv6*)l3;
    if ((const __u8*)(ip + 1) > end) return -1;
    ip->hop_limit--;
    return 0;
  }
  struct mesh_ipv4* ip = (struct mesh_ipv4*)l3;
  if ((const __u8*)(ip + 1) > end) return -1;
  // The TTL is the low byte of its 16-bit word as it lies in memory.
  ip->checksum = mesh_checksum_update(ip->checksum, mesh_difference16(1, 0));
  ip->ttl--;
  return 0;
}

// Marks congestion experienced. Only for ECN-capable packets (RFC 6040 §4.2).
MESH_INLINE int mesh_mark_congestion(__u8* l3, const __u8* end, int v6) {
  if (v6) {
    struct mesh_ipv6* ip = (struct mesh_ipv6*)l3;
    if ((const __u8*)(ip + 1) > end) return -1;
    ip->version_class_label |= mesh_be32(0x00300000u);
    return 0;
  }
  struct mesh_ipv4* ip = (struct mesh_ipv4*)l3;
  if ((const __u8*)(ip + 1) > end) return -1;
  __u8 marked = ip->tos | 3;
  ip->checksum = mesh_checksum_update(ip->checksum, mesh_difference16((__u16)(ip->tos << 8), (__u16)(marked << 8)));
  ip->tos = marked;
  return 0;
}

MESH_INLINE int mesh_rewrite(__u8* l3, const __u8* end, const struct mesh_packet* packet,
                             const struct mesh_tuple* tuple, struct mesh_differences* differences) {
  __u8* l4;
  differences->ports = mesh_difference16(packet->source_port, tuple->source_port) +
                       mesh_difference16(packet->destination_port, tuple->destination_port);
  if (packet->v6) {
    struct mesh_ipv6* ip = (struct mesh_ipv6*)l3;
    l4 = (__u8*)(ip + 1);
    if ((const __u8*)(ip + 1) > end) return -1;
    differences->pseudo = mesh_difference_address(&packet->source, &tuple->source) +
                          mesh_difference_address(&packet->destination, &tuple->destination);
    ip->source = tuple->source;
    ip->destination = tuple->destination;
  } else {
    struct mesh_ipv4* ip = (struct mesh_ipv4*)l3;
    l4 = (__u8*)(ip + 1);
    if ((const __u8*)(ip + 1) > end) return -1;
    differences->pseudo = mesh_difference32(packet->source.word[3], tuple->source.word[3]) +
                          mesh_difference32(packet->destination.word[3], tuple->destination.word[3]);
    ip->source = tuple->source.word[3];
    ip->destination = tuple->destination.word[3];
    ip->checksum = mesh_checksum_update(ip->checksum, differences->pseudo);
  }
  // SCTP's checksum covers the ports (which nobody changes then) and no address.
  if (packet->protocol == MESH_SCTP) {
    __u32 changed =
        (__u32)(packet->source_port ^ tuple->source_port) | (__u32)(packet->destination_port ^ tuple->destination_port);
    return changed ? -1 : 0;
  }
  // TCP and UDP begin with the same two ports.
  if (l4 + 8 > end) return -1;
  struct mesh_udp* ports = (struct mesh_udp*)l4;
  ports->source = tuple->source_port;
  ports->destination = tuple->destination_port;
  return 0;
}

// `form`: MESH_CHECKSUM_COMPLETE or MESH_CHECKSUM_PARTIAL.
MESH_INLINE int mesh_rewrite_checksum(__u8* l4, const __u8* end, __u8 protocol, __u64 difference, __u16 form) {
  if (protocol == MESH_TCP) {
    struct mesh_tcp* tcp = (struct mesh_tcp*)l4;
    if ((const __u8*)(tcp + 1) > end) return -1;
    tcp->checksum = mesh_checksum_update_form(tcp->checksum, difference, form);
  } else if (protocol == MESH_UDP) {
    struct mesh_udp* udp = (struct mesh_udp*)l4;
    if ((const __u8*)(udp + 1) > end) return -1;
    udp->checksum = mesh_checksum_update_udp(udp->checksum, difference, form);
  }
  return 0;
}
