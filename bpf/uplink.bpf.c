// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Attached to each uplink: clients of published ports, tunnel packets of other hosts; everything else passes.
#include "bpf/uplink.h"

SEC("xdp")
int mesh_uplink_xdp(struct xdp_md* context) {
  struct mesh_work work = {.config = mesh_settings(), .ifindex = context->ingress_ifindex};
  if (!work.config) return XDP_PASS;
  struct mesh_arrival arrival = {.xdp = context, .start = mesh_xdp_start(context), .end = mesh_xdp_end(context)};
  arrival.length = (__u32)(arrival.end - arrival.start);
  int action = mesh_uplink(&work, &arrival);
  return mesh_xdp_apply(context, &work, action);
}

SEC("tc")
int mesh_uplink_tc(struct __sk_buff* skb) {
  struct mesh_work work = {.config = mesh_settings(), .ifindex = skb->ifindex};
  if (!work.config) return TC_ACT_OK;
  // A tagged frame is the VLAN device's, whose own hook sees it next: its tag was taken off already and would be put on
  // whatever becomes of it. (VLAN 0 is a priority, and no other network.)
  if (skb->vlan_present && (skb->vlan_tci & MESH_VLAN_ID)) return TC_ACT_OK;
  mesh_skb_pull(skb);
  struct mesh_arrival arrival = {.skb = skb, .length = skb->len, .gso_size = skb->gso_size};
  arrival.start = mesh_skb_start(skb);
  arrival.end = mesh_skb_end(skb);
  int action = mesh_uplink(&work, &arrival);
  return mesh_skb_apply(skb, &work, action);
}
