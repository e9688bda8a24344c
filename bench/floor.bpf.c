// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The least that a stateless load balancer must do, as the measure of the real one: IPv4 TCP or UDP to one address ->
// service by port -> slot of a ring by a hash -> backend -> a prepared VXLAN header, counted. No TTL, fragments, size
// check, IPv6, own sockets, tunnel coming in; no packet of its own that is not understood is dropped with a reason.
#include "bench/floor.h"

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FLOOR_TABLE(symbol, map_type, value_type, entries, flags) \
  struct {                                                        \
    __uint(type, map_type);                                       \
    __type(key, __u32);                                           \
    __type(value, value_type);                                    \
    __uint(max_entries, entries);                                 \
    __uint(map_flags, flags);                                     \
  } symbol SEC(".maps")

FLOOR_TABLE(floor_services, BPF_MAP_TYPE_ARRAY, struct floor_service, 131072, BPF_F_MMAPABLE);
FLOOR_TABLE(floor_rings, BPF_MAP_TYPE_ARRAY, struct floor_chunk, 65536, BPF_F_MMAPABLE);
FLOOR_TABLE(floor_backends, BPF_MAP_TYPE_ARRAY, struct floor_backend, 262144, BPF_F_MMAPABLE);
FLOOR_TABLE(floor_traffic, BPF_MAP_TYPE_PERCPU_ARRAY, struct floor_traffic, 262144, 0);
FLOOR_TABLE(floor_nodes, BPF_MAP_TYPE_ARRAY, struct floor_node, 64, BPF_F_MMAPABLE);
FLOOR_TABLE(floor_packets, BPF_MAP_TYPE_PERCPU_ARRAY, __u64, 1, 0);

const volatile __be32 own_address = 0;
const volatile __u32 uplink = 0;

struct floor_ipv4 {
  __u8 version_ihl, tos;
  __be16 length, id, fragment;
  __u8 ttl, protocol;
  __be16 checksum;
  __be32 source, destination;
  __be16 source_port, destination_port;
};

static __always_inline __u64 mix(__u64 x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  return x ^ (x >> 33);
}

static __always_inline void count(__u32 index, __u32 bytes) {
  struct floor_traffic* traffic = bpf_map_lookup_elem(&floor_traffic, &index);
  if (traffic) {
    traffic->packets++;
    traffic->bytes += bytes;
  }
  __u32 key = 0;
  __u64* packets = bpf_map_lookup_elem(&floor_packets, &key);
  if (packets) ++*packets;
}

// The prepared header, with what differs from packet to packet.
static __always_inline int encapsulate(struct xdp_md* context, const struct floor_node* node, __u32 length,
                                       __u64 hash) {
  if (bpf_xdp_adjust_head(context, -(int)FLOOR_OUTER)) return XDP_DROP;
  __u8* data = (__u8*)(long)context->data;
  if (data + sizeof(node->header) > (const __u8*)(long)context->data_end) return XDP_DROP;
  _Pragma("clang loop unroll(full)") for (__u32 i = 0; i < sizeof(node->header) / 8; i++)((__u64*)data)[i] =
      ((const __u64*)node->header)[i];
  struct floor_ipv4* ip = (struct floor_ipv4*)(data + 14);
  const __be16 total = bpf_htons((__u16)(length + FLOOR_OUTER));
  __u32 sum = (__u16)~ip->checksum + (__u32)total;
  sum = (sum & 0xffff) + (sum >> 16);
  ip->checksum = (__u16)~sum;
  ip->length = total;
  ip->source_port = bpf_htons((__u16)(0x8000u | (hash & 0x7fff)));
  *(__be16*)(data + 38) = bpf_htons((__u16)(length + FLOOR_OUTER - 20));
  return (int)bpf_redirect(uplink, 0);
}

SEC("xdp")
int floor_xdp(struct xdp_md* context) {
  const __u8* data = (const __u8*)(long)context->data;
  const __u8* end = (const __u8*)(long)context->data_end;
  const struct floor_ipv4* ip = (const struct floor_ipv4*)(data + 14);
  if ((const __u8*)(ip + 1) > end || *(const __be16*)(data + 12) != bpf_htons(0x0800)) return XDP_PASS;
  if (ip->version_ihl != 0x45 || (ip->protocol != 6 && ip->protocol != 17)) return XDP_PASS;
  if (ip->destination != own_address) return XDP_PASS;
  __u32 index = (ip->protocol == 17 ? 65536u : 0u) | bpf_ntohs(ip->destination_port);
  const struct floor_service* service = bpf_map_lookup_elem(&floor_services, &index);
  if (!service || !service->backends) return XDP_PASS;
  const __u64 ports = (__u64)ip->source_port << 16 | ip->destination_port;
  const __u64 hash = mix(mix((__u64)ip->source << 32 | ip->destination) ^ (ports << 8 | ip->protocol));
  const __u32 slot = hash >> 56;  // of 256
  __u32 chunk_index = service->chunk + slot / FLOOR_SLOTS_PER_CHUNK;
  const struct floor_chunk* chunk = bpf_map_lookup_elem(&floor_rings, &chunk_index);
  if (!chunk) return XDP_DROP;
  __u32 owner = service->backends - 1 + chunk->slot[slot % FLOOR_SLOTS_PER_CHUNK];
  const struct floor_backend* backend = bpf_map_lookup_elem(&floor_backends, &owner);
  if (!backend) return XDP_DROP;
  __u32 number = backend->node;
  const struct floor_node* node = bpf_map_lookup_elem(&floor_nodes, &number);
  if (!node) return XDP_DROP;
  const __u32 length = bpf_ntohs(ip->length);
  count(owner, length);
  return encapsulate(context, node, length, hash);
}

char _license[] SEC("license") = "Dual BSD/GPL";
