// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// ICMP errors (RFC 792, RFC 4443): they quote the packet that they are about, and belong to its flow. A quote is read
// as if its receiver had answered with an ordinary packet, so that whoever looks for a flow needs no second way.
#pragma once

#include "bpf/lib/icmp.h"
#include "bpf/lib/rewrite.h"

// Ports of the quoted packet: all that RFC 792 promises.
struct mesh_quoted_ports {
  __be16 source;
  __be16 destination;
} MESH_WIRE;

MESH_INLINE int mesh_is_icmp_error(__u8 v6, __u8 type) {
  if (v6) return type >= 1 && type <= 4;         // unreachable, too big, time exceeded, parameter problem
  return type == 3 || type == 11 || type == 12;  // the same; "too big" is a kind of unreachable
}

// What of an error is read and changed: IP and ICMP header, and the quoted IP header and ports.
#define MESH_QUOTE_ROOM_V4 52u
#define MESH_QUOTE_ROOM_V6 92u
MESH_INLINE __u32 mesh_quote_room(__u8 v6) { return v6 ? MESH_QUOTE_ROOM_V6 : MESH_QUOTE_ROOM_V4; }

struct mesh_quote {
  struct mesh_address source;
  struct mesh_address destination;
  __be16 source_port;
  __be16 destination_port;
  __u8 protocol;
};

MESH_INLINE int mesh_read_quote_v4(const __u8* l3, const __u8* end, struct mesh_quote* quote) {
  const struct mesh_icmp* icmp = (const struct mesh_icmp*)(l3 + sizeof(struct mesh_ipv4));
  const struct mesh_ipv4* ip = (const struct mesh_ipv4*)(icmp + 1);
  const struct mesh_quoted_ports* ports = (const struct mesh_quoted_ports*)(ip + 1);
  if ((const __u8*)(ports + 1) > end) return 0;
  if (!mesh_is_icmp_error(0, icmp->type) || ip->version_ihl != 0x45 || (ip->fragment & mesh_be16(0x1fff))) return 0;
  quote->source = mesh_address_v4(ip->source);
  quote->destination = mesh_address_v4(ip->destination);
  quote->source_port = ports->source;
  quote->destination_port = ports->destination;
  quote->protocol = ip->protocol;
  return 1;
}

MESH_INLINE int mesh_read_quote_v6(const __u8* l3, const __u8* end, struct mesh_quote* quote) {
  const struct mesh_icmp* icmp = (const struct mesh_icmp*)(l3 + sizeof(struct mesh_ipv6));
  const struct mesh_ipv6* ip = (const struct mesh_ipv6*)(icmp + 1);
  const struct mesh_quoted_ports* ports = (const struct mesh_quoted_ports*)(ip + 1);
  if ((const __u8*)(ports + 1) > end) return 0;
  if (!mesh_is_icmp_error(1, icmp->type)) return 0;
  quote->source = ip->source;
  quote->destination = ip->destination;
  quote->source_port = ports->source;
  quote->destination_port = ports->destination;
  quote->protocol = ip->next_header;
  return 1;
}

enum mesh_quoter {
  MESH_QUOTED_TO_HOST,      // an error about a reply: sent by its client, or by a router on the way
  MESH_QUOTED_BY_ENDPOINT,  // ... about what a client sent, by the endpoint itself
};

// Makes the packet look like the answer to what it quotes, of the quoted protocol. 0: it is no ICMP error, or not one
// about a flow between these two; it is as it was.
MESH_INLINE int mesh_take_quote(const __u8* l3, const __u8* end, struct mesh_packet* packet, enum mesh_quoter quoter) {
  struct mesh_quote quote;
  if (packet->fragment || packet->protocol != (packet->v6 ? MESH_ICMPV6 : MESH_ICMP)) return 0;
  if (packet->length < mesh_quote_room(packet->v6)) return 0;
  int read = packet->v6 ? mesh_read_quote_v6(l3, end, &quote) : mesh_read_quote_v4(l3, end, &quote);
  if (!read || !mesh_has_flows(quote.protocol)) return 0;
  if (!mesh_address_equal(&quote.source, &packet->destination)) return 0;
  if (quoter == MESH_QUOTED_BY_ENDPOINT && !mesh_address_equal(&quote.destination, &packet->source)) return 0;
  packet->source = quote.destination;
  packet->source_port = quote.destination_port;
  packet->destination_port = quote.source_port;
  packet->protocol = quote.protocol;
  // What changes the state of a flow least: an error proves little.
  packet->tcp_flags = quoter == MESH_QUOTED_BY_ENDPOINT ? MESH_TCP_SYN | MESH_TCP_ACK : MESH_TCP_RST;
  packet->has_ports = 1;
  packet->quoted = 1;
  return 1;
}

