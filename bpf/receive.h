// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The backend's host: which endpoint a client's packet belongs to. Rules 1, 2, 4 and 5 of the flow consistency
// algorithm (docs/adr), and 3 through bpf/lib/walk.h.
#pragma once

#include "bpf/verdict.h"

// One packet of 16 refreshes or re-makes its record where no look-up was needed.
#define MESH_REFRESH_MASK 15u

MESH_INLINE void mesh_forward_key(const struct mesh_packet* packet, struct mesh_flow_key* key) {
  key->client = packet->source;
  key->original = packet->destination;
  key->client_port = packet->source_port;
  key->port = packet->destination_port;
  key->ifindex = 0;
  key->kind = MESH_FLOW_FORWARD;
  key->protocol = packet->protocol;
}

MESH_INLINE struct mesh_address mesh_binding_address(const struct mesh_binding* binding, int v6) {
  return v6 ? binding->v6 : mesh_address_v4(binding->v4);
}

MESH_INLINE int mesh_binding_has_family(const struct mesh_binding* binding, int v6) {
  return v6 ? !mesh_address_is_unset(&binding->v6) : binding->v4 != 0;
}

// Delivers to the endpoint; `given_port` is what it sees as the client's. An endpoint that reaches itself through the
// mesh would refuse its own address as a source, so it sees the mesh address instead.
MESH_INLINE int mesh_deliver_binding(struct mesh_work* work, const struct mesh_binding* binding, __be16 given_port) {
  const struct mesh_packet* packet = &work->packet;
  work->tuple.destination = mesh_binding_address(binding, packet->v6);
  work->tuple.destination_port = binding->target_port;
  work->tuple.source = packet->source;
  work->tuple.source_port = given_port;
  if (mesh_address_equal(&packet->source, &work->tuple.destination)) {
    work->tuple.source = packet->v6 ? work->config->mesh_v6 : work->config->mesh_v4;
  }
  work->translate = 1;
  return mesh_deliver(work, binding->ifindex, binding->mac);
}

// Fills in everything of a new flow's record but what makes the two copies differ.
MESH_INLINE void mesh_describe_flow(const struct mesh_work* work, const struct mesh_binding* binding, int begins,
                                    struct mesh_flow* record) {
  const struct mesh_packet* packet = &work->packet;
  struct mesh_address local = mesh_binding_address(binding, packet->v6);
  record->client = packet->source;
  record->original = packet->destination;
  record->client_port = packet->source_port;
  record->given_port = packet->source_port;
  record->original_port = packet->destination_port;
  record->local_port = binding->target_port;
  record->ifindex = binding->ifindex;
  record->binding = work->header.binding;
  record->entry = work->header.entry;
  record->protocol = packet->protocol;
  record->state = begins && packet->protocol == MESH_TCP ? 0 : MESH_FLOW_CONFIRMED;
  record->flags = mesh_address_equal(&packet->source, &local) ? MESH_FLOW_LOOPED : 0;
  record->ring_version = work->header.ring_version;
}

// Claims the record of the scratch room's key for its record. Returns MESH_CLAIM_*.
MESH_SEPARATE int mesh_claim(__u64 hash) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return MESH_CLAIM_TAKEN;
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!set) return MESH_CLAIM_TAKEN;
  scratch->record.tag = mesh_flow_tag(hash);
  return mesh_flow_claim(set, &scratch->key, &scratch->record);
}

