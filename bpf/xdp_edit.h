// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Carrying out a verdict on an XDP frame. All edits come before adjust_head: afterwards every pointer is new. Checksums
// are complete here (a real wire has no partial ones).
#pragma once

#include <linux/if_ether.h>

#include "bpf/verdict.h"

#define MESH_AF_INET 2
#define MESH_AF_INET6 10

MESH_INLINE __u8* mesh_xdp_start(const struct xdp_md* context) { return (__u8*)(long)context->data; }
MESH_INLINE __u8* mesh_xdp_end(const struct xdp_md* context) { return (__u8*)(long)context->data_end; }

MESH_INLINE int mesh_xdp_drop(__u32 reason) {
  mesh_count(reason);
  return XDP_DROP;
}

// mesh_take_quote() for the packet whose IP header is at `offset`.
MESH_SEPARATE int mesh_xdp_take_quote(struct xdp_md* context, struct mesh_packet* packet, __u32 offset, int quoter) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || !packet) return 0;
  __u32 size = mesh_quote_room(packet->v6);
  if (bpf_xdp_load_bytes(context, offset, scratch->error, size)) return 0;
  return mesh_take_quote(scratch->error, scratch->error + sizeof(scratch->error), packet, (enum mesh_quoter)quoter);
}

MESH_SEPARATE int mesh_xdp_edit_quote(struct xdp_md* context, const struct mesh_packet* packet,
                                      const struct mesh_tuple* tuple, __u32 offset) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || !packet || !tuple) return -1;
  __u32 size = mesh_quote_room(packet->v6);
  if (bpf_xdp_load_bytes(context, offset, scratch->error, size)) return -1;
  mesh_rewrite_quote(scratch->error, packet, tuple);
  return (int)bpf_xdp_store_bytes(context, offset, scratch->error, size);
}

// A SYN, or the answer to one, of a connection through the tunnel to `peer`.
MESH_SEPARATE int mesh_xdp_clamp_mss(struct xdp_md* context, const struct mesh_packet* packet, __u32 offset,
                                     __u32 peer) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || !packet) return 0;
  __u32 mss_max = mesh_mss_max(packet, peer);
  __u32 size = mesh_options_size(packet);
  if (!mss_max || !size) return 0;
  offset += packet->l4_offset;
  if (bpf_xdp_load_bytes(context, offset, scratch->error, size)) return 0;
  struct mesh_clamp clamp = mesh_clamp_mss(scratch->error, size, mss_max);
  if (!clamp.at) return 0;
  __be16 checksum = mesh_checksum_update(((struct mesh_tcp*)scratch->error)->checksum, clamp.difference);
  if (bpf_xdp_store_bytes(context, offset + clamp.at, &clamp.value, sizeof(clamp.value))) return -1;
  if (bpf_xdp_store_bytes(context, offset + __builtin_offsetof(struct mesh_tcp, checksum), &checksum, sizeof(checksum)))
    return -1;
  mesh_count(MESH_COUNT_MSS_CLAMPED);
  return 0;
}

// Hop, congestion mark, addresses and ports of the packet whose IP header is at `offset`.
MESH_INLINE int mesh_xdp_translate(struct xdp_md* context, struct mesh_work* work, __u32 offset) {
  const struct mesh_packet* packet = &work->packet;
  if ((packet->tcp_flags & MESH_TCP_SYN) && mesh_xdp_clamp_mss(context, packet, offset, mesh_tunnel_peer(work))) {
    return -1;
  }
  __u8* l3 = mesh_xdp_start(context) + offset;
  const __u8* end = mesh_xdp_end(context);
  if (work->mark_congestion && mesh_mark_congestion(l3, end, packet->v6)) return -1;
  if (work->hop && mesh_decrement_ttl(l3, end, packet->v6)) return -1;
  if (!work->translate) return 0;
  if (packet->quoted) return mesh_xdp_edit_quote(context, packet, &work->tuple, offset);
  struct mesh_differences differences;
  __u8* l4 = l3 + (packet->v6 ? sizeof(struct mesh_ipv6) : sizeof(struct mesh_ipv4));
  if (mesh_rewrite(l3, end, packet, &work->tuple, &differences)) return -1;
  return mesh_rewrite_checksum(l4, end, packet->protocol, differences.pseudo + differences.ports,
                               MESH_CHECKSUM_COMPLETE);
}

MESH_INLINE int mesh_xdp_write_eth(struct xdp_md* context, const __u8* to, const __u8* from, int v6) {
  return mesh_write_eth(mesh_xdp_start(context), mesh_xdp_end(context), to, from, v6);
}

MESH_INLINE int mesh_xdp_deliver(struct xdp_md* context, struct mesh_work* work) {
  __u32 offset = work->encapsulated ? MESH_ENCAPSULATION_SIZE : MESH_ETH_SIZE;
  if (mesh_xdp_translate(context, work, offset)) return mesh_xdp_drop(MESH_COUNT_EDIT);
  if (work->encapsulated && bpf_xdp_adjust_head(context, MESH_OUTER_SIZE)) return mesh_xdp_drop(MESH_COUNT_EDIT);
  if (mesh_xdp_write_eth(context, work->mac, work->config->gateway_mac, work->packet.v6)) {
    return mesh_xdp_drop(MESH_COUNT_EDIT);
  }
  return (int)bpf_redirect(work->ifindex, 0);
}

