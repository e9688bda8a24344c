// What libbpf's headers and the kernel are to the programs, natively. Declarations only; native.cpp has the behaviour.
#pragma once

#include <linux/bpf.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) __typeof__(value)* name

enum { LIBBPF_PIN_NONE, LIBBPF_PIN_BY_NAME };

#ifdef __cplusplus
extern "C" {
#endif

// libbpf has functions of the same names for user space.
#define bpf_map_lookup_elem mesh_native_lookup
#define bpf_map_update_elem mesh_native_update
#define bpf_map_delete_elem mesh_native_delete

void* bpf_map_lookup_elem(void* map, const void* key);
long bpf_map_update_elem(void* map, const void* key, const void* value, __u64 flags);
long bpf_map_delete_elem(void* map, const void* key);
__u64 bpf_jiffies64(void);
__u32 bpf_get_smp_processor_id(void);
__u64 bpf_ktime_get_ns(void);
long bpf_loop(__u32 count, long (*body)(__u32, void*), void* context, __u64 flags);
__u32 bpf_get_prandom_u32(void);
long bpf_redirect(__u32 ifindex, __u64 flags);
long bpf_redirect_peer(__u32 ifindex, __u64 flags);
long bpf_redirect_neigh(__u32 ifindex, void* parameters, int size, __u64 flags);
long bpf_fib_lookup(void* context, struct bpf_fib_lookup* parameters, int size, __u32 flags);

long bpf_xdp_adjust_head(struct xdp_md* context, int delta);
long bpf_xdp_load_bytes(struct xdp_md* context, __u32 offset, void* to, __u32 length);
long bpf_xdp_store_bytes(struct xdp_md* context, __u32 offset, void* from, __u32 length);

long bpf_skb_pull_data(struct __sk_buff* skb, __u32 length);
long bpf_skb_adjust_room(struct __sk_buff* skb, __s32 difference, __u32 mode, __u64 flags);
long bpf_skb_change_proto(struct __sk_buff* skb, __be16 protocol, __u64 flags);
long bpf_skb_change_tail(struct __sk_buff* skb, __u32 length, __u64 flags);
long bpf_skb_change_type(struct __sk_buff* skb, __u32 type);
long bpf_skb_load_bytes(const void* skb, __u32 offset, void* to, __u32 length);
long bpf_skb_store_bytes(struct __sk_buff* skb, __u32 offset, const void* from, __u32 length, __u64 flags);
long bpf_l4_csum_replace(struct __sk_buff* skb, __u32 offset, __u64 from, __u64 to, __u64 flags);
__s64 bpf_csum_update(struct __sk_buff* skb, __u32 sum);

__u64 bpf_get_netns_cookie(void* context);
__u64 bpf_get_socket_cookie(void* context);
int bpf_set_retval(int value);

#ifdef __cplusplus
}
#endif