// Makes both records of the flow that the scratch room describes. Returns the port that the endpoint shall see, 0 if
// there is none (port 0 is never a client's).
MESH_SEPARATE __u32 mesh_make_records(int begins) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  struct mesh_flow_key* key = &scratch->key;
  struct mesh_flow* record = &scratch->record;
  scratch->client = record->client;
  record->seen = mesh_now();

  key->client = scratch->client;
  key->original = record->original;
  key->client_port = record->client_port;
  key->port = record->original_port;
  key->ifindex = 0;
  key->kind = MESH_FLOW_FORWARD;
  key->protocol = record->protocol;
  __u64 forward_hash = mesh_flow_hash(key, config->flow_seed);

  if (record->flags & MESH_FLOW_LOOPED)
    record->client = mesh_address_is_v4(&record->client) ? config->mesh_v4 : config->mesh_v6;
  record->kind = MESH_FLOW_REVERSE;
  key->client = record->client;
  key->original = (struct mesh_address){};
  key->port = record->local_port;
  key->ifindex = record->ifindex;
  key->kind = MESH_FLOW_REVERSE;
  int outcome = MESH_CLAIM_TAKEN;
  MESH_NO_UNROLL
  for (__u32 attempt = 0; attempt <= MESH_PORT_REWRITE_TRIES; attempt++) {
    if (attempt) {
      __u32 offset = (__u32)(forward_hash >> 40) + attempt * 1031;
      record->given_port = mesh_be16((__u16)(MESH_PORT_REWRITE_FIRST + (offset & 0x3fff)));
      key->client_port = record->given_port;
    }
    outcome = mesh_claim(mesh_flow_hash(key, config->flow_seed));
    if (outcome != MESH_CLAIM_TAKEN) break;
  }
  if (outcome == MESH_CLAIM_TAKEN) return 0;
  int evicted = outcome == MESH_CLAIM_EVICTED;

  record->client = scratch->client;
  record->kind = MESH_FLOW_FORWARD;
  record->tag = mesh_flow_tag(forward_hash);
  key->client = scratch->client;
  key->original = record->original;
  key->client_port = record->client_port;
  key->port = record->original_port;
  key->ifindex = 0;
  key->kind = MESH_FLOW_FORWARD;
  if (record->given_port != record->client_port) {
    __u64* word = mesh_rewritten_word(record->tag);
    if (word) __sync_fetch_and_or(word, mesh_filter_bit(record->tag));
    mesh_count(MESH_COUNT_FLOW_REWRITTEN);
  }
  if (!(record->state & MESH_FLOW_CONFIRMED)) {
    __u64* word = mesh_unconfirmed_word(record->tag);
    if (word) __sync_fetch_and_or(word, mesh_filter_bit(record->tag));
  }
  evicted |= mesh_claim(forward_hash) == MESH_CLAIM_EVICTED;
  if (evicted) mesh_count(MESH_COUNT_FLOW_EVICTED);
  mesh_count(begins ? MESH_COUNT_FLOW_CREATED : MESH_COUNT_FLOW_REOPENED);
  return record->given_port;
}

// The binding that the header names, if it is what the packet asks for.
MESH_INLINE const struct mesh_binding* mesh_header_binding(const struct mesh_work* work) {
  const struct mesh_binding* binding = mesh_binding_of(work->header.binding);
  if (!binding || binding->protocol != work->packet.protocol) return 0;
  return binding->published_port == work->packet.destination_port ? binding : 0;
}

MESH_INLINE void mesh_count_in(__u32 binding, __u32 bytes) {
  struct mesh_binding_traffic* traffic = bpf_map_lookup_elem(&mesh_binding_counters, &binding);
  if (!traffic) return;
  traffic->in.packets++;
  traffic->in.bytes += bytes;
}

// A number that changes with every packet to the binding, to choose samples by.
MESH_INLINE __u64 mesh_counted_in(__u32 binding) {
  const struct mesh_binding_traffic* traffic = bpf_map_lookup_elem(&mesh_binding_counters, &binding);
  return traffic ? traffic->in.packets : 0;
}

// This host's own view of the packet's slot.
MESH_INLINE void mesh_look_at_slot(struct mesh_work* work, const struct mesh_service* service, struct mesh_view* view) {
  __u64 ring = service->ring;
  __u32 slot = mesh_ring_slot(work->hash, MESH_RING_LOG2(ring));
  __u8 byte = mesh_slot_of(ring, slot);
  struct mesh_row_key key = {service->id, MESH_RING_VERSION(ring), slot};
  view->version = MESH_RING_VERSION(ring);
  view->self = work->config->self;
  view->owner = byte & MESH_SLOT_OWNER;
  view->moved = (byte & MESH_SLOT_MOVED) != 0;
  view->prev_node = 0;
  view->count = 0;
  const struct mesh_backend* backend = mesh_backend_of(service, view->owner);
  view->owner_node = backend ? backend->node : 0;
  view->binding = backend ? backend->binding : 0;
  const struct mesh_row* row = bpf_map_lookup_elem(&mesh_rows, &key);
  if (!row) return;
  view->count = row->count;
  __builtin_memcpy(view->host, row->host, sizeof(view->host));
  if (row->previous == MESH_SLOT_NONE) return;
  backend = mesh_backend_of(service, row->previous);
  view->prev_node = backend ? backend->node : 0;
}

