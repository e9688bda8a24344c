// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Attached to each uplink: clients of published ports, tunnel packets of other hosts; everything else passes.
#include "bpf/skb_edit.h"
#include "bpf/tunnel_in.h"
#include "bpf/xdp_edit.h"

SEC("xdp")
int mesh_uplink_xdp(struct xdp_md* context) {
  struct mesh_work work = {.config = mesh_settings(), .ifindex = context->ingress_ifindex};
  if (!work.config) return XDP_PASS;
  const __u8* start = mesh_xdp_start(context);
  const __u8* end = mesh_xdp_end(context);
  int action = mesh_uplink(&work, start, end, (__u32)(end - start), 0);
  return mesh_xdp_apply(context, &work, action);
}

SEC("tc")
int mesh_uplink_tc(struct __sk_buff* skb) {
  struct mesh_work work = {.config = mesh_settings(), .ifindex = skb->ifindex};
  if (!work.config) return TC_ACT_OK;
  mesh_skb_pull(skb);
  int action = mesh_uplink(&work, mesh_skb_start(skb), mesh_skb_end(skb), skb->len, skb->gso_size);
  return mesh_skb_apply(skb, &work, action);
}
