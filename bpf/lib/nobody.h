// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is answered for an address that nobody has: a reset to what is of a TCP connection (RFC 9293 §3.10.7.1), an
// ABORT to what is of SCTP (RFC 9260 §8.4), an ICMP error to the rest.
#pragma once

#include "bpf/lib/quote.h"

enum mesh_answer { MESH_ANSWER_NOTHING, MESH_ANSWER_RESET, MESH_ANSWER_ERROR };

// Nothing to what is itself an answer of this kind, or no first fragment (RFC 1122 §3.2.2).
MESH_INLINE enum mesh_answer mesh_nobody_answer(const struct mesh_packet* packet, const __u8* start, const __u8* end) {
  if (packet->fragment || packet->l4_offset != (packet->v6 ? 40 : 20)) return MESH_ANSWER_NOTHING;
  if (packet->protocol == MESH_TCP) {
    if (packet->tcp_flags & MESH_TCP_RST) return MESH_ANSWER_NOTHING;
    return packet->tcp_flags & MESH_TCP_ACK ? MESH_ANSWER_RESET : MESH_ANSWER_ERROR;
  }
  if (packet->protocol == (packet->v6 ? MESH_ICMPV6 : MESH_ICMP)) {
    const struct mesh_icmp* icmp = (const struct mesh_icmp*)(start + MESH_ETH_SIZE + (packet->v6 ? 40 : 20));
    if ((const __u8*)(icmp + 1) > end) return MESH_ANSWER_NOTHING;
    return mesh_is_echo_request(packet, icmp) ? MESH_ANSWER_ERROR : MESH_ANSWER_NOTHING;
  }
  return MESH_ANSWER_ERROR;
}

MESH_INLINE int mesh_may_abort(const struct mesh_packet* packet) {
  return packet->has_ports && !packet->fragment && !(packet->tcp_flags & MESH_TCP_RST);
}

MESH_INLINE void mesh_reset_tcp(struct mesh_tcp* tcp, const struct mesh_packet* packet, __u64 addresses) {
  tcp->source = packet->destination_port;
  tcp->destination = packet->source_port;
  tcp->sequence = tcp->acknowledgement;
  tcp->acknowledgement = 0;
  tcp->offset = sizeof(*tcp) / 4 << 4;
  tcp->flags = MESH_TCP_RST;
  tcp->window = 0;
  tcp->checksum = 0;
  tcp->urgent = 0;
  __u64 pseudo = addresses + mesh_be16(sizeof(*tcp)) + mesh_be16(MESH_TCP);
  tcp->checksum = (__be16)~mesh_fold(pseudo + mesh_sum(tcp, sizeof(*tcp)));
}

// Turns the IP header round, for an answer of `size` bytes.
MESH_INLINE void mesh_turn_v6(struct mesh_ipv6* ip, const struct mesh_packet* packet, __u16 size) {
  ip->version_class_label = mesh_be32(0x60000000u);
  ip->payload_length = mesh_be16(size);
  ip->hop_limit = 64;
  ip->source = packet->destination;
  ip->destination = packet->source;
}

MESH_INLINE void mesh_turn_v4(struct mesh_ipv4* ip, const struct mesh_packet* packet, __u16 size) {
  ip->tos = 0;
  ip->length = mesh_be16(sizeof(*ip) + size);
  ip->id = 0;
  ip->fragment = mesh_be16(0x4000);
  ip->ttl = 64;
  ip->checksum = 0;
  ip->source = packet->destination.word[3];
  ip->destination = packet->source.word[3];
  ip->checksum = (__be16)~mesh_fold(mesh_sum(ip, sizeof(*ip)));
}

// The segment, which acknowledges something and was cut to its headers, becomes the reset. -1: it is too short.
MESH_INLINE int mesh_reset(__u8* start, const __u8* end, const struct mesh_packet* packet, const __u8* mac) {
  struct mesh_eth* eth = (struct mesh_eth*)start;
  if (packet->v6) {
    struct mesh_ipv6* ip = (struct mesh_ipv6*)(start + MESH_ETH_SIZE);
    struct mesh_tcp* tcp = (struct mesh_tcp*)(ip + 1);
    if ((const __u8*)(tcp + 1) > end) return -1;
    mesh_turn_v6(ip, packet, sizeof(*tcp));
    mesh_reset_tcp(tcp, packet, mesh_sum(&ip->source, 32));
  } else {
    struct mesh_ipv4* ip = (struct mesh_ipv4*)(start + MESH_ETH_SIZE);
    struct mesh_tcp* tcp = (struct mesh_tcp*)(ip + 1);
    if ((const __u8*)(tcp + 1) > end) return -1;
    mesh_turn_v4(ip, packet, sizeof(*tcp));
    mesh_reset_tcp(tcp, packet, mesh_sum(&ip->source, 8));
  }
  mesh_copy_mac(eth->destination, eth->source);
  mesh_copy_mac(eth->source, mac);
  return 0;
}

// What of an SCTP packet is read for the answer: up to the tag that an INIT names.
struct mesh_sctp_init {
  struct mesh_sctp header;
  __be32 initiate_tag;
} MESH_WIRE;
#define MESH_ABORT_ROOM sizeof(struct mesh_sctp_init)

// The tag of an INIT is the one that its sender expects. Everything else carries the receiver's, and an ABORT with that
// has the T bit.
MESH_INLINE void mesh_abort_sctp(struct mesh_sctp* sctp, const struct mesh_packet* packet) {
  int init = sctp->chunk == MESH_SCTP_INIT;
  __be32 tag = init ? ((const struct mesh_sctp_init*)sctp)->initiate_tag : sctp->tag;
  __u8 flags = init ? 0 : MESH_SCTP_T_BIT;
  sctp->source = packet->destination_port;
  sctp->destination = packet->source_port;
  sctp->tag = tag;
  sctp->chunk = MESH_SCTP_ABORT;
  sctp->flags = flags;
  sctp->length = mesh_be16(4);
  __u32 crc = ~0u;
  crc = mesh_crc32c(crc, (__u32)packet->destination_port | (__u32)packet->source_port << 16);
  crc = mesh_crc32c(crc, tag);
  crc = mesh_crc32c(crc, 0);
  crc = mesh_crc32c(crc, MESH_SCTP_ABORT | (__u32)flags << 8 | (__u32)mesh_be16(4) << 16);
  sctp->checksum = ~crc;
}

// The packet, which was cut to MESH_ABORT_ROOM behind its IP header, becomes the ABORT, which is a struct mesh_sctp.
// -1: it is too short.
MESH_INLINE int mesh_abort(__u8* start, const __u8* end, const struct mesh_packet* packet, const __u8* mac) {
  struct mesh_eth* eth = (struct mesh_eth*)start;
  __u8* l4 = start + MESH_ETH_SIZE + (packet->v6 ? sizeof(struct mesh_ipv6) : sizeof(struct mesh_ipv4));
  if (l4 + MESH_ABORT_ROOM > end) return -1;
  if (packet->v6) {
    mesh_turn_v6((struct mesh_ipv6*)(start + MESH_ETH_SIZE), packet, sizeof(struct mesh_sctp));
  } else {
    mesh_turn_v4((struct mesh_ipv4*)(start + MESH_ETH_SIZE), packet, sizeof(struct mesh_sctp));
  }
  mesh_abort_sctp((struct mesh_sctp*)l4, packet);
  mesh_copy_mac(eth->destination, eth->source);
  mesh_copy_mac(eth->source, mac);
  return 0;
}