MESH_INLINE void mesh_forget_quote(struct mesh_packet* packet) {
  packet->protocol = packet->v6 ? MESH_ICMPV6 : MESH_ICMP;
  packet->source_port = packet->destination_port = 0;
  packet->tcp_flags = 0;
  packet->has_ports = 0;
  packet->quoted = 0;
}

// Gives the error and its quote the tuple's addresses and ports. A router's own address stays. The checksum of a quoted
// IP header is kept right; that of the quoted segment nobody checks.
MESH_INLINE void mesh_rewrite_quote_v4(__u8* l3, const struct mesh_packet* packet, const struct mesh_tuple* tuple) {
  struct mesh_ipv4* outer = (struct mesh_ipv4*)l3;
  struct mesh_ipv4* quoted = (struct mesh_ipv4*)(l3 + sizeof(*outer) + sizeof(struct mesh_icmp));
  __be32 source = outer->source == packet->source.word[3] ? tuple->source.word[3] : outer->source;
  __u64 difference =
      mesh_difference32(outer->source, source) + mesh_difference32(outer->destination, tuple->destination.word[3]);
  outer->checksum = mesh_checksum_update(outer->checksum, difference);
  outer->source = source;
  outer->destination = tuple->destination.word[3];
  difference = mesh_difference32(quoted->source, tuple->destination.word[3]) +
               mesh_difference32(quoted->destination, tuple->source.word[3]);
  quoted->checksum = mesh_checksum_update(quoted->checksum, difference);
  quoted->source = tuple->destination.word[3];
  quoted->destination = tuple->source.word[3];
}

MESH_INLINE void mesh_rewrite_quote_v6(__u8* l3, const struct mesh_packet* packet, const struct mesh_tuple* tuple) {
  struct mesh_ipv6* outer = (struct mesh_ipv6*)l3;
  struct mesh_ipv6* quoted = (struct mesh_ipv6*)(l3 + sizeof(*outer) + sizeof(struct mesh_icmp));
  struct mesh_address source = outer->source;
  if (mesh_address_equal(&source, &packet->source)) outer->source = tuple->source;
  outer->destination = tuple->destination;
  quoted->source = tuple->destination;
  quoted->destination = tuple->source;
}

MESH_INLINE __u64 mesh_quote_sum(const __u8* room, __u32 from, __u32 to) {
  __u64 sum = 0;
  MESH_NO_UNROLL
  for (__u32 at = from; at < to && at < MESH_QUOTE_ROOM_V6; at += 2) {
    sum += (__u64)room[at] | (__u64)room[at + 1] << 8;
  }
  return sum;
}

// `room`: MESH_QUOTE_ROOM bytes of the error, from its IP header on. Its checksum (a complete one) covers what follows
// the IPv4 header, and of IPv6 the addresses too.
MESH_INLINE void mesh_rewrite_quote(__u8* room, const struct mesh_packet* packet, const struct mesh_tuple* tuple) {
  __u32 from = packet->v6 ? 8 : sizeof(struct mesh_ipv4);
  __u32 to = mesh_quote_room(packet->v6);
  __u64 before = mesh_quote_sum(room, from, to);
  __u8* l4 = room + (packet->v6 ? sizeof(struct mesh_ipv6) : sizeof(struct mesh_ipv4));
  struct mesh_quoted_ports* ports = (struct mesh_quoted_ports*)(room + to - sizeof(*ports));
  if (packet->v6) {
    mesh_rewrite_quote_v6(room, packet, tuple);
  } else {
    mesh_rewrite_quote_v4(room, packet, tuple);
  }
  ports->source = tuple->destination_port;
  ports->destination = tuple->source_port;
  struct mesh_icmp* icmp = (struct mesh_icmp*)l4;
  __u64 difference = mesh_quote_sum(room, from, to) + (__u16)~mesh_fold(before);
  icmp->checksum = mesh_checksum_update(icmp->checksum, difference);
}
