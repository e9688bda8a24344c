// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Carrying out a verdict on an skb: segments stay large and partial checksums stay right.
#pragma once

#include <linux/pkt_cls.h>

#include "bpf/lib/icmp.h"
#include "bpf/skb_checksum.h"
#include "bpf/verdict.h"

#define MESH_SKB_AF_INET 2
#define MESH_SKB_AF_INET6 10
#define MESH_PACKET_HOST 0
// Kernel 6.3; makes adjust_room set the protocol of what is left.
#define MESH_DECAPSULATE_IPV6 (1ull << 8)
// Headers that a program reads: outer 64, IPv6 40, TCP 20.
#define MESH_SKB_HEADERS 124u

MESH_INLINE __u8* mesh_skb_start(const struct __sk_buff* skb) { return (__u8*)(long)skb->data; }
MESH_INLINE __u8* mesh_skb_end(const struct __sk_buff* skb) { return (__u8*)(long)skb->data_end; }

MESH_INLINE int mesh_skb_drop(__u32 reason) {
  mesh_count(reason);
  return TC_ACT_SHOT;
}

// Makes the headers readable where the driver left them in fragments.
MESH_INLINE void mesh_skb_pull(struct __sk_buff* skb) {
  __u32 wanted = skb->len < MESH_SKB_HEADERS ? skb->len : MESH_SKB_HEADERS;
  if (mesh_skb_start(skb) + MESH_SKB_HEADERS <= mesh_skb_end(skb)) return;
  if ((__u32)(skb->data_end - skb->data) < wanted) bpf_skb_pull_data(skb, wanted);
}

// mesh_take_quote() for the packet whose IP header is at `offset`.
MESH_SEPARATE int mesh_skb_take_quote(struct __sk_buff* skb, struct mesh_packet* packet, __u32 offset, int quoter) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || !packet) return 0;
  __u32 size = mesh_quote_room(packet->v6);
  if (bpf_skb_load_bytes(skb, offset, scratch->error, size)) return 0;
  return mesh_take_quote(scratch->error, scratch->error + sizeof(scratch->error), packet, (enum mesh_quoter)quoter);
}

MESH_SEPARATE int mesh_skb_edit_quote(struct __sk_buff* skb, const struct mesh_packet* packet,
                                      const struct mesh_tuple* tuple, __u32 offset) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || !packet || !tuple) return -1;
  __u32 size = mesh_quote_room(packet->v6);
  if (bpf_skb_load_bytes(skb, offset, scratch->error, size)) return -1;
  mesh_rewrite_quote(scratch->error, packet, tuple);
  return (int)bpf_skb_store_bytes(skb, offset, scratch->error, size, BPF_F_RECOMPUTE_CSUM);
}

// As mesh_xdp_clamp_mss().
MESH_SEPARATE int mesh_skb_clamp_mss(struct __sk_buff* skb, const struct mesh_packet* packet, __u32 offset,
                                     __u32 peer) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || !packet) return 0;
  __u32 mss_max = mesh_mss_max(packet, peer);
  __u32 size = mesh_options_size(packet);
  if (!mss_max || !size) return 0;
  offset += packet->l4_offset;
  if (bpf_skb_load_bytes(skb, offset, scratch->error, size)) return 0;
  struct mesh_clamp clamp = mesh_clamp_mss(scratch->error, size, mss_max);
  if (!clamp.at) return 0;
  if (bpf_skb_store_bytes(skb, offset + clamp.at, &clamp.value, sizeof(clamp.value), 0)) return -1;
  if (bpf_l4_csum_replace(skb, offset + __builtin_offsetof(struct mesh_tcp, checksum), 0, mesh_fold32(clamp.difference),
                          0))
    return -1;
  mesh_count(MESH_COUNT_MSS_CLAMPED);
  return 0;
}

MESH_INLINE int mesh_skb_translate(struct __sk_buff* skb, struct mesh_work* work) {
  const struct mesh_packet* packet = &work->packet;
  __u32 l3_offset = work->encapsulated ? MESH_ENCAPSULATION_SIZE : MESH_ETH_SIZE;
  if ((packet->tcp_flags & MESH_TCP_SYN) && mesh_skb_clamp_mss(skb, packet, l3_offset, mesh_tunnel_peer(work))) {
    return -1;
  }
  __u8* l3 = mesh_skb_start(skb) + l3_offset;
  const __u8* end = mesh_skb_end(skb);
  if (work->mark_congestion && mesh_mark_congestion(l3, end, packet->v6)) return -1;
  if (work->hop && mesh_decrement_ttl(l3, end, packet->v6)) return -1;
  if (!work->translate) return 0;
  if (packet->quoted) return mesh_skb_edit_quote(skb, packet, &work->tuple, l3_offset);
  struct mesh_differences differences;
  if (mesh_rewrite(l3, end, packet, &work->tuple, &differences)) return -1;
  __u8* l4 = l3 + (packet->v6 ? sizeof(struct mesh_ipv6) : sizeof(struct mesh_ipv4));
  return mesh_skb_checksum(skb, packet, l3_offset, l4, end, &differences);
}

