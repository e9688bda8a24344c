// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The backend's host: which endpoint a client's packet belongs to. Rules 1, 2, 4 and 5 of the flow consistency
// algorithm (docs/adr), and 3 through bpf/lib/walk.h.
#pragma once

#include "bpf/records.h"

// One packet of 16 refreshes or re-makes its record where no look-up was needed: also while there is no meshd that
// clears the filter of those.
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
  if (packet->quoted) mesh_count(MESH_COUNT_ERROR_TRANSLATED);
  return mesh_deliver(work, binding->ifindex, binding->mac);
}

// The binding that the header names, if it is what the packet asks for.
MESH_INLINE const struct mesh_binding* mesh_header_binding(const struct mesh_work* work) {
  const struct mesh_binding* binding = mesh_binding_of(work->header.binding);
  if (!binding || binding->protocol != work->packet.protocol) return 0;
  return binding->published_port == work->packet.destination_port ? binding : 0;
}

// `resets`: 0 or 1, TCP resets of the client. Returns a number that changes with every packet to the binding, to choose
// samples by.
MESH_INLINE __u64 mesh_count_in(__u32 binding, __u32 bytes, __u32 resets) {
  struct mesh_binding_traffic* traffic = bpf_map_lookup_elem(&mesh_binding_counters, &binding);
  if (!traffic) return 0;
  traffic->in.bytes += bytes;
  traffic->resets_in += resets;
  return ++traffic->in.packets;
}

MESH_INLINE void mesh_count_connection(__u32 binding) {
  struct mesh_binding_traffic* traffic = bpf_map_lookup_elem(&mesh_binding_counters, &binding);
  if (traffic) traffic->connections++;
}

// This host's own view of the packet's slot.
MESH_INLINE void mesh_look_at_slot(struct mesh_work* work, const struct mesh_service* service, struct mesh_view* view) {
  __u64 ring = service->ring;
  __u32 slot = mesh_ring_slot(mesh_slot_hash(service, &work->packet), MESH_RING_LOG2(ring));
  __u8 byte = mesh_slot_of(ring, slot);
  struct mesh_row_key key = {mesh_service_index(&work->packet), MESH_RING_VERSION(ring), slot};
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

// Rule 1: the slot is not moved and both hosts have the same ring, so the owner is right without a look-up. But the
// flow must have a record, for the backend's answers: the filters know those that have one, and where it must be asked.
MESH_INLINE int mesh_may_trust(const struct mesh_work* work, const struct mesh_service* service, int begins,
                               __u32 tag) {
  if (begins || work->header.moved || work->header.ring_version != MESH_RING_VERSION(service->ring)) return 0;
  if (work->packet.tcp_flags & (MESH_TCP_SYN | MESH_TCP_FIN | MESH_TCP_RST)) return 0;
  const struct mesh_filter* filter = mesh_filter_of(tag);
  __u64 bits = mesh_trust_bits(tag, work->header.entry);
  return filter && !(filter->rewritten & mesh_filter_bit(tag)) && (filter->trusted & bits) == bits;
}

MESH_INLINE void mesh_move_entry(struct mesh_flow_set* set, __u32 way, __u32 tag, __u16 entry) {
  mesh_lock(&set->lock);
  if (set->tag[way] == tag) set->record[way].entry = entry;
  mesh_unlock(&set->lock);
}

// Whether these are the two records of one flow. With the key of one's other may be found that of a later flow, which
// has the client's port again or was given the same.
MESH_INLINE int mesh_is_other_record(const struct mesh_flow* other, const struct mesh_flow* record) {
  __u32 difference =
      (__u32)(other->kind ^ record->kind ^ MESH_FLOW_BOTH) | (__u32)(other->client_port ^ record->client_port) |
      (__u32)(other->given_port ^ record->given_port) | (__u32)(other->original_port ^ record->original_port) |
      (other->ifindex ^ record->ifindex) | ((__u32)(other->flags ^ record->flags) & MESH_FLOW_LOOPED) |
      mesh_address_difference(&other->original, &record->original);
  return difference == 0;
}

// What one of a flow's two records has learned, the other should know: the state's bits, that the flow lives, and its
// entry host (0: it has not moved). The key of the other, and the record that has learned it, are in the scratch room.
// 0: the flow has no other record.
MESH_SEPARATE int mesh_tell_other_record(__u32 mark, __u16 entry) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  __u64 hash = mesh_flow_key_hash(&scratch->key, config->flow_seed);
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!set) return 0;
  __u32 way = mesh_flow_find(set, &scratch->key, mesh_flow_tag(hash));
  if (way >= MESH_FLOW_WAYS || !mesh_is_other_record(&set->record[way], &scratch->record)) return 0;
  __u8 state = MESH_FLOW_MARK_STATE(set->mark[way]) | MESH_FLOW_MARK_STATE(mark);
  set->mark[way] = MESH_FLOW_MARK(MESH_FLOW_MARK_TICK(mark), state);
  if (entry && set->record[way].entry != entry) mesh_move_entry(set, way, mesh_flow_tag(hash), entry);
  return 1;
}

