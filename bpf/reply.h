// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Replies: at the backend's host they get back the addresses that the client knows, at the entry host they leave.
#pragma once

#include "bpf/verdict.h"

MESH_INLINE const struct mesh_endpoint* mesh_endpoint_of(__u32 vni, const struct mesh_address* address) {
  struct mesh_endpoint_key key = {vni, *address};
  return bpf_map_lookup_elem(&mesh_endpoints, &key);
}

// A reply with its final addresses, at the entry host: the client is this host, an endpoint here, or outside.
MESH_INLINE int mesh_return(struct mesh_work* work, const struct mesh_address* original,
                            const struct mesh_address* client) {
  if (mesh_address_equal(original, &work->config->mesh_v4) || mesh_address_equal(original, &work->config->mesh_v6)) {
    return MESH_HOST;
  }
  const struct mesh_endpoint* endpoint = mesh_endpoint_of(work->config->ingress_vni, client);
  if (endpoint && endpoint->ifindex) return mesh_deliver(work, endpoint->ifindex, endpoint->mac);
  return MESH_CLIENT;
}

// What the reply direction learns is told to the forward record too, when it matters: once a tick, at the first answer
// that proves the handshake, and at the end.
MESH_SEPARATE int mesh_tell_forward_record(__u32 state) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  const struct mesh_flow_key* key = &scratch->key;
  __u64 hash = mesh_flow_hash(key, config->flow_seed);
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  struct mesh_flow* record = set ? mesh_flow_find(set, key, mesh_flow_tag(hash)) : 0;
  if (!record) return 0;
  record->seen = scratch->record.seen;
  record->state |= (__u8)state;
  return 1;
}

// Copies the record of the key in the scratch room there, and brings it up to date. 0: there is none.
MESH_SEPARATE int mesh_use_reverse_record(__u64 hash, const struct mesh_segment* segment) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch || !segment) return 0;
  struct mesh_flow_key* key = &scratch->key;
  struct mesh_flow* copy = &scratch->record;
  __u32 tag = mesh_flow_tag(hash);
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  struct mesh_flow* record = set ? mesh_flow_find(set, key, tag) : 0;
  if (!record) return 0;
  *copy = *record;
  if (!mesh_flow_matches(copy, key, tag) || !mesh_flow_matches(record, key, tag)) return 0;
  __u8 before = copy->state;
  __u32 seen = copy->seen;
  copy->seen = mesh_now();
  copy->state = mesh_flow_state_after(before, 0, segment);
  if (copy->seen == seen && copy->state == before) return 1;
  record->seen = copy->seen;
  record->state = copy->state;
  // A looped flow's forward record has the endpoint's own address as its client, which only the packet knows; it is
  // refreshed from the forward direction.
  key->original = copy->original;
  key->client_port = copy->client_port;
  key->port = copy->original_port;
  key->ifindex = 0;
  key->kind = MESH_FLOW_FORWARD;
  mesh_tell_forward_record(copy->state);
  return 1;
}

// MESH_PASS: no reply of the mesh.
MESH_INLINE int mesh_reply(struct mesh_work* work) {
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
  __u64 hash = mesh_flow_hash(key, work->config->flow_seed);
  struct mesh_segment segment = {packet->protocol, packet->tcp_flags, packet->has_payload, 0};
  if (!mesh_use_reverse_record(hash, &segment)) return MESH_PASS;
  if (packet->fragment) return mesh_drop(work, MESH_COUNT_FRAGMENT);
  if (!mesh_take_hop(work)) return mesh_drop(work, MESH_COUNT_TTL);

  const struct mesh_flow* record = &scratch->record;
  struct mesh_tuple* tuple = &work->tuple;
  tuple->source = record->original;
  tuple->source_port = record->original_port;
  tuple->destination = record->flags & MESH_FLOW_LOOPED ? packet->source : packet->destination;
  tuple->destination_port = record->client_port;
  work->translate = 1;
  __u32 binding = record->binding;
  struct mesh_binding_traffic* traffic = bpf_map_lookup_elem(&mesh_binding_counters, &binding);
  if (traffic) {
    traffic->out.packets++;
    traffic->out.bytes += packet->length;
  }
  mesh_count(MESH_COUNT_REPLY_OUT);
  if (record->entry == work->config->self) return mesh_return(work, &tuple->source, &tuple->destination);
  work->hash = hash;
  work->header.vni = work->config->ingress_vni;
  work->header.kind = MESH_KIND_REPLY;
  work->header.entry = work->config->self;
  return mesh_send(work, record->entry);
}