// Removes the outer headers. The skb's protocol must become the inner one: either by the flag, or on older kernels by
// turning the outer header into one of the inner family first, which adds 20 bytes.
MESH_INLINE int mesh_skb_decapsulate(struct __sk_buff* skb, int v6) {
  if (!v6) return (int)bpf_skb_adjust_room(skb, -(int)MESH_OUTER_SIZE, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
  __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | MESH_DECAPSULATE_IPV6;
  if (!bpf_skb_adjust_room(skb, -(int)MESH_OUTER_SIZE, BPF_ADJ_ROOM_MAC, flags)) return 0;
  if (bpf_skb_change_proto(skb, MESH_TYPE_IPV6, 0)) return -1;
  return (int)bpf_skb_adjust_room(skb, -(int)(MESH_OUTER_SIZE + 20), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

MESH_INLINE int mesh_skb_write_eth(struct __sk_buff* skb, const __u8* to, const __u8* from, int v6) {
  return mesh_write_eth(mesh_skb_start(skb), mesh_skb_end(skb), to, from, v6);
}

// The packet as its receiver on this host shall see it, without Ethernet addresses yet.
MESH_INLINE int mesh_skb_unwrap(struct __sk_buff* skb, struct mesh_work* work) {
  if (mesh_skb_translate(skb, work)) return -1;
  return work->encapsulated ? mesh_skb_decapsulate(skb, work->packet.v6) : 0;
}

MESH_INLINE int mesh_skb_deliver(struct __sk_buff* skb, struct mesh_work* work) {
  if (mesh_skb_unwrap(skb, work)) return mesh_skb_drop(MESH_COUNT_EDIT);
  if (mesh_skb_write_eth(skb, work->mac, work->config->gateway_mac, work->packet.v6)) {
    return mesh_skb_drop(MESH_COUNT_EDIT);
  }
  bpf_skb_change_type(skb, MESH_PACKET_HOST);
  return (int)bpf_redirect_peer(work->ifindex, 0);
}

MESH_INLINE int mesh_skb_host(struct __sk_buff* skb, struct mesh_work* work) {
  if (work->encapsulated) mesh_count(MESH_COUNT_REPLY_IN);
  if (mesh_skb_unwrap(skb, work)) return mesh_skb_drop(MESH_COUNT_EDIT);
  if (mesh_skb_write_eth(skb, work->config->mesh_mac, work->config->gateway_mac, work->packet.v6)) {
    return mesh_skb_drop(MESH_COUNT_EDIT);
  }
  bpf_skb_change_type(skb, MESH_PACKET_HOST);
  return (int)bpf_redirect(work->config->mesh_ifindex, BPF_F_INGRESS);
}

// By the host's routes. On a host with one uplink it is known; the neighbour is resolved on the way.
MESH_INLINE int mesh_skb_client(struct __sk_buff* skb, struct mesh_work* work) {
  const struct mesh_packet* packet = &work->packet;
  const struct mesh_node* self = mesh_node_of(work->config->self);
  if (mesh_skb_unwrap(skb, work)) return mesh_skb_drop(MESH_COUNT_EDIT);
  if (work->encapsulated) mesh_count(MESH_COUNT_REPLY_IN);
  if (self && self->ifindex) return (int)bpf_redirect_neigh(self->ifindex, 0, 0, 0);
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch) return mesh_skb_drop(MESH_COUNT_NO_ROOM);
  struct bpf_fib_lookup* route = &scratch->route;
  __builtin_memset(route, 0, sizeof(*route));
  route->family = packet->v6 ? MESH_SKB_AF_INET6 : MESH_SKB_AF_INET;
  route->l4_protocol = packet->protocol;
  route->ifindex = skb->ingress_ifindex;
  // A reply that came in the tunnel has its final addresses already; one from an endpoint here has just got them.
  const struct mesh_address* source = work->translate ? &work->tuple.source : &packet->source;
  const struct mesh_address* destination = work->translate ? &work->tuple.destination : &packet->destination;
  if (packet->v6) {
    __builtin_memcpy(route->ipv6_src, source, 16);
    __builtin_memcpy(route->ipv6_dst, destination, 16);
  } else {
    route->ipv4_src = source->word[3];
    route->ipv4_dst = destination->word[3];
  }
  long result = bpf_fib_lookup(skb, route, sizeof(*route), 0);
  if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH) {
    return mesh_skb_drop(MESH_COUNT_NO_ROUTE);
  }
  return (int)bpf_redirect_neigh(route->ifindex, 0, 0, 0);
}

MESH_INLINE int mesh_skb_tunnel(struct __sk_buff* skb, struct mesh_work* work) {
  const struct mesh_node* node = mesh_node_of(work->to);
  if (!node) return mesh_skb_drop(MESH_COUNT_NO_NODE);
  if (mesh_skb_translate(skb, work)) return mesh_skb_drop(MESH_COUNT_EDIT);
  // Segments were checked against the tunnel's MTU, so their size stays.
  __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
                BPF_F_ADJ_ROOM_ENCAP_L2(MESH_ETH_SIZE) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
  if (bpf_skb_adjust_room(skb, MESH_OUTER_SIZE, BPF_ADJ_ROOM_MAC, flags)) return mesh_skb_drop(MESH_COUNT_EDIT);
  __u8* start = mesh_skb_start(skb);
  if (start + MESH_ENCAPSULATION_SIZE > mesh_skb_end(skb)) return mesh_skb_drop(MESH_COUNT_EDIT);
  mesh_outer_write(start, node, work->packet.length, mesh_outer_tos(work->packet.tos), work->hash);
  struct mesh_tunnel* wire = (struct mesh_tunnel*)(start + MESH_TUNNEL_OFFSET);
  mesh_tunnel_encode(wire, &work->header);
  *(__be16*)(wire + 1) = work->packet.v6 ? MESH_TYPE_IPV6 : MESH_TYPE_IPV4;
  return (int)bpf_redirect(node->ifindex, 0);
}

MESH_INLINE int mesh_skb_send_on(struct __sk_buff* skb, struct mesh_work* work) {
  const struct mesh_node* node = mesh_node_of(work->to);
  if (!node) return mesh_skb_drop(MESH_COUNT_NO_NODE);
  __u8* start = mesh_skb_start(skb);
  if (start + MESH_ENCAPSULATION_SIZE > mesh_skb_end(skb)) return mesh_skb_drop(MESH_COUNT_EDIT);
  mesh_tunnel_encode((struct mesh_tunnel*)(start + MESH_TUNNEL_OFFSET), &work->header);
  mesh_outer_retarget(start, node);
  return (int)bpf_redirect(node->ifindex, 0);
}

// The packet is cut to what is quoted, headers are put before it, and it goes back where it came from.
MESH_INLINE int mesh_skb_error(struct __sk_buff* skb, int v6, struct mesh_error error) {
  __u32 quote = v6 ? MESH_QUOTE_V6 : MESH_QUOTE_V4;
  __u32 room = v6 ? MESH_ERROR_V6 : MESH_ERROR_V4;
  __u8 macs[12];
  __u8* start = mesh_skb_start(skb);
  if (start + MESH_ETH_SIZE > mesh_skb_end(skb)) return TC_ACT_SHOT;
  __builtin_memcpy(macs, start, sizeof(macs));
  if (bpf_skb_change_tail(skb, MESH_ETH_SIZE + quote, 0)) return TC_ACT_SHOT;
  if (bpf_skb_adjust_room(skb, (int)room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO)) return TC_ACT_SHOT;
  start = mesh_skb_start(skb);
  if (v6) {
    if (start + MESH_ETH_SIZE + MESH_ERROR_V6 + MESH_QUOTE_V6 > mesh_skb_end(skb)) return TC_ACT_SHOT;
    mesh_error_v6(start, macs, error);
  } else {
    if (start + MESH_ETH_SIZE + MESH_ERROR_V4 + MESH_QUOTE_V4 > mesh_skb_end(skb)) return TC_ACT_SHOT;
    mesh_error_v4(start, macs, error);
  }
  return (int)bpf_redirect(skb->ifindex, 0);
}

MESH_INLINE int mesh_skb_too_big(struct __sk_buff* skb, struct mesh_work* work) {
  int action = mesh_skb_error(skb, work->packet.v6, mesh_too_big(work->packet.v6, work->mtu));
  mesh_count(MESH_COUNT_TOO_BIG);
  if (action != TC_ACT_SHOT) mesh_count(MESH_COUNT_TOO_BIG_ANSWERED);
  return action;
}

// A client's packet that came back in the tunnel to be refused here.
MESH_INLINE int mesh_skb_refuse(struct __sk_buff* skb, struct mesh_work* work) {
  if (mesh_skb_unwrap(skb, work)) return mesh_skb_drop(MESH_COUNT_EDIT);
  if (mesh_skb_write_eth(skb, work->config->mesh_mac, work->config->gateway_mac, work->packet.v6)) {
    return mesh_skb_drop(MESH_COUNT_EDIT);
  }
  return TC_ACT_OK;
}

MESH_INLINE int mesh_skb_exit(struct __sk_buff* skb) {
  // The endpoint addressed the gateway's MAC, which is not the interface's own.
  bpf_skb_change_type(skb, MESH_PACKET_HOST);
  mesh_count(MESH_COUNT_EXIT);
  return TC_ACT_OK;
}

MESH_INLINE int mesh_skb_apply(struct __sk_buff* skb, struct mesh_work* work, int action) {
  switch (action) {
    case MESH_DROP:
      return mesh_skb_drop(work->reason);
    case MESH_DELIVER:
      return mesh_skb_deliver(skb, work);
    case MESH_TUNNEL:
      return mesh_skb_tunnel(skb, work);
    case MESH_SEND_ON:
      return mesh_skb_send_on(skb, work);
    case MESH_CLIENT:
      return mesh_skb_client(skb, work);
    case MESH_HOST:
      return mesh_skb_host(skb, work);
    case MESH_TOO_BIG:
      return mesh_skb_too_big(skb, work);
    case MESH_EXIT:
      return work->encapsulated ? mesh_skb_refuse(skb, work) : mesh_skb_exit(skb);
    default:
      return TC_ACT_OK;
  }
}
