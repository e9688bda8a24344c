// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The backend's host: the records of a new flow are made, one or two, in the sets of the flow table (lib/flow.h).
#pragma once

#include "bpf/verdict.h"

// Clients inside the cluster are where only their entry host finds them.
MESH_INLINE int mesh_answers_directly(const struct mesh_work* work) {
  const struct mesh_packet* packet = &work->packet;
  const struct mesh_address* own = packet->v6 ? &work->config->mesh_v6 : &work->config->mesh_v4;
  return (work->service->options & MESH_SERVICE_DIRECT) && !mesh_is_ingress(work->config, packet, &packet->source) &&
         !mesh_address_equal(&packet->destination, own);
}

// Fills in a new flow's record.
MESH_INLINE void mesh_describe_flow(const struct mesh_work* work, const struct mesh_binding* binding,
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
  record->kind = MESH_FLOW_BOTH;
  record->protocol = packet->protocol;
  record->flags = mesh_address_equal(&packet->source, &local) ? MESH_FLOW_LOOPED : 0;
  if (mesh_answers_directly(work)) record->flags |= MESH_FLOW_DIRECT;
}

// Whom an endpoint that is its own client sees instead of itself.
MESH_INLINE struct mesh_address mesh_looped_client(const struct mesh_config* config,
                                                   const struct mesh_address* client) {
  return mesh_address_is_v4(client) ? config->mesh_v4 : config->mesh_v6;
}

// Two functions one after the other need less stack than one.
MESH_SEPARATE __u32 mesh_judge(__u64 hash, __u32 mark) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return MESH_FLOW_TAKEN;
  const struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!set) return MESH_FLOW_TAKEN;
  return mesh_flow_judge(set, mesh_flow_tag(hash), MESH_FLOW_MARK_TICK(mark), &scratch->record);
}

MESH_SEPARATE int mesh_claim_judged(__u64 hash, __u32 mark, __u32 judgement) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return MESH_CLAIM_TAKEN;
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!set) return MESH_CLAIM_TAKEN;
  int outcome = mesh_flow_claim(set, mesh_flow_tag(hash), mark, judgement, &scratch->record);
  if (outcome == MESH_CLAIM_EVICTED) mesh_count(MESH_COUNT_FLOW_EVICTED);
  return outcome;
}

// Claims room for the scratch room's record in the set of `hash`; 0 if another flow is in its way. Of two CPUs that
// want the same at the same time one is served first, and the other sees that.
#define MESH_CLAIM_TRIES 4
MESH_INLINE int mesh_claim(__u64 hash, __u32 mark) {
  MESH_NO_UNROLL
  for (int i = 0; i < MESH_CLAIM_TRIES; i++) {
    __u32 judgement = mesh_judge(hash, mark);
    if (judgement & MESH_FLOW_TAKEN) return 0;
    if (mesh_claim_judged(hash, mark, judgement) != MESH_CLAIM_AGAIN) return 1;
  }
  return 0;
}

// From now on packets of the flow that enter there go without a look-up.
MESH_INLINE void mesh_trust(__u32 tag, __u16 entry) {
  struct mesh_filter* filter = mesh_filter_of(tag);
  __u64 bits = mesh_trust_bits(tag, entry);
  if (filter && (filter->trusted & bits) != bits) __sync_fetch_and_or(&filter->trusted, bits);
}

MESH_INLINE void mesh_distrust(__u32 tag, __u16 entry) {
  struct mesh_filter* filter = mesh_filter_of(tag);
  __u64 bits = mesh_trust_bits(tag, entry);
  if (filter && (filter->trusted & bits)) __sync_fetch_and_and(&filter->trusted, ~bits);
}

// The mark of a new flow's record. One made again from a packet in mid-flow is to be confirmed like any other: the
// packet may be anybody's.
MESH_INLINE __u32 mesh_first_mark(const struct mesh_config* config, __u8 protocol) {
  __u8 state = protocol == MESH_UDP ? MESH_FLOW_DATAGRAMS | MESH_FLOW_CONFIRMED : 0;
  return MESH_FLOW_MARK(mesh_now(config), state);
}

// Makes the scratch room's record. Returns the port that the endpoint shall see as the client's (never 0), 0: the flow
// needs two records.
MESH_SEPARATE __u32 mesh_make_record(void) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  const struct mesh_flow* record = &scratch->record;
  __u32 mark = mesh_first_mark(config, record->protocol);
  __u64 hash = mesh_flow_hash(&record->client, record->client_port, record->protocol, config->flow_seed);
  mesh_distrust(mesh_flow_tag(hash), record->entry);
  if ((record->flags & MESH_FLOW_LOOPED) || !mesh_claim(hash, mark)) return 0;
  return record->given_port;
}

// Makes two of the scratch room's record, so that the endpoint sees another client than there is: one is found by the
// answers of the endpoint (to a port that no other flow has there), one by what the client sends. Returns the port, 0:
// none is free.
MESH_SEPARATE __u32 mesh_make_two_records(void) {
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return 0;
  struct mesh_flow* record = &scratch->record;
  __u32 mark = mesh_first_mark(config, record->protocol);
  __u64 seed = config->flow_seed;
  __u64 forward_hash = mesh_flow_hash(&record->client, record->client_port, record->protocol, seed);
  __u64 offset = mesh_mix(forward_hash ^ mesh_pair(record->original.word[3], record->original_port));
  int looped = record->flags & MESH_FLOW_LOOPED;
  scratch->client = record->client;
  if (looped) record->client = mesh_looped_client(config, &record->client);
  record->kind = MESH_FLOW_REVERSE;
  int claimed = 0;
  MESH_NO_UNROLL
  for (__u32 attempt = 0; attempt <= MESH_PORT_REWRITE_TRIES; attempt++) {
    if (attempt) {
      if (record->protocol == MESH_SCTP) break;  // its checksum covers the ports
      offset += 1031;                            // a prime: clients whose first choices are neighbours part ways
      record->given_port = mesh_be16((__u16)(MESH_PORT_REWRITE_FIRST + ((__u32)offset & 0x3fff)));
    }
    claimed = mesh_claim(mesh_flow_hash(&record->client, record->given_port, record->protocol, seed), mark);
    if (claimed) break;
  }
  if (!claimed) return 0;

  record->client = scratch->client;
  record->kind = MESH_FLOW_FORWARD;
  struct mesh_filter* filter = mesh_filter_of(mesh_flow_tag(forward_hash));
  if (filter) __sync_fetch_and_or(&filter->rewritten, mesh_filter_bit(mesh_flow_tag(forward_hash)));
  if (record->given_port != record->client_port) mesh_count(MESH_COUNT_FLOW_REWRITTEN);
  mesh_claim(forward_hash, mark);
  return record->given_port;
}
