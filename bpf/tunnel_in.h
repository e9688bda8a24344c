// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What arrives on an uplink: tunnel packets from other hosts, clients of published ports, and everything else.
#pragma once

#include "bpf/entry.h"
#include "bpf/reply.h"
#include "bpf/skb_edit.h"
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

MESH_INLINE int mesh_vni_is_ours(const struct mesh_config* config, __u32 vni) {
  return vni == config->ingress_vni || bpf_map_lookup_elem(&mesh_vnis, &vni) != 0;
}

// Whether the outer source is a node of the cluster. Nearly always it is the one that the header names; a packet on its
// walk comes from another.
MESH_INLINE int mesh_from_node(__u16 entry, __be32 source) {
  struct mesh_address address = mesh_address_v4(source);
  const struct mesh_node* node = mesh_node_of(entry);
  if (node && mesh_address_equal(&node->address, &address)) return 1;
  const struct mesh_address_role* role = bpf_map_lookup_elem(&mesh_addresses, &address);
  if (!role || !(role->flags & MESH_ROLE_NODE)) return 0;
  node = mesh_node_of(role->node);
  return node && mesh_address_equal(&node->address, &address);
}

MESH_INLINE int mesh_forward_in(struct mesh_work* work) {
  const struct mesh_packet* packet = &work->packet;
  if (packet->fragment) return mesh_drop(work, MESH_COUNT_FRAGMENT);
  if (!packet->has_ports) return mesh_drop(work, MESH_COUNT_UNSUPPORTED);
  const struct mesh_service* service = mesh_service_of(packet->protocol, packet->destination_port);
  if (!service) return mesh_drop(work, MESH_COUNT_NO_BACKEND);
  mesh_count(MESH_COUNT_FORWARD_IN);
  work->service = service;
  return MESH_RECEIVE;
}

MESH_INLINE int mesh_reply_in(struct mesh_work* work) {
  const struct mesh_packet* packet = &work->packet;
  // An endpoint of this host may have asked another host's address: entry is where the client is.
  if (!(mesh_role_of(&packet->source) & (MESH_ROLE_NODE | MESH_ROLE_MESH))) {
    return mesh_drop(work, MESH_COUNT_NOT_OURS);
  }
  int action = mesh_return(work, &packet->source, &packet->destination);
  // The others are counted where they are carried out: XDP may leave them to tc.
  if (action == MESH_DELIVER) mesh_count(MESH_COUNT_REPLY_IN);
  return action;
}

MESH_INLINE int mesh_overlay_in(struct mesh_work* work) {
  const struct mesh_endpoint* endpoint = mesh_endpoint_of(work->header.vni, &work->packet.destination);
  // The ingress network carries clients' packets only: its endpoints do not see each other.
  if (!endpoint || !endpoint->ifindex || work->header.vni == work->config->ingress_vni) {
    return mesh_drop(work, MESH_COUNT_NO_ENDPOINT);
  }
  return mesh_deliver(work, endpoint->ifindex, endpoint->mac);
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
