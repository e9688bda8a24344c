// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `meshctl trace --next`: loaded only while one waits, and asked before the attached programs, as a packet socket would
// see nothing of what XDP redirects. At their entry (fentry), or where the kernel refuses that: before them, by TCX,
// and at an uplink in xdp mode in the program's place, which is called at the end. Touches no packet; the flow records
// that it reads are those before the program has made or changed any.
#include "bpf/catch.h"

#include <linux/pkt_cls.h>

#include <bpf/bpf_core_read.h>

#include "bpf/lib/tunnel.h"
#include "bpf/tables.h"

#define MESH_KERNEL_TYPE __attribute__((preserve_access_index))

// Of the kernel's own types only what is read; where it lies is found when the program is loaded.
struct net_device {
  int ifindex;
} MESH_KERNEL_TYPE;
struct xdp_rxq_info {
  struct net_device* dev;
} MESH_KERNEL_TYPE;
struct xdp_buff {
  void* data;
  void* data_end;
  struct xdp_rxq_info* rxq;
} MESH_KERNEL_TYPE;
struct skb_shared_info {
  unsigned short gso_size;
} MESH_KERNEL_TYPE;
struct sk_buff {
  unsigned int len;
  unsigned int data_len;
  unsigned int end;
  unsigned char* head;
  unsigned char* data;
  struct net_device* dev;
} MESH_KERNEL_TYPE;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, __u32);
  __type(value, struct mesh_catch);
  __uint(max_entries, 1);
} mesh_catch_wanted SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __type(key, __u32);
  __type(value, struct mesh_caught);
  __uint(max_entries, 1);
} mesh_catch_room SEC(".maps");

// A few packets; what does not fit comes too late.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} mesh_catch_ring SEC(".maps");

MESH_INLINE int mesh_is_wanted_address(const struct mesh_address* wanted, const struct mesh_address* address) {
  return mesh_address_is_unset(wanted) || mesh_address_equal(wanted, address);
}

MESH_INLINE int mesh_is_wanted(const struct mesh_catch* wanted, const struct mesh_packet* packet) {
  if (wanted->protocol && wanted->protocol != packet->protocol) return 0;
  if (wanted->source_port && wanted->source_port != packet->source_port) return 0;
  if (wanted->destination_port && wanted->destination_port != packet->destination_port) return 0;
  return mesh_is_wanted_address(&wanted->source, &packet->source) &&
         mesh_is_wanted_address(&wanted->destination, &packet->destination);
}

// The innermost packet. 0: nothing that is asked for.
MESH_INLINE int mesh_read_caught(const struct mesh_caught* caught, struct mesh_packet* packet, int* tunnel) {
  const __u8* start = caught->bytes;
  const __u8* end = start + MESH_CAUGHT_BYTES;
  const struct mesh_eth* eth = (const struct mesh_eth*)start;
  *tunnel = 0;
  if (mesh_parse_ip(eth->type, start + MESH_ETH_SIZE, end, caught->length - MESH_ETH_SIZE, packet) != MESH_PARSED) {
    return 0;
  }
  if (packet->protocol != MESH_UDP || packet->destination_port != mesh_be16(MESH_VXLAN_PORT) || packet->v6) return 1;
  const struct mesh_tunnel* wire = (const struct mesh_tunnel*)(start + MESH_TUNNEL_OFFSET);
  if (wire->vxlan_flags != MESH_VXLAN_FLAGS || !mesh_tunnel_is_known(wire)) return 1;
  *tunnel = wire->kind >> 2;
  *packet = (struct mesh_packet){};
  __be16 type = *(const __be16*)(wire + 1);
  return mesh_parse_ip(type, start + MESH_ENCAPSULATION_SIZE, end, caught->length - MESH_ENCAPSULATION_SIZE, packet) ==
         MESH_PARSED;
}

// The records and filters that the packet is about to meet.
MESH_INLINE void mesh_keep_tables(struct mesh_caught* caught, const struct mesh_packet* packet, int by_endpoint) {
  const struct mesh_config* config = mesh_settings();
  caught->flow_index = MESH_CAUGHT_NO_SET;
  if (!config || !packet->has_ports) return;
  const struct mesh_address* client = by_endpoint ? &packet->destination : &packet->source;
  __be16 port = by_endpoint ? packet->destination_port : packet->source_port;
  __u64 hash = mesh_flow_hash(client, port, packet->protocol, config->flow_seed);
  const struct mesh_filter* filter = mesh_filter_of(mesh_flow_tag(hash));
  const struct mesh_flow_set* set = mesh_flow_set_of(config, hash);
  if (!filter || !set) return;
  caught->filter = *filter;
  caught->filter_index = MESH_FILTER_BIT(mesh_flow_tag(hash)) >> 6;
  const __u32* from = set->tag;
  __u32* to = (__u32*)caught->flows;
  MESH_NO_UNROLL
  for (__u32 i = 0; i < sizeof(caught->flows) / sizeof(__u32); i++) to[i] = from[i];
  caught->flow_index = mesh_flow_set_index(hash, config->flow_mask);
}

MESH_INLINE struct mesh_caught* mesh_catch_begin(__u32 program, __u32 ifindex, __u32 length) {
  __u32 key = 0;
  struct mesh_caught* caught = bpf_map_lookup_elem(&mesh_catch_room, &key);
  if (!caught) return 0;
  caught->program = program;
  caught->ifindex = ifindex;
  caught->length = length;
  caught->gso_size = 0;
  __builtin_memset(caught->bytes, 0, sizeof(caught->bytes));
  return caught;
}