// The key of a flow's record for its endpoint's answers, where it has one of its own.
MESH_INLINE void mesh_reverse_key(const struct mesh_config* config, const struct mesh_flow* record,
                                  struct mesh_flow_key* key) {
  if (record->flags & MESH_FLOW_LOOPED) {
    key->client = mesh_looped_client(config, &record->client);
  }
  key->original = (struct mesh_address){};
  key->client_port = record->given_port;
  key->port = record->local_port;
  key->ifindex = record->ifindex;
  key->kind = MESH_FLOW_REVERSE;
}

// The record for the endpoint's answers, of the one for the client's packets in the scratch room: it had to make room,
// or another flow has it since this one was over for long. 0: that flow lives.
MESH_SEPARATE int mesh_renew_reverse_record(__u32 mark) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  struct mesh_flow* record = &scratch->record;
  record->kind = MESH_FLOW_REVERSE;
  if (record->flags & MESH_FLOW_LOOPED) {
    record->client = mesh_looped_client(config, &record->client);
  }
  return mesh_claim(mesh_flow_hash(&record->client, record->given_port, record->protocol, config->flow_seed), mark);
}

// Rule 2: the record of the flow with the key in the scratch room, brought up to date. Returns the binding, and the
// port that the endpoint sees above it; 0: no record. What was found is in the scratch room; if the flow has another
// record, also that one's key, what it should know (news), and a copy of this one.
MESH_SEPARATE __u32 mesh_use_record(__u64 hash, const struct mesh_segment* segment) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch || !segment) return 0;
  struct mesh_flow_key* key = &scratch->key;
  __u32 tag = mesh_flow_tag(hash);
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!set) return 0;
  __u32 way = mesh_flow_find(set, key, tag);
  if (way >= MESH_FLOW_WAYS) return 0;
  const struct mesh_flow* record = &set->record[way];
  __u32 now = mesh_now(config);
  __u32 before = set->mark[way];
  __u32 index = record->binding;
  __u32 given = record->given_port;
  __u32 kind = record->kind;
  const struct mesh_binding* binding = mesh_binding_of(index);
  int stale = !binding || binding->ifindex != record->ifindex;
  if (segment->protocol == MESH_UDP) {
    if (mesh_flow_dead(before, now)) stale = 1;
  } else if (segment->begins && mesh_flow_closed(MESH_FLOW_MARK_STATE(before))) {
    stale = 1;  // a new connection where an old one with the same ports is over
  }
  if (stale) {
    mesh_lock(&set->lock);
    if (set->tag[way] == tag) set->tag[way] = 0;
    mesh_unlock(&set->lock);
    return 0;
  }
  if (kind == MESH_FLOW_FORWARD) scratch->record = *record;
  scratch->found.entry = record->entry;
  if (*(volatile __u32*)&set->tag[way] != tag) return 0;
  __u8 state = mesh_flow_state_after(MESH_FLOW_MARK_STATE(before), 1, segment);
  __u32 mark = MESH_FLOW_MARK(now, state);
  if (mark != before) set->mark[way] = mark;
  scratch->found.mark = mark;
  scratch->found.kind = (__u8)kind;
  scratch->found.way = (__u8)way;
  scratch->news = 0;
  if (kind == MESH_FLOW_FORWARD) {
    mesh_reverse_key(config, record, key);
    if (mark != before) scratch->news = mark;
  }
  return index | given << 16;
}

// After mesh_use_record(): answers go where the client's packets come in, the first entry host may be dead; and what
// comes in there needs no look-up for a while.
MESH_SEPARATE int mesh_follow_client(__u64 hash, __u16 entry) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  __u32 tag = mesh_flow_tag(hash);
  __u32 way = scratch->found.way;
  if (!set || way >= MESH_FLOW_WAYS) return 0;
  if (scratch->found.entry != entry) {
    mesh_move_entry(set, way, tag, entry);
    scratch->record.entry = entry;
    if (scratch->found.kind == MESH_FLOW_FORWARD) scratch->news = scratch->found.mark;
  }
  // Datagrams are always looked up: their bits would only stand for others.
  __u8 state = MESH_FLOW_MARK_STATE(scratch->found.mark);
  if ((state & (MESH_FLOW_CONFIRMED | MESH_FLOW_DATAGRAMS)) == MESH_FLOW_CONFIRMED) mesh_trust(tag, entry);
  return 1;
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

