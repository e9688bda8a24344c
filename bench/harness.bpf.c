// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Runs a program under test many times in one BPF_PROG_TEST_RUN: a test run with repeat > 1 does not restore the
// packet, so an encapsulating program would measure its own output. Each run puts the packet back, varies the flow, and
// tail-calls the program. The figure of the `stub` program is the harness's own cost.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME_MAX 144
#define OUTER_SIZE 50  // MESH_OUTER_SIZE

enum vary { VARY_NONE = 0, VARY_SET = 1, VARY_ALL = 2 };

struct harness_config {
  __u8 frame[FRAME_MAX];
  __u32 length;      // of the frame: a multiple of 8
  __u32 vary;        // enum vary
  __u32 flows;       // VARY_SET: a power of two, visited in pseudo-random order
  __u32 address_at;  // offset of the four bytes of the client's address that vary
  __u32 port_at;     // offset of the client's port
  // Of a flow's number also follow, if wanted: its service, and whether its slot is moved.
  __u32 services;       // published ports that are asked in turn; 0: only the frame's
  __u32 service_first;  // their first
  __u32 service_at;     // offset of the published port
  __u32 moved_at;       // offset of the tunnel header's flags; 0: as in the frame
  __u32 moved_percent;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct harness_config);
} settings SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} xdp_under_test SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} tc_under_test SEC(".maps");

__u64 sequence = 0;
__u64 failed = 0;  // runs that did not reach the program: the figure is worthless if it is not 0

static __always_inline __u32 flow_number(const struct harness_config* config) {
  __u64 number = sequence++;
  // An odd multiplier visits every value of a power of two once.
  return config->vary == VARY_SET ? ((__u32)number * 0x9e3779b1u) & (config->flows - 1) : (__u32)number;
}

// Eight bytes at a time: packets are not known to be aligned, and byte by byte the copy would cost more than the
// program.
#define COPY(bytes)                                                                           \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < (bytes) / 8; i++)((__u64*)data)[i] = \
      ((const __u64*)config->frame)[i]

static __always_inline int write_frame(const struct harness_config* config, __u8* data, const __u8* end) {
  if (data + FRAME_MAX <= end) {
    COPY(FRAME_MAX);
  } else if (data + 104 <= end) {
    COPY(104);
  } else if (data + 56 <= end) {
    COPY(56);
  } else {
    return 0;
  }
  if (config->vary == VARY_NONE) return 1;
  __u32 flow = flow_number(config);
  __u8* address = data + (config->address_at & 127);
  __u8* port = data + (config->port_at & 127);
  if (address + 4 > end || port + 2 > end) return 0;
  *(__be32*)address = bpf_htonl(0x0b000000u + (flow >> 15));
  *(__be16*)port = bpf_htons((__u16)(1024 + (flow & 0x7fff)));
  // The high half of a product is a fraction of the number: as good as a remainder, and no division.
  const __u64 scattered = flow * 0x85ebca6bu;
  if (config->services) {
    __u8* service = data + (config->service_at & 127);
    if (service + 2 > end) return 0;
    *(__be16*)service = bpf_htons((__u16)(config->service_first + ((scattered * config->services) >> 32)));
  }
  if (config->moved_at) {
    __u8* flags = data + (config->moved_at & 127);
    if (flags + 1 > end) return 0;
    *flags = ((scattered * 100) >> 32) < config->moved_percent;
  }
  return 1;
}

SEC("xdp")
int harness_xdp(struct xdp_md* context) {
  const __u32 key = 0;
  const struct harness_config* config = bpf_map_lookup_elem(&settings, &key);
  if (!config) return XDP_ABORTED;
  long length = (long)context->data_end - (long)context->data;
  asm volatile("" : "+r"(length));  // or clang subtracts the pointers in 32 bits, which the verifier refuses
  int delta = (int)length - (int)config->length;
  if (delta && bpf_xdp_adjust_head(context, delta)) goto broken;
  if (write_frame(config, (__u8*)(long)context->data, (__u8*)(long)context->data_end)) {
    bpf_tail_call(context, &xdp_under_test, 0);
  }
broken:
  failed++;
  return XDP_ABORTED;
}

SEC("tc")
int harness_tc(struct __sk_buff* skb) {
  const __u32 key = 0;
  const struct harness_config* config = bpf_map_lookup_elem(&settings, &key);
  if (config && skb->len == config->length && write_frame(config, (__u8*)(long)skb->data, (__u8*)(long)skb->data_end)) {
    bpf_tail_call(skb, &tc_under_test, 0);
  }
  failed++;
  return -1;
}

SEC("xdp")
int stub_xdp(struct xdp_md* context) {
  (void)context;
  return XDP_TX;
}

// A program that changes the packet's size makes the harness change it back, which is the harness's own cost. A stub
// that does the same and nothing else costs two changes more than one that does not: half of that is subtracted.
SEC("xdp")
int stub_grow_xdp(struct xdp_md* context) { return bpf_xdp_adjust_head(context, -OUTER_SIZE) ? XDP_ABORTED : XDP_TX; }

SEC("xdp")
int stub_shrink_xdp(struct xdp_md* context) { return bpf_xdp_adjust_head(context, OUTER_SIZE) ? XDP_ABORTED : XDP_TX; }

SEC("tc")
int stub_tc(struct __sk_buff* skb) {
  (void)skb;
  return 0;
}

// What making room in front of an skb costs, and taking it away: in a burst, and one by one.
SEC("tc")
int room_tc(struct __sk_buff* skb) {
  if (bpf_skb_adjust_room(skb, OUTER_SIZE, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO)) return TC_ACT_SHOT;
  return bpf_skb_adjust_room(skb, -OUTER_SIZE, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO) ? TC_ACT_SHOT
                                                                                           : TC_ACT_REDIRECT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