enum mesh_finding {
  MESH_FOUND,      // a record names the binding; `given` is set
  MESH_TRUSTED,    // rule 1: the header's binding, without a look-up
  MESH_TO_CREATE,  // the header's binding, and records are to be made
  MESH_ELSEWHERE,  // `*action` is what to do
};

// Rule 1: the slot is not moved and both hosts have the same ring, so the owner is right without a look-up. The filters
// know the flows that need one all the same: their port is changed, or their record is to be confirmed.
MESH_INLINE int mesh_may_trust(const struct mesh_work* work, const struct mesh_service* service, int begins,
                               __u32 tag) {
  if (begins || work->header.moved || work->header.ring_version != MESH_RING_VERSION(service->ring)) return 0;
  if (work->packet.tcp_flags & (MESH_TCP_SYN | MESH_TCP_FIN | MESH_TCP_RST)) return 0;
  const __u64* rewritten = mesh_rewritten_word(tag);
  const __u64* unconfirmed = mesh_unconfirmed_word(tag);
  if (!rewritten || !unconfirmed) return 0;
  return ((*rewritten | *unconfirmed) & mesh_filter_bit(tag)) == 0;
}

// The client has finished its handshake: both records stay as long as the connection may be idle.
MESH_INLINE void mesh_confirm(const struct mesh_config* config, struct mesh_flow_key* key,
                              const struct mesh_flow* record, __u32 tag) {
  __u64* word = mesh_unconfirmed_word(tag);
  if (word) __sync_fetch_and_and(word, ~mesh_filter_bit(tag));
  if (record->flags & MESH_FLOW_LOOPED)
    key->client = mesh_address_is_v4(&key->client) ? config->mesh_v4 : config->mesh_v6;
  key->original = (struct mesh_address){};
  key->client_port = record->given_port;
  key->port = record->local_port;
  key->ifindex = record->ifindex;
  key->kind = MESH_FLOW_REVERSE;
  __u64 hash = mesh_flow_hash(key, config->flow_seed);
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  struct mesh_flow* reverse = set ? mesh_flow_find(set, key, mesh_flow_tag(hash)) : 0;
  if (reverse) reverse->state |= MESH_FLOW_CONFIRMED;
}

// Rule 2: the record of the flow with the key in the scratch room, brought up to date. `owner`: the binding whose turn
// it would be on this host, 0 for none. Returns the binding, and the port that the endpoint sees above it; 0: no
// record.
MESH_SEPARATE __u32 mesh_use_record(__u64 hash, const struct mesh_segment* segment, __u32 owner) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch || !segment) return 0;
  struct mesh_flow_key* key = &scratch->key;
  __u32 tag = mesh_flow_tag(hash);
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  struct mesh_flow* record = set ? mesh_flow_find(set, key, tag) : 0;
  if (!record) return 0;
  __u32 now = mesh_now();
  __u16 index = record->binding;
  __u32 ifindex = record->ifindex;
  __u16 given = record->given_port;
  __u8 state = record->state;
  const struct mesh_binding* binding = mesh_binding_of(index);
  int stale = !binding || binding->ifindex != ifindex;
  if (segment->protocol == MESH_UDP) {
    if (mesh_flow_dead(record, now)) stale = 1;
  } else if (segment->begins && mesh_flow_closed(state) && owner != index) {
    // A new connection where an old one with the same ports is over: the owner's turn has come.
    stale = 1;
  }
  if (!mesh_flow_matches(record, key, tag)) return 0;
  if (stale) {
    record->kind = MESH_FLOW_FREE;
    return 0;
  }
  record->seen = now;
  __u8 after = mesh_flow_state_after(state, 1, segment);
  record->state = after;
  if (after & ~state & MESH_FLOW_CONFIRMED) mesh_confirm(config, key, record, tag);
  return index | (__u32)given << 16;
}

