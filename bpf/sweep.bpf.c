// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Attached nowhere: user space runs it now and then to remove what is over from the flow table, under the sets' locks.
// From outside, a set could only be read and written back, and a flow that began in between would be lost.
#include "bpf/tables.h"

struct mesh_sweep_context {
  const struct mesh_config* config;
  __u32 first;
  __u32 now;
  __u32 removed;
};

MESH_INLINE int mesh_is_to_go(const struct mesh_flow* record, __u32 mark, __u32 now) {
  const struct mesh_binding* binding = mesh_binding_of(record->binding);
  if (mesh_flow_due(mark, now) || !binding || binding->ifindex != record->ifindex) return 1;
  if (record->kind != MESH_FLOW_AFFINITY) return 0;
  const struct mesh_service* service = mesh_service_of(record->protocol, record->original_port);
  return !service || mesh_flow_idle(mark, now) > MESH_OPTIONS_AFFINITY(service->options);
}

static long mesh_sweep_set(__u32 number, void* data) {
  struct mesh_sweep_context* context = data;
  __u32 index = context->first + number;
  struct mesh_flow_set* set = bpf_map_lookup_elem(&mesh_flows, &index);
  if (!set) return 1;
  MESH_UNROLL
  for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
    __u32 tag = set->tag[way];
    __u32 mark = set->mark[way];
    if (!tag || !mesh_is_to_go(&set->record[way], mark, context->now)) continue;
    // Not if it was used meanwhile, or is another flow's.
    mesh_lock(&set->lock);
    if (set->tag[way] == tag && set->mark[way] == mark) {
      set->tag[way] = 0;
      context->removed++;
    }
    mesh_unlock(&set->lock);
  }
  return 0;
}

SEC("xdp")
int mesh_sweep(struct xdp_md* packet) {
  struct mesh_sweep* order = (struct mesh_sweep*)(long)packet->data;
  if ((void*)(order + 1) > (void*)(long)packet->data_end) return XDP_ABORTED;
  struct mesh_sweep_context context = {.config = mesh_settings(), .first = order->first};
  order->jiffies = bpf_jiffies64();
  order->nanoseconds = bpf_ktime_get_ns();
  order->removed = 0;
  order->tick = 0;
  if (!context.config) return XDP_DROP;
  context.now = mesh_now(context.config);
  order->tick = context.now;
  __u32 count = order->count;
  if (count > MESH_SWEEP_SETS_MAX) count = MESH_SWEEP_SETS_MAX;
  bpf_loop(count, mesh_sweep_set, &context, 0);
  order = (struct mesh_sweep*)(long)packet->data;
  if ((void*)(order + 1) > (void*)(long)packet->data_end) return XDP_ABORTED;
  order->removed = context.removed;
  return XDP_DROP;
}
