// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What becomes of a packet. The steps (entry.h, receive.h, reply.h, tunnel_in.h) only decide; xdp_edit.h and skb_edit.h
// carry it out, so that XDP and tc cannot differ in what they decide.
#pragma once

#include "bpf/lib/mss.h"
#include "bpf/lib/walk.h"
#include "bpf/tables.h"

enum mesh_action {
  MESH_PASS = 0,  // not ours: untouched
  MESH_DROP,      // `reason` says why
  MESH_DELIVER,   // to the endpoint behind `ifindex`
  MESH_TUNNEL,    // encapsulated, to the node `to`
  MESH_SEND_ON,   // a tunnel packet as it is, with a new header, to the node `to`
  MESH_CLIENT,    // out by the host's routes
  MESH_HOST,      // into mesh0: to a socket of this host
  MESH_EXIT,      // to this host's stack, which routes, receives or refuses it
  MESH_TOO_BIG,   // answered with `mtu`
  MESH_NOBODY,    // answered: no endpoint has the destination
  MESH_RECEIVE,   // not yet decided: mesh_receive() looks for the flow's endpoint here
};

// One packet on its way through a program.
struct mesh_work {
  const struct mesh_config* config;
  const struct mesh_service* service;  // set by MESH_RECEIVE
  __u64 hash;                          // for the outer source port
  struct mesh_packet packet;
  struct mesh_header header;  // as received, or as it is to be sent
  struct mesh_tuple tuple;    // what the packet shall have, if `translate`
  __u32 ifindex;              // where the packet came in; MESH_DELIVER: where it goes
  __u32 segment;              // bytes of the largest IP packet that this becomes on a wire
  __u32 backend;              // index in mesh_backends, if `entered`
  __u32 known;                // what mesh_look_up() said, if it was asked already
  __u16 mtu;
  __u16 to;  // node number
  __u8 mac[6];
  __u8 encapsulated;  // the packet is still inside the tunnel header
  __u8 entered;       // this host is the packet's entry
  __u8 counted;       // as a packet to the header's binding
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
  const struct mesh_node* node = mesh_node_of(number);
  if (!node || !node->ifindex) return mesh_drop(work, MESH_COUNT_NO_NODE);
  work->to = number;
  if (work->encapsulated) return MESH_SEND_ON;
  if (work->segment > node->inner_mtu) {
    work->mtu = node->inner_mtu;
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

// To the endpoint of this host at `place`.
MESH_INLINE int mesh_deliver_at(struct mesh_work* work, __u64 place) {
  __u8 mac[6];
  mesh_place_mac(place, mac);
  return mesh_deliver(work, mesh_place_ifindex(place), mac);
}

// The other end of the tunnel that a packet takes, or came in, or that its connection's packets the other way take: a
// node number, 0 if there is none.
MESH_INLINE __u32 mesh_tunnel_peer(const struct mesh_work* work) {
  return work->encapsulated ? work->header.entry : work->to;
}

// The largest segment that fits into the tunnel to a node; 0: there is no tunnel.
MESH_INLINE __u32 mesh_mss_max(const struct mesh_packet* packet, __u32 peer) {
  const struct mesh_node* node = mesh_node_of(peer);
  __u32 headers = packet->l4_offset + sizeof(struct mesh_tcp);
  if (!node || (node->flags & MESH_NODE_SELF) || node->inner_mtu <= headers) return 0;
  return node->inner_mtu - headers;
}

// Bytes of the TCP header, if it has options and they are within the packet; else 0. Not of an ICMP error, which is
// read as an answer to a SYN.
MESH_INLINE __u32 mesh_options_size(const struct mesh_packet* packet) {
  __u32 size = packet->l4_size;
  if (packet->protocol != MESH_TCP || packet->quoted) return 0;
  if (size <= sizeof(struct mesh_tcp)) return 0;
  MESH_OPAQUE(size);  // two comparisons, not one that the verifier does not see through
  if (size > MESH_TCP_SIZE_MAX) return 0;
  return packet->l4_offset + size <= packet->length ? size : 0;
}

// Forwarding costs one hop, once: where the packet leaves its sender's network.
MESH_INLINE int mesh_take_hop(struct mesh_work* work) {
  if (work->packet.ttl <= 1) return 0;
  work->hop = 1;
  return 1;
}

// Between two steps: what differs between the paths that lead here is of no interest to the verifier any more.
MESH_INLINE int mesh_settle(struct mesh_work* work, int action) {
  MESH_OPAQUE(action);
  MESH_OPAQUE(work->encapsulated);
  MESH_OPAQUE(work->entered);
  MESH_OPAQUE(work->translate);
  MESH_OPAQUE(work->hop);
  MESH_OPAQUE(work->mark_congestion);
  MESH_OPAQUE(work->reason);
  MESH_OPAQUE(work->ifindex);
  MESH_OPAQUE(work->to);
  MESH_OPAQUE(work->mtu);
  MESH_OPAQUE(work->backend);
  return action;
}
