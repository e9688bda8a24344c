// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// A packet generator and a counting sink for one interface. The generator is run by BPF_PROG_TEST_RUN with live frames
// (kernel 5.18): each run turns the test frame into a real packet that leaves through `ifindex`. The whole header is
// written each time, because recycled pages keep the forwarder's edits. It is attached to that interface too: each test
// run of a program that is attached nowhere waits for the whole machine twice (synchronize_rcu: 20 ms).
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME_BYTES 60
#define TUNNEL_BYTES 110  // the same inside VXLAN

struct frames_config {
  __u8 frame[112];  // Ethernet, IPv4 and UDP headers ready but for the source port
  __u32 ifindex;    // generator: where frames leave
  __u32 flows;      // generator: source ports 1024 .. 1024 + flows - 1
  __u32 length;     // generator: FRAME_BYTES or TUNNEL_BYTES
  __u32 port_at;    // generator: offset of the source port
  __be16 port;      // sink: UDP destination port that is counted
  __u8 reserved[6];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct frames_config);
} config SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} counted SEC(".maps");

__u64 sequence = 0;

#define COPY(bytes)                                                                           \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < (bytes) / 8; i++)((__u64*)data)[i] = \
      ((const __u64*)frames->frame)[i]

SEC("xdp")
int generate(struct xdp_md* context) {
  __u8* data = (__u8*)(long)context->data;
  const __u8* end = (__u8*)(long)context->data_end;
  const __u32 key = 0;
  const struct frames_config* frames = bpf_map_lookup_elem(&config, &key);
  if (frames && context->ingress_ifindex == frames->ifindex) return XDP_PASS;  // no test run
  if (!frames || data + FRAME_BYTES > end) return XDP_ABORTED;
  // Eight bytes at a time, and what is left: byte by byte would cost more than what is measured.
  if (data + TUNNEL_BYTES <= end) {
    COPY(TUNNEL_BYTES);
    *(__u32*)(data + 104) = *(const __u32*)(frames->frame + 104);
    *(__u16*)(data + 108) = *(const __u16*)(frames->frame + 108);
  } else {
    COPY(FRAME_BYTES);
    *(__u32*)(data + 56) = *(const __u32*)(frames->frame + 56);
  }
  const __u64 number = sequence++;
  __u8* port = data + (frames->port_at & 127);
  if (port + 2 > end) return XDP_ABORTED;
  *(__be16*)port = bpf_htons((__u16)(1024 + number % (frames->flows ? frames->flows : 1)));
  return bpf_redirect(frames->ifindex, 0);
}

static __always_inline int is_counted(const __u8* data, const __u8* end) {
  const __u32 key = 0;
  const struct frames_config* frames = bpf_map_lookup_elem(&config, &key);
  if (!frames || data + 42 > end) return 0;
  const int is_udp = *(__be16*)(data + 12) == bpf_htons(0x0800) && data[14] == 0x45 && data[23] == 17;
  if (!is_udp || *(__be16*)(data + 36) != frames->port) return 0;
  __u64* count = bpf_map_lookup_elem(&counted, &key);
  if (count) ++*count;
  return 1;
}

// Counts and drops what the generator sent, however it arrives; everything else passes.
SEC("xdp")
int sink(struct xdp_md* context) {
  return is_counted((__u8*)(long)context->data, (__u8*)(long)context->data_end) ? XDP_DROP : XDP_PASS;
}

// For an interface inside a container: packets come there as skbs, whether by a veth, a bridge or redirect_peer.
SEC("tc")
int sink_tc(struct __sk_buff* skb) {
  return is_counted((__u8*)(long)skb->data, (__u8*)(long)skb->data_end) ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
