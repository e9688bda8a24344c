// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What becomes of a packet. The steps (entry.h, receive.h, reply.h, tunnel_in.h) only decide; xdp_edit.h and skb_edit.h
// carry it out, so that XDP and tc cannot differ in what they decide.
#pragma once

#include "bpf/lib/rewrite.h"
#include "bpf/lib/walk.h"
#include "bpf/tables.h"

enum mesh_action {
  MESH_PASS = 0,  // not ours: untouched
  MESH_DROP,      // `reason` says why
  MESH_DELIVER,   // to the endpoint behind `ifindex`
  MESH_TUNNEL,    // encapsulated, to `node`
  MESH_SEND_ON,   // a tunnel packet as it is, with a new header, to `node`
  MESH_CLIENT,    // out by the host's routes
  MESH_HOST,      // into mesh0: to a socket of this host
  MESH_EXIT,      // to this host's stack, which routes or receives it
  MESH_TOO_BIG,   // answered with `mtu`
};

// One packet on its way through a program.
struct mesh_work {
  const struct mesh_config* config;
  const struct mesh_node* node;
  __u64 hash;  // for the outer source port
  struct mesh_packet packet;
  struct mesh_header header;  // as received, or as it is to be sent
  struct mesh_tuple tuple;    // what the packet shall have, if `translate`
  __u32 ifindex;              // where the packet came in; MESH_DELIVER: where it goes
  __u32 segment;              // bytes of the largest IP packet that this becomes on a wire
  __u16 mtu;
  __u8 mac[6];
  __u8 encapsulated;  // the packet is still inside the tunnel header
  __u8 translate;
  __u8 hop;  // decrement the TTL
  __u8 mark_congestion;
  __u8 reason;
};

MESH_INLINE int mesh_drop(struct mesh_work* work, __u8 reason) {
  work->reason = reason;
  return MESH_DROP;
}

// Into the tunnel to a host, which may be the one that a received packet must go on to.
MESH_INLINE int mesh_send(struct mesh_work* work, __u16 number) {
  work->node = mesh_node_of(number);
  if (!work->node || !work->node->ifindex) return mesh_drop(work, MESH_COUNT_NO_NODE);
  if (work->encapsulated) return MESH_SEND_ON;
  if (work->segment > work->node->inner_mtu) {
    work->mtu = work->node->inner_mtu;
    return MESH_TOO_BIG;
  }
  return MESH_TUNNEL;
}

MESH_INLINE int mesh_deliver(struct mesh_work* work, __u32 ifindex, const __u8* mac) {
  if (work->segment > work->config->endpoint_mtu) {
    work->mtu = work->config->endpoint_mtu;
    return work->encapsulated ? mesh_drop(work, MESH_COUNT_TOO_BIG) : MESH_TOO_BIG;
  }
  work->ifindex = ifindex;
  mesh_copy_mac(work->mac, mac);
  return MESH_DELIVER;
}

// Forwarding costs one hop, once: where the packet leaves its sender's network.
MESH_INLINE int mesh_take_hop(struct mesh_work* work) {
  if (work->packet.ttl <= 1) return 0;
  work->hop = 1;
  return 1;
}
