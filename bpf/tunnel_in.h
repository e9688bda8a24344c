// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Tunnel packets of other hosts, unwrapped: for a published port, replies on their way back, packets of networks.
#pragma once

#include "bpf/entry.h"
#include "bpf/lead.h"
#include "bpf/reply.h"

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
  __u64 place = mesh_endpoint_of(work->header.vni, &work->packet.destination);
  // The ingress network carries clients' packets only: its endpoints do not see each other.
  if (!mesh_place_ifindex(place) || work->header.vni == work->config->ingress_vni) {
    return mesh_drop(work, MESH_COUNT_NO_ENDPOINT);
  }
  mesh_answer_as_asked(work, work->header.vni);
  return mesh_deliver_at(work, place);
}