MESH_INLINE int mesh_xdp_tunnel(struct xdp_md* context, struct mesh_work* work) {
  const struct mesh_node* node = mesh_node_of(work->to);
  if (!node) return mesh_xdp_drop(MESH_COUNT_NO_NODE);
  if (mesh_xdp_translate(context, work, MESH_ETH_SIZE)) {
    return mesh_xdp_drop(MESH_COUNT_EDIT);
  }
  if (bpf_xdp_adjust_head(context, -(int)MESH_OUTER_SIZE)) return mesh_xdp_drop(MESH_COUNT_EDIT);
  __u8* start = mesh_xdp_start(context);
  if (start + MESH_ENCAPSULATION_SIZE > mesh_xdp_end(context)) return mesh_xdp_drop(MESH_COUNT_EDIT);
  mesh_outer_write(start, node, work->packet.length, mesh_outer_tos(work->packet.tos), work->hash);
  struct mesh_tunnel* wire = (struct mesh_tunnel*)(start + MESH_TUNNEL_OFFSET);
  mesh_tunnel_encode(wire, &work->header);
  *(__be16*)(wire + 1) = work->packet.v6 ? MESH_TYPE_IPV6 : MESH_TYPE_IPV4;
  return (int)bpf_redirect(node->ifindex, 0);
}

MESH_INLINE int mesh_xdp_send_on(struct xdp_md* context, struct mesh_work* work) {
  const struct mesh_node* node = mesh_node_of(work->to);
  if (!node) return mesh_xdp_drop(MESH_COUNT_NO_NODE);
  __u8* start = mesh_xdp_start(context);
  if (start + MESH_ENCAPSULATION_SIZE > mesh_xdp_end(context)) return mesh_xdp_drop(MESH_COUNT_EDIT);
  mesh_tunnel_encode((struct mesh_tunnel*)(start + MESH_TUNNEL_OFFSET), &work->header);
  mesh_outer_retarget(start, node);
  return (int)bpf_redirect(node->ifindex, 0);
}

// A received reply goes to its client by the host's routes. Without a neighbour entry tc does it, which can wait for
// one.
MESH_INLINE int mesh_xdp_client(struct xdp_md* context, struct mesh_work* work) {
  const struct mesh_packet* packet = &work->packet;
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch) return mesh_xdp_drop(MESH_COUNT_NO_ROOM);
  struct bpf_fib_lookup* route = &scratch->route;
  __builtin_memset(route, 0, sizeof(*route));
  route->family = packet->v6 ? MESH_AF_INET6 : MESH_AF_INET;
  route->l4_protocol = packet->protocol;
  route->tot_len = packet->length;
  route->ifindex = context->ingress_ifindex;
  if (packet->v6) {
    __builtin_memcpy(route->ipv6_src, &packet->source, 16);
    __builtin_memcpy(route->ipv6_dst, &packet->destination, 16);
  } else {
    route->ipv4_src = packet->source.word[3];
    route->ipv4_dst = packet->destination.word[3];
  }
  if (bpf_fib_lookup(context, route, sizeof(*route), 0) != BPF_FIB_LKUP_RET_SUCCESS) {
    mesh_count(MESH_COUNT_SLOW_PATH);
    return XDP_PASS;
  }
  if (mesh_xdp_translate(context, work, MESH_ENCAPSULATION_SIZE)) {
    return mesh_xdp_drop(MESH_COUNT_EDIT);
  }
  if (bpf_xdp_adjust_head(context, MESH_OUTER_SIZE)) return mesh_xdp_drop(MESH_COUNT_EDIT);
  if (mesh_xdp_write_eth(context, route->dmac, route->smac, packet->v6)) return mesh_xdp_drop(MESH_COUNT_EDIT);
  mesh_count(MESH_COUNT_REPLY_IN);
  return (int)bpf_redirect(route->ifindex, 0);
}

MESH_INLINE int mesh_xdp_apply(struct xdp_md* context, struct mesh_work* work, int action) {
  switch (action) {
    case MESH_DROP:
      return mesh_xdp_drop(work->reason);
    case MESH_DELIVER:
      return mesh_xdp_deliver(context, work);
    case MESH_TUNNEL:
      return mesh_xdp_tunnel(context, work);
    case MESH_SEND_ON:
      return mesh_xdp_send_on(context, work);
    case MESH_CLIENT:
      return mesh_xdp_client(context, work);
    case MESH_HOST:
    case MESH_EXIT:
    case MESH_TOO_BIG:
      // Rare, and easier with an skb: mesh_uplink_tc sees the packet next.
      mesh_count(MESH_COUNT_SLOW_PATH);
      return XDP_PASS;
    default:
      return XDP_PASS;
  }
}
