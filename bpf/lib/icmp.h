// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// ICMP: errors in front of the packet that they are about (RFC 792, RFC 4443; "packet too big": RFC 1191, RFC 8201),
// and echo replies in place.
#pragma once

#include "bpf/lib/checksum.h"
#include "bpf/lib/packet.h"

struct mesh_icmp {
  __u8 type;
  __u8 code;
  __be16 checksum;
  __be16 word[2];  // too big over IPv4: unused, MTU; over IPv6: MTU; echo: id, sequence
} MESH_WIRE;
MESH_SIZE(struct mesh_icmp, 8);

// What of the packet is quoted: its IP header and 20 bytes more. RFC 792 asks for 8; a TCP header whose checksum is
// still to be filled in cannot be cut inside.
#define MESH_QUOTE_V4 40u
#define MESH_QUOTE_V6 60u
#define MESH_ERROR_V4 28u  // IP and ICMP header in front of the quote
#define MESH_ERROR_V6 48u

struct mesh_error {
  __u8 type;
  __u8 code;
  __u16 mtu;  // 0 unless it is about that
};

MESH_INLINE struct mesh_error mesh_too_big(int v6, __u16 mtu) {
  struct mesh_error error = {v6 ? 2 : 3, v6 ? 0 : 4, mtu};
  return error;
}

// Of a port: a connected UDP socket reports it at once. Of the host: so does a TCP socket that connects.
MESH_INLINE struct mesh_error mesh_unreachable(int v6, int port) {
  struct mesh_error error = {v6 ? 1 : 3, v6 ? (port ? 4 : 3) : (port ? 3 : 1), 0};
  return error;
}

// `start` is where the new Ethernet header goes; behind it the room for IP and ICMP headers, and behind that the quote.
// `macs` holds destination and source as the packet came. The caller has checked the bounds.
MESH_INLINE void mesh_error_v4(__u8* start, const __u8* macs, struct mesh_error error) {
  struct mesh_eth* eth = (struct mesh_eth*)start;
  struct mesh_ipv4* ip = (struct mesh_ipv4*)(start + MESH_ETH_SIZE);
  struct mesh_icmp* icmp = (struct mesh_icmp*)(ip + 1);
  const struct mesh_ipv4* quoted = (const struct mesh_ipv4*)(icmp + 1);
  mesh_copy_mac(eth->destination, macs + 6);
  mesh_copy_mac(eth->source, macs);
  eth->type = MESH_TYPE_IPV4;
  ip->version_ihl = 0x45;
  ip->tos = 0xc0;  // internetwork control, as routers mark ICMP errors (RFC 1812 §4.3.2.5)
  ip->length = mesh_be16(MESH_ERROR_V4 + MESH_QUOTE_V4);
  ip->id = 0;
  ip->fragment = mesh_be16(0x4000);
  ip->ttl = 64;
  ip->protocol = MESH_ICMP;
  ip->checksum = 0;
  ip->source = quoted->destination;
  ip->destination = quoted->source;
  ip->checksum = (__be16)~mesh_fold(mesh_sum(ip, sizeof(*ip)));
  icmp->type = error.type;
  icmp->code = error.code;
  icmp->checksum = 0;
  icmp->word[0] = 0;
  icmp->word[1] = mesh_be16(error.mtu);
  icmp->checksum = (__be16)~mesh_fold(mesh_sum(icmp, sizeof(*icmp)) + mesh_sum(quoted, MESH_QUOTE_V4));
}

MESH_INLINE void mesh_error_v6(__u8* start, const __u8* macs, struct mesh_error error) {
  struct mesh_eth* eth = (struct mesh_eth*)start;
  struct mesh_ipv6* ip = (struct mesh_ipv6*)(start + MESH_ETH_SIZE);
  struct mesh_icmp* icmp = (struct mesh_icmp*)(ip + 1);
  const struct mesh_ipv6* quoted = (const struct mesh_ipv6*)(icmp + 1);
  const __u32 payload = sizeof(*icmp) + MESH_QUOTE_V6;
  mesh_copy_mac(eth->destination, macs + 6);
  mesh_copy_mac(eth->source, macs);
  eth->type = MESH_TYPE_IPV6;
  ip->version_class_label = mesh_be32(0x6c000000u);
  ip->payload_length = mesh_be16((__u16)payload);
  ip->next_header = MESH_ICMPV6;
  ip->hop_limit = 64;
  ip->source = quoted->destination;
  ip->destination = quoted->source;
  icmp->type = error.type;
  icmp->code = error.code;
  icmp->checksum = 0;
  icmp->word[0] = 0;
  icmp->word[1] = mesh_be16(error.mtu);
  __u64 sum = mesh_sum(&ip->source, 32) + mesh_sum(icmp, sizeof(*icmp)) + mesh_sum(quoted, MESH_QUOTE_V6) +
              mesh_be16((__u16)payload) + mesh_be16(MESH_ICMPV6);
  icmp->checksum = (__be16)~mesh_fold(sum);
}

MESH_INLINE int mesh_is_echo_request(const struct mesh_packet* packet, const struct mesh_icmp* icmp) {
  if (packet->fragment) return 0;
  return packet->v6 ? packet->protocol == MESH_ICMPV6 && icmp->type == 128
                    : packet->protocol == MESH_ICMP && icmp->type == 8;
}

// The request becomes the reply. Swapping the addresses leaves both checksums' sums as they are; only the type counts.
// Returns -1, with nothing changed, if the packet is no echo request.
MESH_INLINE int mesh_echo_answer(__u8* start, const __u8* end, const struct mesh_packet* packet, const __u8* mac) {
  struct mesh_eth* eth = (struct mesh_eth*)start;
  struct mesh_icmp* icmp;
  __u8 type;
  if (packet->v6) {
    struct mesh_ipv6* ip = (struct mesh_ipv6*)(start + MESH_ETH_SIZE);
    icmp = (struct mesh_icmp*)(ip + 1);
    if ((const __u8*)(icmp + 1) > end || !mesh_is_echo_request(packet, icmp)) return -1;
    ip->source = packet->destination;
    ip->destination = packet->source;
    type = 129;
  } else {
    struct mesh_ipv4* ip = (struct mesh_ipv4*)(start + MESH_ETH_SIZE);
    icmp = (struct mesh_icmp*)(ip + 1);
    if ((const __u8*)(icmp + 1) > end || !mesh_is_echo_request(packet, icmp)) return -1;
    ip->source = packet->destination.word[3];
    ip->destination = packet->source.word[3];
    type = 0;
  }
  icmp->checksum = mesh_checksum_update(icmp->checksum, mesh_difference16(icmp->type, type));
  // Both forms of zero are the same to a receiver, but over zeros alone, which only this one fits.
  if (icmp->checksum == 0) icmp->checksum = 0xffff;
  icmp->type = type;
  mesh_copy_mac(eth->destination, eth->source);
  mesh_copy_mac(eth->source, mac);
  return 0;
}
