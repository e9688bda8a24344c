// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reading a packet: one description for both families. Nothing beyond `end` is ever touched.
#pragma once

#include "bpf/lib/hash.h"

#define MESH_TYPE_IPV4 mesh_be16(0x0800)
#define MESH_TYPE_IPV6 mesh_be16(0x86dd)
#define MESH_TYPE_ARP mesh_be16(0x0806)
#define MESH_ICMP 1
#define MESH_TCP 6
#define MESH_UDP 17
#define MESH_IPV6_FRAGMENT 44
#define MESH_ICMPV6 58
#define MESH_SCTP 132
#define MESH_TCP_FIN 0x01
#define MESH_TCP_SYN 0x02
#define MESH_TCP_RST 0x04
#define MESH_TCP_ACK 0x10
#define MESH_SCTP_DATA 0
#define MESH_SCTP_INIT 1
#define MESH_SCTP_INIT_ACK 2
#define MESH_SCTP_ABORT 6
#define MESH_SCTP_SHUTDOWN_ACK 8
#define MESH_SCTP_SHUTDOWN_COMPLETE 14
#define MESH_SCTP_I_DATA 64
#define MESH_SCTP_T_BIT 1  // of ABORT: it carries the tag that its receiver sends
#define MESH_ETH_SIZE 14u
#define MESH_VLAN_ID 0x0fff  // of a tag: IEEE 802.1Q

struct mesh_packet {
  struct mesh_address source;
  struct mesh_address destination;
  __be16 source_port;  // 0 unless TCP, UDP or SCTP, and not a fragment after the first
  __be16 destination_port;
  __u16 length;  // of the IP packet, from its header
  __u8 v6;
  __u8 protocol;
  __u8 ttl;
  __u8 tos;
  __u8 tcp_flags;    // of SCTP: what its first chunk would be in TCP
  __u8 fragment;     // any part of a fragmented packet
  __u8 has_ports;    // ports (and TCP flags) were read
  __u8 has_payload;  // not of UDP
  __u8 quoted;       // an ICMP error, read as the answer to what it quotes: lib/quote.h
  __u8 l4_size;      // of the TCP, UDP or SCTP header
  __u8 l4_offset;    // from the start of the IP header
};

// Protocols that published ports are for.
MESH_INLINE int mesh_has_flows(__u8 protocol) {
  return protocol == MESH_TCP || protocol == MESH_UDP || protocol == MESH_SCTP;
}

enum mesh_parse {
  MESH_PARSED = 0,
  MESH_PARSE_OTHER = 1,      // not IP, or IPv4 with options: not for us
  MESH_PARSE_MALFORMED = 2,  // cut off or contradictory
};

// What a chunk says about its association, as TCP's flags say it about a connection. Both ends have acknowledged the
// shutdown when one has sent SHUTDOWN_ACK and the other that or SHUTDOWN_COMPLETE.
#define MESH_SCTP_SAYS(chunk, flag) ((__u64)(flag) << ((chunk) * 4))
MESH_INLINE __u8 mesh_sctp_flags(__u8 chunk) {
  const __u64 says = MESH_SCTP_SAYS(MESH_SCTP_INIT, MESH_TCP_SYN) | MESH_SCTP_SAYS(MESH_SCTP_INIT_ACK, MESH_TCP_SYN) |
                     MESH_SCTP_SAYS(MESH_SCTP_ABORT, MESH_TCP_RST) |
                     MESH_SCTP_SAYS(MESH_SCTP_SHUTDOWN_ACK, MESH_TCP_FIN) |
                     MESH_SCTP_SAYS(MESH_SCTP_SHUTDOWN_COMPLETE, MESH_TCP_FIN);
  if (chunk == MESH_SCTP_INIT) return MESH_TCP_SYN;
  if (chunk > 15) return MESH_TCP_ACK;
  return (__u8)(MESH_TCP_ACK | (says >> (chunk * 4) & 15u));
}

MESH_INLINE int mesh_parse_sctp(const __u8* l4, const __u8* end, struct mesh_packet* packet) {
  const struct mesh_sctp* sctp = (const struct mesh_sctp*)l4;
  if ((const __u8*)(sctp + 1) > end) return MESH_PARSE_MALFORMED;
  if (packet->length < packet->l4_offset + sizeof(*sctp)) return MESH_PARSE_MALFORMED;
  __u8 chunk = sctp->chunk;
  packet->source_port = sctp->source;
  packet->destination_port = sctp->destination;
  packet->tcp_flags = mesh_sctp_flags(chunk);
  packet->has_payload = chunk == MESH_SCTP_DATA || chunk == MESH_SCTP_I_DATA;
  packet->l4_size = sizeof(*sctp);
  packet->has_ports = 1;
  MESH_OPAQUE(packet->tcp_flags);
  MESH_OPAQUE(packet->has_payload);
  return MESH_PARSED;
}

