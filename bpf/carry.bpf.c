// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Attached nowhere: user space runs it to carry flow records of an earlier table into this one, one by one and under
// the sets' locks, while packets may already use it.
#include "bpf/receive.h"

// The key of a record's set: the endpoint finds it by the port that it sees.
MESH_INLINE __u64 mesh_carried_hash(const struct mesh_config* config, const struct mesh_flow* record) {
  __be16 port = record->kind == MESH_FLOW_REVERSE ? record->given_port : record->client_port;
  return mesh_flow_hash(&record->client, port, record->protocol, config->flow_seed);
}

// What two records of one flow know together: the newer of them, and of two of the same tick both.
MESH_INLINE __u32 mesh_newer_mark(__u32 here, __u32 carried, __u32 now) {
  __u32 idle_here = mesh_flow_idle(here, now), idle_carried = mesh_flow_idle(carried, now);
  if (idle_here == idle_carried) return carried | MESH_FLOW_MARK_STATE(here);
  return idle_here < idle_carried ? here : carried;
}

// Returns whether the table knows the scratch room's record now.
MESH_SEPARATE int mesh_carry_record(__u64 hash, __u32 mark) {
  const struct mesh_config* config = mesh_settings();
  if (!config) return 0;
  struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!set) return 0;
  MESH_NO_UNROLL
  for (int i = 0; i < MESH_CLAIM_TRIES; i++) {
    __u32 judgement = mesh_judge(hash, mark);
    if (judgement & MESH_FLOW_TAKEN) return 0;
    __u32 way = judgement >> 8 & 7u;
    if (way < MESH_FLOW_WAYS) {
      __u32 newer = mesh_newer_mark(set->mark[way], mark, mesh_now(config));
      if (newer == set->mark[way]) return 1;
      mark = newer;
    }
    if (mesh_claim_judged(hash, mark, judgement) != MESH_CLAIM_AGAIN) return 1;
  }
  return 0;
}

SEC("xdp")
int mesh_carry(struct xdp_md* packet) {
  struct mesh_carry* order = (struct mesh_carry*)(long)packet->data;
  if ((void*)(order + 1) > (void*)(long)packet->data_end) return XDP_ABORTED;
  const struct mesh_config* config = mesh_settings();
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!config || !scratch) return XDP_ABORTED;
  scratch->record = order->record;
  __u64 hash = mesh_carried_hash(config, &scratch->record);
  return mesh_carry_record(hash, order->mark) ? XDP_PASS : XDP_DROP;
}