// Rules 4 and 5 where there is nowhere else to look: the packet comes straight from an entry with this host's ring to
// the owner's host, and no other host may know flows of the slot.
MESH_INLINE int mesh_owns_slot(const struct mesh_work* work, const struct mesh_service* service) {
  const struct mesh_header* header = &work->header;
  return !header->moved && header->stage == MESH_STAGE_ENTRY && header->stop == work->config->self &&
         header->ring_version == MESH_RING_VERSION(service->ring);
}

// Where the client's flows are in the table of records.
MESH_INLINE __u64 mesh_client_hash(const struct mesh_work* work) {
  const struct mesh_packet* packet = &work->packet;
  return mesh_flow_hash(&packet->source, packet->source_port, packet->protocol, work->config->flow_seed);
}

// The packet's flow, if this host has its record: the binding, and the port that the endpoint sees above it; or 0.
// `hash`: mesh_flow_hash() of the client.
MESH_INLINE __u32 mesh_look_up(struct mesh_work* work, __u64 hash) {
  const struct mesh_packet* packet = &work->packet;
  struct mesh_segment segment = {packet->protocol, packet->tcp_flags, packet->has_payload,
                                 (__u8)mesh_packet_begins(packet)};
  MESH_OPAQUE(segment.begins);
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch) return 0;
  mesh_forward_key(packet, &scratch->key);
  // An error may come in anywhere.
  __u16 entry = packet->quoted ? 0 : work->header.entry;
  __u32 known = mesh_use_record(hash, &segment);
  if (known && entry) mesh_follow_client(hash, entry);
  __u32 news = known ? scratch->news : 0;
  if (news && !mesh_tell_other_record(news, entry) && !mesh_renew_reverse_record(news)) return 0;
  return known;
}

// Where the client's address belongs, if this host knows it: a ready binding, or 0. The flow that comes there says that
// it still does.
MESH_SEPARATE __u32 mesh_use_affinity(__u32 ticks) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  struct mesh_flow_key* key = &scratch->key;
  key->client_port = key->port;
  key->kind = MESH_FLOW_AFFINITY;
  __u64 hash = mesh_flow_key_hash(key, config->flow_seed);
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!set) return 0;
  __u32 way = mesh_flow_find(set, key, mesh_flow_tag(hash));
  if (way >= MESH_FLOW_WAYS) return 0;
  __u32 idle = mesh_flow_idle(set->mark[way], mesh_now(config));
  __u32 index = set->record[way].binding;
  const struct mesh_binding* binding = mesh_binding_of(index);
  if (!binding || binding->ifindex != set->record[way].ifindex) return 0;  // by now another endpoint's
  if (binding->state != MESH_STATE_READY || idle > ticks) return 0;
  return set->tag[way] == mesh_flow_tag(hash) ? index : 0;
}

// Remembers where the client's address belongs, for each published port in another set: one would have room for seven.
// The scratch room's record is that of its new flow.
MESH_SEPARATE int mesh_keep_affinity(void) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  struct mesh_flow* record = &scratch->record;
  record->client_port = record->original_port;
  record->given_port = 0;
  record->kind = MESH_FLOW_AFFINITY;
  __u64 hash = mesh_flow_hash(&record->client, record->client_port, record->protocol, config->flow_seed);
  return mesh_claim(hash, MESH_FLOW_MARK(mesh_now(config), MESH_FLOW_CONFIRMED));
}

// A new flow of a client that belongs to a backend here. The flow may be older than that: while its backend drains, the
// client's others go elsewhere. So the other hosts are asked first. Returns 1 if they were already.
MESH_INLINE int mesh_choose_kept(struct mesh_work* work, const struct mesh_service* service) {
  struct mesh_header* header = &work->header;
  int chosen = mesh_is_chosen(header);
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || (chosen && header->stage != MESH_STAGE_CREATE)) return 0;
  mesh_forward_key(&work->packet, &scratch->key);  // it may be that of the flow's other record by now
  __u32 kept = mesh_use_affinity(MESH_OPTIONS_AFFINITY(service->options));
  if (kept) {
    int asked = header->stage > MESH_STAGE_CIRCLE;
    mesh_choose(header, work->config->self, (__u16)kept);
    return asked;
  }
  if (chosen) {
    // Chosen here, but not any more when it comes back: as if by an older ring, it begins anew.
    header->ring_version = MESH_RING_VERSION(service->ring) - 1;
    header->backend = 0;
  }
  return 0;
}

