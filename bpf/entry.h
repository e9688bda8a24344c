// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The entry host: published port -> slot -> backend -> the tunnel to its host, or straight to the endpoint if it is
// here. No state per flow.
#pragma once

#include "bpf/receive.h"

// What of it happened; XDP may have left the packet to tc.
MESH_INLINE void mesh_count_entry(const struct mesh_work* work, int action) {
  __u32 backend = work->backend;
  if (!work->entered || (action != MESH_TUNNEL && action != MESH_DELIVER)) return;
  struct mesh_traffic* traffic = bpf_map_lookup_elem(&mesh_backend_counters, &backend);
  if (!traffic) return;
  traffic->packets++;
  traffic->bytes += work->packet.length;
  mesh_count(action == MESH_DELIVER ? MESH_COUNT_ENTRY_LOCAL : MESH_COUNT_ENTRY);
}

// Which addresses published ports answer on, where a packet comes in.
enum mesh_place {
  MESH_AT_UPLINK,    // the host's own
  MESH_AT_ENDPOINT,  // any node's: the caller has looked
  MESH_AT_HOST,      // the mesh's
};

MESH_INLINE int mesh_answers_on(const struct mesh_work* work, enum mesh_place place) {
  const struct mesh_packet* packet = &work->packet;
  if (place == MESH_AT_UPLINK) return mesh_is_self(work->config, &packet->destination);
  if (place == MESH_AT_ENDPOINT) return 1;
  return mesh_address_equal(&packet->destination, packet->v6 ? &work->config->mesh_v6 : &work->config->mesh_v4);
}

// MESH_PASS: no published port here, or one without backends: there the host's own stack refuses the connection.
MESH_INLINE int mesh_enter(struct mesh_work* work, enum mesh_place place) {
  const struct mesh_packet* packet = &work->packet;
  if (!packet->has_ports) return MESH_PASS;
  const struct mesh_service* service = mesh_service_of(packet->protocol, packet->destination_port);
  if (!service || !mesh_answers_on(work, place)) return MESH_PASS;
  if (packet->fragment) return mesh_drop(work, MESH_COUNT_FRAGMENT);

  __u64 ring = service->ring;
  work->hash = mesh_packet_ring_hash(packet);
  __u8 slot = mesh_slot_of(ring, mesh_ring_slot(work->hash, MESH_RING_LOG2(ring)));
  __u8 owner = slot & MESH_SLOT_OWNER;
  const struct mesh_backend* backend = mesh_backend_of(service, owner);
  if (!backend) return MESH_PASS;
  if (!mesh_take_hop(work)) return mesh_drop(work, MESH_COUNT_TTL);

  struct mesh_header* header = &work->header;
  header->vni = work->config->ingress_vni;
  header->ring_version = MESH_RING_VERSION(ring);
  header->binding = backend->binding;
  header->entry = work->config->self;
  header->stop = backend->node;
  header->kind = MESH_KIND_FORWARD;
  header->backend = owner;
  header->moved = (slot & MESH_SLOT_MOVED) != 0;
  work->backend = service->backends + owner;
  work->entered = 1;
  work->service = service;
  return backend->node == work->config->self ? MESH_RECEIVE : mesh_send(work, backend->node);
}

// The end of every decision that may have begun with mesh_enter().
MESH_INLINE int mesh_conclude(struct mesh_work* work, int action) {
  action = mesh_settle(work, action);
  if (action == MESH_RECEIVE) action = mesh_receive(work);
  action = mesh_settle(work, action);
  mesh_count_entry(work, action);
  return action;
}