// What lies behind the packet's own end is padding, and none of its headers.
MESH_INLINE int mesh_parse_l4(const __u8* l4, const __u8* end, struct mesh_packet* packet) {
  if (packet->protocol == MESH_TCP) {
    const struct mesh_tcp* tcp = (const struct mesh_tcp*)l4;
    if ((const __u8*)(tcp + 1) > end) return MESH_PARSE_MALFORMED;
    if (packet->length < packet->l4_offset + sizeof(*tcp)) return MESH_PARSE_MALFORMED;
    if ((tcp->offset >> 4) < 5) return MESH_PARSE_MALFORMED;
    packet->source_port = tcp->source;
    packet->destination_port = tcp->destination;
    packet->tcp_flags = tcp->flags;
    packet->l4_size = (tcp->offset >> 4) * 4;
    packet->has_payload = packet->length > packet->l4_offset + packet->l4_size;
    packet->has_ports = 1;
  } else if (packet->protocol == MESH_UDP) {
    const struct mesh_udp* udp = (const struct mesh_udp*)l4;
    if ((const __u8*)(udp + 1) > end) return MESH_PARSE_MALFORMED;
    if (packet->length < packet->l4_offset + sizeof(*udp)) return MESH_PARSE_MALFORMED;
    packet->source_port = udp->source;
    packet->destination_port = udp->destination;
    packet->l4_size = sizeof(*udp);
    packet->has_ports = 1;
  } else if (packet->protocol == MESH_SCTP) {
    return mesh_parse_sctp(l4, end, packet);
  }
  return MESH_PARSED;
}

// `room`: bytes from the IP header to the packet's end, those not in linear memory included.
MESH_INLINE int mesh_parse_ipv4(const __u8* l3, const __u8* end, __u32 room, struct mesh_packet* packet) {
  const struct mesh_ipv4* ip = (const struct mesh_ipv4*)l3;
  if ((const __u8*)(ip + 1) > end) return MESH_PARSE_MALFORMED;
  if (ip->version_ihl != 0x45) {
    return (ip->version_ihl >> 4) == 4 && (ip->version_ihl & 15) > 5 ? MESH_PARSE_OTHER : MESH_PARSE_MALFORMED;
  }
  packet->length = mesh_swap16(ip->length);
  if (packet->length < sizeof(*ip) || packet->length > room) return MESH_PARSE_MALFORMED;
  packet->source = mesh_address_v4(ip->source);
  packet->destination = mesh_address_v4(ip->destination);
  packet->protocol = ip->protocol;
  packet->ttl = ip->ttl;
  packet->tos = ip->tos;
  packet->l4_offset = sizeof(*ip);
  packet->fragment = (ip->fragment & mesh_be16(0x3fff)) != 0;
  if (ip->fragment & mesh_be16(0x1fff)) return MESH_PARSED;
  return mesh_parse_l4((const __u8*)(ip + 1), end, packet);
}

MESH_INLINE int mesh_parse_ipv6(const __u8* l3, const __u8* end, __u32 room, struct mesh_packet* packet) {
  const struct mesh_ipv6* ip = (const struct mesh_ipv6*)l3;
  if ((const __u8*)(ip + 1) > end) return MESH_PARSE_MALFORMED;
  if ((ip->version_class_label & mesh_be32(0xf0000000u)) != mesh_be32(0x60000000u)) return MESH_PARSE_MALFORMED;
  __u32 length = (__u32)mesh_swap16(ip->payload_length) + sizeof(*ip);
  if (length > room || length > 0xffff) return MESH_PARSE_MALFORMED;
  packet->length = (__u16)length;
  packet->source = ip->source;
  packet->destination = ip->destination;
  packet->protocol = ip->next_header;
  packet->ttl = ip->hop_limit;
  packet->tos = (__u8)(mesh_swap32(ip->version_class_label) >> 20);
  packet->l4_offset = sizeof(*ip);
  packet->v6 = 1;
  packet->fragment = ip->next_header == MESH_IPV6_FRAGMENT;
  return mesh_parse_l4((const __u8*)(ip + 1), end, packet);
}

MESH_INLINE int mesh_parse_ip(__be16 type, const __u8* l3, const __u8* end, __u32 room, struct mesh_packet* packet) {
  int parsed = MESH_PARSE_OTHER;
  if (type == MESH_TYPE_IPV4) parsed = mesh_parse_ipv4(l3, end, room, packet);
  if (type == MESH_TYPE_IPV6) parsed = mesh_parse_ipv6(l3, end, room, packet);
  MESH_OPAQUE(parsed);
  MESH_OPAQUE(packet->v6);
  MESH_OPAQUE(packet->protocol);
  MESH_OPAQUE(packet->has_ports);
  MESH_OPAQUE(packet->fragment);
  return parsed;
}

// A packet that may begin a flow: a first SYN, an INIT, or any UDP packet.
MESH_INLINE int mesh_packet_begins(const struct mesh_packet* packet) {
  if (packet->quoted) return 0;
  return packet->protocol == MESH_UDP || (packet->tcp_flags & (MESH_TCP_SYN | MESH_TCP_ACK)) == MESH_TCP_SYN;
}

// 1: a reset or ABORT, 0: anything else. An error is read with that flag too.
MESH_INLINE __u32 mesh_packet_resets(const struct mesh_packet* packet) {
  return (packet->tcp_flags / MESH_TCP_RST) & 1u & (packet->quoted ^ 1u);
}

MESH_INLINE __u64 mesh_packet_ring_hash(const struct mesh_packet* packet) {
  return mesh_ring_hash(&packet->source, &packet->destination, packet->source_port, packet->destination_port,
                        packet->protocol);
}
