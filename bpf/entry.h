// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The entry host: published port -> slot -> backend -> the tunnel to its host, or straight to the endpoint if it is
// here. No state per flow.
#pragma once

#include "bpf/receive.h"

// What of it happened; XDP may have left the packet to tc.
MESH_INLINE void mesh_count_entry(const struct mesh_work* work, int action) {
  __u32 backend = bpf_get_smp_processor_id() * work->config->backend_rows + work->backend;
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

// Whether the packet's service answers here, on its address, to its client: 0, -1, or MESH_COUNT_NOT_ALLOWED.
// `from_host`: whom localhost answers was decided when the host's socket was led here.
MESH_SEPARATE int mesh_refuse_entry(const struct mesh_packet* packet, int from_host) {
  if (!packet) return -1;
  __u32 index = mesh_service_index(packet);
  const struct mesh_service* service = mesh_service_of(packet->protocol, packet->destination_port);
  if (!service || (service->options & MESH_SERVICE_NO_ENTRY)) return -1;
  if (from_host) return 0;
  if (!mesh_is_bound(service, index, &packet->destination)) return -1;
  return mesh_is_allowed(service, index, &packet->source) ? 0 : MESH_COUNT_NOT_ALLOWED;
}

// In a slot without an owner there may be flows of backends that drain: the hosts that may know them are asked, from
// here on. A connection is not begun any more.
MESH_INLINE int mesh_enter_ownerless(struct mesh_work* work, const struct mesh_service* service, __u8 slot) {
  struct mesh_header* header = &work->header;
  const struct mesh_packet* packet = &work->packet;
  if (packet->protocol != MESH_UDP && mesh_packet_begins(packet)) return MESH_PASS;
  if (!(slot & MESH_SLOT_MOVED)) return mesh_refuse(work, service);
  header->binding = 0;
  header->stop = work->config->self;
  header->backend = MESH_SLOT_NONE;
  header->stage = MESH_STAGE_ENTRY;
  header->moved = 1;
  work->service = service;
  return MESH_RECEIVE;
}

// What only some ports need to be asked about.
#define MESH_ENTRY_CONDITIONS (MESH_SERVICE_BOUND | MESH_SERVICE_ALLOW | MESH_SERVICE_NO_ENTRY)

// Fills in the header by the service's ring.
MESH_INLINE int mesh_enter_ring(struct mesh_work* work, const struct mesh_service* service) {
  struct mesh_header* header = &work->header;
  __u64 ring = service->ring;
  __u8 slot = mesh_slot_of(ring, mesh_ring_slot(work->hash, MESH_RING_LOG2(ring)));
  __u8 owner = slot & MESH_SLOT_OWNER;
  const struct mesh_backend* backend = mesh_backend_of(service, owner);
  if (!backend) return mesh_enter_ownerless(work, service, slot);
  header->binding = backend->binding;
  header->stop = backend->node;
  header->backend = owner;
  header->stage = MESH_STAGE_ENTRY;
  header->moved = (slot & MESH_SLOT_MOVED) != 0;
  work->backend = service->backends + owner;
  work->entered = 1;
  work->service = service;
  return backend->node == work->config->self ? MESH_RECEIVE : mesh_send(work, backend->node);
}

// One of this host's ready backends of the packet's service, or 0.
MESH_SEPARATE __u32 mesh_choose_local(const struct mesh_packet* packet, __u32 hash) {
  if (!packet) return 0;
  __u32 index = mesh_service_index(packet);
  const struct mesh_local* local = bpf_map_lookup_elem(&mesh_locals, &index);
  if (!local) return 0;
  __u32 place = (__u32)(((__u64)hash * local->count) >> 32);
  MESH_OPAQUE(place);
  return local->count && place < MESH_LOCALS_MAX ? local->binding[place] : 0;
}

// A service that prefers backends of the entry host: a flow that is known here, or a new one for which there is a
// backend here. Before it is made, the hosts that may know it are asked; then it comes back to this one. What is left
// goes by the ring.
MESH_INLINE int mesh_enter_local(struct mesh_work* work, const struct mesh_service* service) {
  struct mesh_header* header = &work->header;
  work->service = service;
  work->known = mesh_look_up(work, mesh_client_hash(work));
  if (work->known) return MESH_RECEIVE;
  __u32 binding = mesh_packet_begins(&work->packet) ? mesh_choose_local(&work->packet, (__u32)(work->hash >> 32)) : 0;
  if (!binding) return mesh_enter_ring(work, service);
  mesh_choose(header, work->config->self, (__u16)binding);
  return MESH_RECEIVE;
}

// MESH_PASS: no published port here, or one without backends: there the host's own stack refuses the connection.
MESH_INLINE int mesh_enter(struct mesh_work* work, enum mesh_place place) {
  const struct mesh_packet* packet = &work->packet;
  if (!packet->has_ports) return MESH_PASS;
  const struct mesh_service* service = mesh_service_of(packet->protocol, packet->destination_port);
  if (!service || !mesh_answers_on(work, place)) return MESH_PASS;
  if (MESH_OPTIONS_FLAGS(service->options) & MESH_ENTRY_CONDITIONS) {
    int refusal = mesh_refuse_entry(packet, place == MESH_AT_HOST);
    if (refusal) return refusal == MESH_COUNT_NOT_ALLOWED ? mesh_drop(work, MESH_COUNT_NOT_ALLOWED) : MESH_PASS;
  }
  if (packet->fragment) return mesh_drop(work, MESH_COUNT_FRAGMENT);
  if (!mesh_take_hop(work)) return mesh_drop(work, MESH_COUNT_TTL);
  struct mesh_header* header = &work->header;
  work->hash = mesh_slot_hash(service, packet);
  header->vni = work->config->ingress_vni;
  header->ring_version = MESH_RING_VERSION(service->ring);
  header->entry = work->config->self;
  header->kind = MESH_KIND_FORWARD;
  if (service->options & MESH_SERVICE_LOCAL) return mesh_enter_local(work, service);
  return mesh_enter_ring(work, service);
}

// The end of every decision that may have begun with mesh_enter().
MESH_INLINE int mesh_conclude(struct mesh_work* work, int action) {
  action = mesh_settle(work, action);
  if (action == MESH_RECEIVE) action = mesh_receive(work);
  action = mesh_settle(work, action);
  mesh_count_entry(work, action);
  return action;
}
