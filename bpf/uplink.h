// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What arrives on an uplink: tunnel packets from other hosts, clients of published ports, and everything else.
#pragma once

#include "bpf/skb_edit.h"
#include "bpf/tunnel_in.h"
#include "bpf/xdp_edit.h"

// A frame on an uplink, of XDP or tc: exactly one of the contexts is set.
struct mesh_arrival {
  struct xdp_md* xdp;
  struct __sk_buff* skb;
  const __u8* start;
  const __u8* end;
  __u32 length;    // with what is not in linear memory
  __u32 gso_size;  // of a packet that stands for several; 0: it stands for itself
};

// An ICMP error about a flow is read as that flow's.
MESH_INLINE void mesh_read_error(const struct mesh_arrival* arrival, struct mesh_packet* packet, __u32 offset) {
  if (packet->protocol != MESH_ICMP && packet->protocol != MESH_ICMPV6) return;
  if (arrival->xdp) {
    mesh_xdp_take_quote(arrival->xdp, packet, offset, MESH_QUOTED_TO_HOST);
  } else if (arrival->skb) {
    mesh_skb_take_quote(arrival->skb, packet, offset, MESH_QUOTED_TO_HOST);
  }
}

// `start`: an IPv4 UDP packet to the VXLAN port, of which the outer headers were read. MESH_PASS: another VXLAN's.
MESH_INLINE int mesh_tunnel_in(struct mesh_work* work, const struct mesh_arrival* arrival) {
  const __u8* start = arrival->start;
  const __u8* end = arrival->end;
  const struct mesh_ipv4* outer = (const struct mesh_ipv4*)(start + MESH_ETH_SIZE);
  const struct mesh_tunnel* wire = (const struct mesh_tunnel*)(start + MESH_TUNNEL_OFFSET);
  if (start + MESH_ENCAPSULATION_SIZE > end) return MESH_PASS;
  const struct mesh_node* self = mesh_node_of(work->config->self);
  if (!self || outer->destination != self->address.word[3] || !mesh_address_is_v4(&self->address)) return MESH_PASS;
  if (wire->vxlan_flags != MESH_VXLAN_FLAGS) return MESH_PASS;
  __u32 vni = mesh_tunnel_vni(wire);
  if (!mesh_vni_is_ours(work->config, vni)) return MESH_PASS;
  mesh_tunnel_decode(wire, &work->header);
  if (!mesh_from_node(work->header.entry, outer->source)) return mesh_drop(work, MESH_COUNT_STRANGER);
  if (!mesh_tunnel_is_known(wire)) return mesh_drop(work, MESH_COUNT_TUNNEL_VERSION);

  __u8 outer_tos = outer->tos;
  __be16 type = *(const __be16*)(start + MESH_TUNNEL_OFFSET + sizeof(*wire));
  work->packet = (struct mesh_packet){};
  work->encapsulated = 1;
  if (mesh_parse_ip(type, start + MESH_ENCAPSULATION_SIZE, end, arrival->length - MESH_ENCAPSULATION_SIZE,
                    &work->packet) != MESH_PARSED) {
    return mesh_drop(work, MESH_COUNT_MALFORMED);
  }
  // Nothing to check against: what arrived in one piece fits.
  work->segment = 0;
  int ecn = mesh_ecn_after(outer_tos, work->packet.tos);
  if (ecn == MESH_ECN_DROP) return mesh_drop(work, MESH_COUNT_ECN);
  work->mark_congestion = ecn == MESH_ECN_MARK;
  if (work->header.kind == MESH_KIND_OVERLAY) return mesh_overlay_in(work);
  if (vni != work->config->ingress_vni) return mesh_drop(work, MESH_COUNT_TUNNEL_VERSION);
  if (work->header.kind == MESH_KIND_FORWARD) {
    mesh_read_error(arrival, &work->packet, MESH_ENCAPSULATION_SIZE);
    return mesh_forward_in(work);
  }
  if (work->header.kind == MESH_KIND_REPLY) return mesh_reply_in(work);
  return mesh_drop(work, MESH_COUNT_TUNNEL_VERSION);
}

MESH_INLINE int mesh_uplink(struct mesh_work* work, const struct mesh_arrival* arrival) {
  const __u8* start = arrival->start;
  const __u8* end = arrival->end;
  __u32 length = arrival->length;
  __u32 gso_size = arrival->gso_size;
  const struct mesh_eth* eth = (const struct mesh_eth*)start;
  struct mesh_packet* packet = &work->packet;
  if ((const __u8*)(eth + 1) > end) return MESH_PASS;
  if (mesh_parse_ip(eth->type, start + MESH_ETH_SIZE, end, length - MESH_ETH_SIZE, packet) != MESH_PARSED) {
    return MESH_PASS;  // the host's stack judges what is not ours
  }
  int action;
  if (packet->protocol == MESH_UDP && packet->destination_port == mesh_be16(MESH_VXLAN_PORT) && !packet->v6 &&
      !packet->fragment) {
    action = mesh_tunnel_in(work, arrival);
  } else {
    mesh_read_error(arrival, packet, MESH_ETH_SIZE);
    work->segment = gso_size ? packet->l4_offset + packet->l4_size + gso_size : packet->length;
    action = mesh_enter(work, MESH_AT_UPLINK);
  }
  return mesh_conclude(work, action);
}