// Bytes of a frame that are kept. The verifier does not see the bound: callers compare again.
MESH_INLINE __u32 mesh_catch_size(__u32 length) {
  __u32 size = length;
  if (size > MESH_CAUGHT_BYTES) size = MESH_CAUGHT_BYTES;
  MESH_OPAQUE(size);
  return size;
}

// What is in `bytes` is the frame's head.
MESH_INLINE void mesh_catch_end(struct mesh_caught* caught) {
  __u32 key = 0;
  const struct mesh_catch* wanted = bpf_map_lookup_elem(&mesh_catch_wanted, &key);
  struct mesh_packet packet = {};
  int tunnel = 0;
  if (!wanted || !mesh_read_caught(caught, &packet, &tunnel)) return;
  MESH_OPAQUE(tunnel);
  if ((tunnel && !wanted->in_tunnel) || !mesh_is_wanted(wanted, &packet)) return;
  mesh_keep_tables(caught, &packet, caught->program == MESH_CAUGHT_FROM_ENDPOINT);
  bpf_ringbuf_output(&mesh_catch_ring, caught, sizeof(*caught), 0);
}

// ---- at the entry of a program: `data` is the kernel's, `linear` bytes of the packet are there

MESH_INLINE int mesh_catch_entry(struct mesh_caught* caught, const void* data, __u32 linear) {
  __u32 size = mesh_catch_size(linear);
  caught->captured = size;
  if (size > MESH_CAUGHT_BYTES) return 0;
  if (!bpf_probe_read_kernel(caught->bytes, size, data)) mesh_catch_end(caught);
  return 0;
}

SEC("fentry/mesh_uplink_xdp")
int mesh_catch_xdp(const __u64* arguments) {
  const struct xdp_buff* xdp = (const struct xdp_buff*)arguments[0];
  __u32 length = (__u32)((long)xdp->data_end - (long)xdp->data);
  struct mesh_caught* caught = mesh_catch_begin(MESH_CAUGHT_BY_XDP, (__u32)xdp->rxq->dev->ifindex, length);
  return caught ? mesh_catch_entry(caught, xdp->data, length) : 0;
}

MESH_INLINE int mesh_catch_skb_entry(const __u64* arguments, __u32 program) {
  const struct sk_buff* skb = (const struct sk_buff*)arguments[0];
  struct mesh_caught* caught = mesh_catch_begin(program, (__u32)skb->dev->ifindex, skb->len);
  if (!caught) return 0;
  struct skb_shared_info* shared = (struct skb_shared_info*)(skb->head + skb->end);
  caught->gso_size = BPF_CORE_READ(shared, gso_size);
  return mesh_catch_entry(caught, skb->data, skb->len - skb->data_len);
}

SEC("fentry/mesh_uplink_tc")
int mesh_catch_tc(const __u64* arguments) { return mesh_catch_skb_entry(arguments, MESH_CAUGHT_BY_TC); }

SEC("fentry/mesh_endpoint_tc")
int mesh_catch_endpoint(const __u64* arguments) { return mesh_catch_skb_entry(arguments, MESH_CAUGHT_FROM_ENDPOINT); }

// ---- before a program

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 1);
} mesh_catch_next SEC(".maps");

MESH_INLINE int mesh_catch_skb(struct __sk_buff* skb, __u32 program) {
  struct mesh_caught* caught = mesh_catch_begin(program, skb->ifindex, skb->len);
  if (!caught) return TC_ACT_UNSPEC;
  caught->gso_size = skb->gso_size;
  __u32 size = mesh_catch_size(skb->len);
  caught->captured = size;
  if (size < MESH_ETH_SIZE || size > MESH_CAUGHT_BYTES) return TC_ACT_UNSPEC;
  if (!bpf_skb_load_bytes(skb, 0, caught->bytes, size)) mesh_catch_end(caught);
  return TC_ACT_UNSPEC;
}

// Tagged frames mesh_uplink_tc leaves alone.
SEC("tc")
int mesh_before_tc(struct __sk_buff* skb) {
  if (skb->vlan_present && (skb->vlan_tci & MESH_VLAN_ID)) return TC_ACT_UNSPEC;
  return mesh_catch_skb(skb, MESH_CAUGHT_BY_TC);
}

SEC("tc")
int mesh_before_endpoint(struct __sk_buff* skb) { return mesh_catch_skb(skb, MESH_CAUGHT_FROM_ENDPOINT); }

// In the place of mesh_uplink_xdp. What cannot be passed on to it mesh_uplink_tc takes.
SEC("xdp")
int mesh_before_xdp(struct xdp_md* context) {
  __u32 length = (__u32)bpf_xdp_get_buff_len(context);
  struct mesh_caught* caught = mesh_catch_begin(MESH_CAUGHT_BY_XDP, context->ingress_ifindex, length);
  if (caught) {
    __u32 size = mesh_catch_size(length);
    caught->captured = size;
    if (size >= MESH_ETH_SIZE && size <= MESH_CAUGHT_BYTES && !bpf_xdp_load_bytes(context, 0, caught->bytes, size)) {
      mesh_catch_end(caught);
    }
  }
  bpf_tail_call(context, &mesh_catch_next, 0);
  return XDP_PASS;
}

char mesh_license[] SEC("license") = "Dual BSD/GPL";
