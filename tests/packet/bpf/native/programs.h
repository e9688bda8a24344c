// The programs under test as plain functions.
#pragma once

#include <linux/bpf.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mesh_native_map {
  void* symbol;
  const char* name;
  unsigned key_size;
  unsigned value_size;
  unsigned max_entries;
  unsigned type;  // BPF_MAP_TYPE_*
};
extern const struct mesh_native_map mesh_native_maps[];
extern const unsigned mesh_native_map_count;

int mesh_uplink_xdp(struct xdp_md* context);
int mesh_uplink_tc(struct __sk_buff* skb);
int mesh_endpoint_tc(struct __sk_buff* skb);
int mesh_entry_tc(struct __sk_buff* skb);
int mesh_carry(struct xdp_md* order);

#ifdef __cplusplus
}
#endif
