// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// A packet generator and a counting sink for one interface. The generator is run by BPF_PROG_TEST_RUN with live frames
// (kernel 5.18): each run turns the test frame into a real packet that leaves through `ifindex`. The whole header is
// written each time, because recycled pages keep the forwarder's edits.
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME_BYTES 60

struct frames_config {
  __u8 frame[64];  // Ethernet, IPv4 and UDP headers ready but for the source port
  __u32 ifindex;   // generator: where frames leave
  __u32 flows;     // generator: source ports 1024 .. 1024 + flows - 1
  __be16 port;     // sink: UDP destination port that is counted
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

SEC("xdp")
int generate(struct xdp_md* context) {
  __u8* data = (__u8*)(long)context->data;
  const __u8* end = (__u8*)(long)context->data_end;
  const __u32 key = 0;
  const struct frames_config* frames = bpf_map_lookup_elem(&config, &key);
  if (!frames || data + FRAME_BYTES > end) return XDP_ABORTED;
  __builtin_memcpy(data, frames->frame, FRAME_BYTES);
  const __u64 number = sequence++;
  *(__be16*)(data + 34) = bpf_htons((__u16)(1024 + number % (frames->flows ? frames->flows : 1)));
  return bpf_redirect(frames->ifindex, 0);
}

// Counts and drops what the generator sent, however it arrives; everything else passes.
SEC("xdp")
int sink(struct xdp_md* context) {
  const __u8* data = (__u8*)(long)context->data;
  const __u8* end = (__u8*)(long)context->data_end;
  const __u32 key = 0;
  const struct frames_config* frames = bpf_map_lookup_elem(&config, &key);
  if (!frames || data + 42 > end) return XDP_PASS;
  const int is_udp = *(__be16*)(data + 12) == bpf_htons(0x0800) && data[14] == 0x45 && data[23] == 17;
  if (!is_udp || *(__be16*)(data + 36) != frames->port) return XDP_PASS;
  __u64* count = bpf_map_lookup_elem(&counted, &key);
  if (count) ++*count;
  return XDP_DROP;
}

// The far end of a veth that frames are redirected into must have an XDP program or GRO, or the kernel drops them all.
SEC("xdp")
int pass(struct xdp_md* context) {
  (void)context;
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
