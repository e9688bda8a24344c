// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Answers to ARP (RFC 826) and neighbour solicitations (RFC 4861 §7.2): every address has the gateway's MAC. The
// request becomes the answer in place; its length does not change.
#pragma once

#include "bpf/lib/checksum.h"
#include "bpf/lib/packet.h"

struct mesh_arp {
  __be16 hardware;
  __be16 protocol;
  __u8 hardware_length;
  __u8 protocol_length;
  __be16 operation;
  __u8 sender_mac[6];
  __u8 sender_ip[4];
  __u8 target_mac[6];
  __u8 target_ip[4];
} MESH_WIRE;
MESH_SIZE(struct mesh_arp, 28);

// Neighbour solicitation and advertisement with one link-layer address option.
struct mesh_neighbour {
  __u8 type;
  __u8 code;
  __be16 checksum;
  __be32 flags;
  struct mesh_address target;
  __u8 option;  // 1: source, 2: target link-layer address
  __u8 option_units;
  __u8 mac[6];
} MESH_WIRE;
MESH_SIZE(struct mesh_neighbour, 32);

#define MESH_NEIGHBOUR_SOLICITATION 135
#define MESH_NEIGHBOUR_ADVERTISEMENT 136
#define MESH_NEIGHBOUR_FLAGS mesh_be32(0x60000000u)  // solicited, override

MESH_INLINE struct mesh_address mesh_arp_address(const __u8* bytes) {
  __be32 word = mesh_be32((__u32)bytes[0] << 24 | (__u32)bytes[1] << 16 | (__u32)bytes[2] << 8 | bytes[3]);
  return mesh_address_v4(word);
}

MESH_INLINE int mesh_arp_valid(const struct mesh_arp* arp) {
  return arp->hardware == mesh_be16(1) && arp->protocol == MESH_TYPE_IPV4 && arp->hardware_length == 6 &&
         arp->protocol_length == 4;
}

MESH_INLINE void mesh_arp_answer(struct mesh_eth* eth, struct mesh_arp* arp, const __u8* mac) {
  __u8 ip[4];
  mesh_copy_mac(eth->destination, eth->source);
  mesh_copy_mac(eth->source, mac);
  arp->operation = mesh_be16(2);
  mesh_copy_mac(arp->target_mac, arp->sender_mac);
  mesh_copy_mac(arp->sender_mac, mac);
  __builtin_memcpy(ip, arp->target_ip, 4);
  __builtin_memcpy(arp->target_ip, arp->sender_ip, 4);
  __builtin_memcpy(arp->sender_ip, ip, 4);
}

// A solicitation with a source address option, the only form that Linux sends for other addresses than its own.
MESH_INLINE int mesh_solicitation_valid(const struct mesh_ipv6* ip, const struct mesh_neighbour* message) {
  struct mesh_address target = message->target;
  return message->type == MESH_NEIGHBOUR_SOLICITATION && message->code == 0 && ip->hop_limit == 255 &&
         ip->payload_length == mesh_be16(sizeof(*message)) && message->option == 1 && message->option_units == 1 &&
         !mesh_address_is_multicast(&target);
}

MESH_INLINE void mesh_solicitation_answer(struct mesh_eth* eth, struct mesh_ipv6* ip, struct mesh_neighbour* message,
                                          const __u8* mac) {
  struct mesh_address asker = ip->source;
  mesh_copy_mac(eth->destination, eth->source);
  mesh_copy_mac(eth->source, mac);
  ip->destination = asker;
  ip->source = message->target;
  message->type = MESH_NEIGHBOUR_ADVERTISEMENT;
  message->flags = MESH_NEIGHBOUR_FLAGS;
  message->option = 2;
  mesh_copy_mac(message->mac, mac);
  message->checksum = 0;
  __u64 sum = mesh_sum(&ip->source, 32) + mesh_sum(message, sizeof(*message)) + mesh_be16(sizeof(*message)) +
              mesh_be16(MESH_ICMPV6);
  message->checksum = (__be16)~mesh_fold(sum);
}
