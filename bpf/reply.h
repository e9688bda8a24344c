// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Replies: at the backend's host they get back the addresses that the client knows, at the entry host they leave.
#pragma once

#include "bpf/verdict.h"

// A reply with its final addresses, at the entry host: the client is this host, an endpoint here, or outside.
MESH_INLINE int mesh_return(struct mesh_work* work, const struct mesh_address* original,
                            const struct mesh_address* client) {
  if (mesh_address_equal(original, &work->config->mesh_v4) || mesh_address_equal(original, &work->config->mesh_v6)) {
    return MESH_HOST;
  }
  if (!mesh_is_ingress(work->config, &work->packet, client)) return MESH_CLIENT;
  __u64 place = mesh_endpoint_of(work->config->ingress_vni, client);
  if (mesh_place_ifindex(place)) return mesh_deliver_at(work, place);
  return MESH_CLIENT;
}

// The key of a flow's record for its client's packets, where it has one of its own. A looped flow's client is the
// endpoint itself.
MESH_INLINE void mesh_opposite_key(const struct mesh_packet* packet, const struct mesh_flow* record,
                                   struct mesh_flow_key* key) {
  if (record->flags & MESH_FLOW_LOOPED) key->client = packet->source;
  key->original = record->original;
  key->client_port = record->client_port;
  key->port = record->original_port;
  key->kind = MESH_FLOW_FORWARD;
}

// Copies the record of the key in the scratch room there, and brings it up to date. Returns its mark, 0: there is none
// (a mark with an answer in it is never 0).
MESH_INLINE __u32 mesh_use_reverse_record(__u64 hash, const struct mesh_segment* segment) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch || !segment) return 0;
  __u32 tag = mesh_flow_tag(hash);
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!set) return 0;
  __u32 way = mesh_flow_find(set, &scratch->key, tag);
  if (way >= MESH_FLOW_WAYS) return 0;
  scratch->record = set->record[way];
  if (*(volatile __u32*)&set->tag[way] != tag) return 0;
  __u32 before = set->mark[way];
  __u8 state = mesh_flow_state_after(MESH_FLOW_MARK_STATE(before), 0, segment);
  __u32 mark = MESH_FLOW_MARK(mesh_now(config), state);
  if (mark != before) set->mark[way] = mark;
  scratch->news = mark != before ? mark : 0;
  return mark;
}

// The endpoint must be the one whose record it is.
MESH_INLINE int mesh_is_from_binding(const struct mesh_packet* packet, const struct mesh_binding* binding,
                                     const __u8* source_mac) {
  struct mesh_address address = mesh_binding_address(binding, packet->v6);
  return mesh_address_equal(&packet->source, &address) && mesh_same_mac(source_mac, binding->mac);
}

// A packet of an endpoint from its ingress address. MESH_PASS: no reply of the mesh.
MESH_INLINE int mesh_reply(struct mesh_work* work, const __u8* source_mac) {
  const struct mesh_packet* packet = &work->packet;
  if (!packet->has_ports) return MESH_PASS;
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch) return mesh_drop(work, MESH_COUNT_NO_ROOM);
  struct mesh_flow_key* key = &scratch->key;
  key->client = packet->destination;
  key->original = (struct mesh_address){};
  key->client_port = packet->destination_port;
  key->port = packet->source_port;
  key->ifindex = work->ifindex;
  key->kind = MESH_FLOW_REVERSE;
  key->protocol = packet->protocol;
  __u64 hash = mesh_flow_key_hash(key, work->config->flow_seed);
  struct mesh_segment segment = {packet->protocol, packet->tcp_flags, packet->has_payload, 0};
  __u32 mark = mesh_use_reverse_record(hash, &segment);
  if (!mark) return MESH_PASS;
  const struct mesh_flow* record = &scratch->record;
  __u32 index = record->binding;
  const struct mesh_binding* binding = mesh_binding_of(index);
  if (!binding) return mesh_drop(work, MESH_COUNT_NO_BINDING);
  if (!mesh_is_from_binding(packet, binding, source_mac)) return mesh_drop(work, MESH_COUNT_SPOOFED);
  if (packet->fragment) return mesh_drop(work, MESH_COUNT_FRAGMENT);
  if (!mesh_take_hop(work)) return mesh_drop(work, MESH_COUNT_TTL);

  struct mesh_tuple* tuple = &work->tuple;
  tuple->source = record->original;
  tuple->source_port = record->original_port;
  tuple->destination = record->flags & MESH_FLOW_LOOPED ? packet->source : packet->destination;
  tuple->destination_port = record->client_port;
  work->translate = 1;
  struct mesh_binding_traffic* traffic = bpf_map_lookup_elem(&mesh_binding_counters, &index);
  if (traffic) {
    traffic->out.packets++;
    traffic->out.bytes += packet->length;
    if (packet->tcp_flags & MESH_TCP_RST) traffic->resets_out++;  // a quoted error has another flag
  }
  mesh_count(packet->quoted ? MESH_COUNT_ERROR_TRANSLATED : MESH_COUNT_REPLY_OUT);
  __u16 entry = record->entry;
  if (record->kind == MESH_FLOW_REVERSE && scratch->news) {
    mesh_opposite_key(packet, record, key);
    mesh_tell_other_record(mark, 0);
  }
  work->to = entry;
  if (record->flags & MESH_FLOW_DIRECT) return MESH_CLIENT;
  if (entry == work->config->self) return mesh_return(work, &tuple->source, &tuple->destination);
  work->hash = hash;
  work->header.vni = work->config->ingress_vni;
  work->header.kind = MESH_KIND_REPLY;
  work->header.entry = work->config->self;
  return mesh_send(work, entry);
}