// One step of the walk with the view in the scratch room. Returns the step, and the next host above it.
MESH_SEPARATE __u32 mesh_walk_on(struct mesh_header* header, int begins) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  __u16 next = 0;
  if (!header || !scratch) return MESH_STEP_FAIL;
  __u32 step = (__u32)mesh_walk(header, &scratch->view, begins, &next);
  return step | (__u32)next << 16;
}

// Rules 3 to 5.
MESH_INLINE int mesh_search(struct mesh_work* work, const struct mesh_service* service, int begins, int* action) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  *action = MESH_DROP;
  work->reason = MESH_COUNT_NO_ROOM;
  if (!scratch) return MESH_ELSEWHERE;
  mesh_look_at_slot(work, service, &scratch->view);
  __u32 outcome = mesh_walk_on(&work->header, begins);
  __u32 step = outcome & 0xff;
  if (step == MESH_STEP_CREATE) return MESH_TO_CREATE;
  if (step == MESH_STEP_FAIL) {
    work->reason = work->header.mixed ? MESH_COUNT_RING_MIXED : MESH_COUNT_NO_RECORD;
  } else if (++work->header.hops > MESH_HOPS_MAX) {
    work->reason = MESH_COUNT_HOPS;
  } else {
    mesh_count(MESH_COUNT_FORWARD_ON);
    *action = mesh_send(work, (__u16)(outcome >> 16));
  }
  return MESH_ELSEWHERE;
}

MESH_INLINE int mesh_find(struct mesh_work* work, const struct mesh_service* service, __be16* given, int* action) {
  const struct mesh_packet* packet = &work->packet;
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch) {
    work->reason = MESH_COUNT_NO_ROOM;
    return MESH_ELSEWHERE;
  }
  struct mesh_segment segment = {packet->protocol, packet->tcp_flags, packet->has_payload,
                                 (__u8)mesh_packet_begins(packet)};
  MESH_OPAQUE(segment.begins);
  mesh_forward_key(packet, &scratch->key);
  __u64 hash = mesh_flow_hash(&scratch->key, work->config->flow_seed);
  int trusted = mesh_may_trust(work, service, segment.begins, mesh_flow_tag(hash));
  MESH_OPAQUE(trusted);
  if (trusted && (mesh_mix(mesh_counted_in(work->header.binding)) & MESH_REFRESH_MASK)) return MESH_TRUSTED;

  __u32 owner = work->header.stop == work->config->self ? work->header.binding : 0;
  __u32 known = mesh_use_record(hash, &segment, owner);
  if (known) {
    work->header.binding = (__u16)known;
    *given = (__be16)(known >> 16);
    return MESH_FOUND;
  }
  return trusted ? MESH_TO_CREATE : mesh_search(work, service, segment.begins, action);
}

// A packet of a client for this host: from another entry host, or from this host's own entry. `work->header` and
// `work->service` are complete, `work->hash` is the ring hash.
MESH_INLINE int mesh_receive(struct mesh_work* work) {
  const struct mesh_service* service = work->service;
  __be16 given = work->packet.source_port;
  int action = MESH_DROP;
  if (!service) return mesh_drop(work, MESH_COUNT_NO_BACKEND);
  int finding = mesh_find(work, service, &given, &action);
  MESH_OPAQUE(finding);
  if (finding == MESH_ELSEWHERE) return action;
  const struct mesh_binding* binding =
      finding == MESH_FOUND ? mesh_binding_of(work->header.binding) : mesh_header_binding(work);
  if (!binding) return mesh_drop(work, MESH_COUNT_NO_BINDING);
  if (!mesh_binding_has_family(binding, work->packet.v6)) return mesh_drop(work, MESH_COUNT_NO_FAMILY);
  if (finding == MESH_TO_CREATE) {
    int begins = mesh_packet_begins(&work->packet);
    struct mesh_scratch* scratch = mesh_scratch_room();
    if (!scratch) return mesh_drop(work, MESH_COUNT_NO_ROOM);
    mesh_describe_flow(work, binding, begins, &scratch->record);
    given = (__be16)mesh_make_records(begins);
    if (!given) return mesh_drop(work, MESH_COUNT_NO_PORT);
  }
  mesh_count_in(work->header.binding, work->packet.length);
  return mesh_deliver_binding(work, binding, given);
}