MESH_INLINE int mesh_find(struct mesh_work* work, const struct mesh_service* service, __be16* given, int* action) {
  const struct mesh_packet* packet = &work->packet;
  int begins = mesh_packet_begins(packet);
  MESH_OPAQUE(begins);
  __u32 known = work->known;
  __u64 hash = mesh_client_hash(work);
  int trusted = !known && mesh_may_trust(work, service, begins, mesh_flow_tag(hash));
  MESH_OPAQUE(trusted);
  if (trusted) {
    __u64 number = mesh_count_in(work->header.binding, packet->length, 0);
    work->counted = 1;
    if (mesh_mix(number) & MESH_REFRESH_MASK) return MESH_TRUSTED;
  }

  if (!known) known = mesh_look_up(work, hash);
  if (known) {
    work->header.binding = (__u16)known;
    *given = (__be16)(known >> 16);
    return MESH_FOUND;
  }
  int asked = trusted || mesh_owns_slot(work, service);
  if (begins && MESH_OPTIONS_AFFINITY(service->options)) asked |= mesh_choose_kept(work, service);
  if (asked) return MESH_TO_CREATE;
  return mesh_search(work, service, begins, action);
}

// Makes the flow's record, or records. Returns the port that the endpoint shall see, 0: there is none.
MESH_INLINE __be16 mesh_record_flow(const struct mesh_work* work, const struct mesh_binding* binding) {
  int begins = mesh_packet_begins(&work->packet);
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch) return 0;
  mesh_describe_flow(work, binding, &scratch->record);
  __u32 given = mesh_make_record();
  if (!given) given = mesh_make_two_records();
  if (given) mesh_count(begins ? MESH_COUNT_FLOW_CREATED : MESH_COUNT_FLOW_REOPENED);
  if (given && begins) mesh_count_connection(work->header.binding);
  if (given && begins && MESH_OPTIONS_AFFINITY(work->service->options)) mesh_keep_affinity();
  return (__be16)given;
}

// Nobody here knows the packet's flow, and its slot has no owner: the entry host's own stack refuses. Not if backends
// are ready: other hosts may have the ring that makes them owners, and the flow may be theirs. Not what that host
// itself has sent to the mesh address: it would not believe it.
MESH_INLINE int mesh_refuse(struct mesh_work* work, const struct mesh_service* service) {
  const struct mesh_config* config = work->config;
  const struct mesh_address* mesh = work->packet.v6 ? &config->mesh_v6 : &config->mesh_v4;
  if (work->header.entry != config->self) return mesh_drop(work, MESH_COUNT_NO_BINDING);
  if (service->options & MESH_SERVICE_READY) return mesh_drop(work, MESH_COUNT_RING_MIXED);
  if (mesh_address_equal(&work->packet.destination, mesh)) return mesh_drop(work, MESH_COUNT_NO_BACKEND);
  return work->encapsulated ? MESH_EXIT : MESH_PASS;
}

// A packet of a client for this host: from another entry host, or from this host's own entry. `work->header` and
// `work->service` are complete.
MESH_INLINE int mesh_receive(struct mesh_work* work) {
  const struct mesh_service* service = work->service;
  __be16 given = work->packet.source_port;
  int action = MESH_DROP;
  if (!service) return mesh_drop(work, MESH_COUNT_NO_BACKEND);
  int finding = mesh_find(work, service, &given, &action);
  MESH_OPAQUE(finding);
  if (finding == MESH_ELSEWHERE) return action;
  if (finding == MESH_TO_CREATE && !work->header.binding) return mesh_refuse(work, service);
  const struct mesh_binding* binding =
      finding == MESH_FOUND ? mesh_binding_of(work->header.binding) : mesh_header_binding(work);
  if (!binding) return mesh_drop(work, MESH_COUNT_NO_BINDING);
  if (!mesh_binding_has_family(binding, work->packet.v6)) return mesh_drop(work, MESH_COUNT_NO_FAMILY);
  // An error makes no record: at the owner's host it is the container's to judge.
  if (finding == MESH_TO_CREATE && !work->packet.quoted) {
    given = mesh_record_flow(work, binding);
    if (!given) return mesh_drop(work, MESH_COUNT_NO_PORT);
  }
  if (!work->counted) mesh_count_in(work->header.binding, work->packet.length, mesh_packet_resets(&work->packet));
  return mesh_deliver_binding(work, binding, given);
}
