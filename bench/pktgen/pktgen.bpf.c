// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// mesh-pktgen's generator and its counter of answers. The generator is run by BPF_PROG_TEST_RUN with live frames
// (kernel 5.18): each run turns the test frame into a real packet that leaves through `ifindex`.
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bench/pktgen/probe.h"

struct pktgen_config {
  struct probe_shape shape;
  __u32 ifindex;  // where probes leave
  __u32 flows;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct pktgen_config);
} config SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct probe_counts);
} counts SEC(".maps");

__be16 order[PROBE_FLOWS_MAX];  // source ports, in the order in which flows have their turn
__u64 sequence = 0;

static __always_inline int generate(struct xdp_md* context, const struct pktgen_config* settings) {
  __u8* data = (__u8*)(long)context->data;
  const __u8* end = (__u8*)(long)context->data_end;
  if (settings->flows == 0 || data + PROBE_BYTES_MIN > end) return XDP_ABORTED;
  // Recycled pages keep the forwarder's edits. Eight bytes at a time: byte by byte would cost more than the rest.
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 7; i++)((__u64*)data)[i] =
      ((const __u64*)settings->shape.head)[i];
  *(__u32*)(data + 56) = *(const __u32*)(settings->shape.head + 56);
  const __u32 flow = (__u32)(sequence++ % settings->flows);
  probe_stamp(data, &settings->shape, order[flow & (PROBE_FLOWS_MAX - 1)], bpf_ktime_get_ns());
  return bpf_redirect(settings->ifindex, 0);
}

// Answers to datagrams end here. Those to a SYN go on: this host's kernel, which knows of no connection, resets it, so
// that the server is not left with half of one.
static __always_inline int count_answers(struct xdp_md* context, const struct pktgen_config* settings) {
  const __u32 key = 0;
  struct probe_counts* found = bpf_map_lookup_elem(&counts, &key);
  if (!found) return XDP_PASS;
  __u64 elapsed_ns = 0;
  const enum probe_kind kind = probe_answer((__u8*)(long)context->data, (__u8*)(long)context->data_end,
                                            &settings->shape, bpf_ktime_get_ns(), &elapsed_ns);
  probe_count(found, kind, elapsed_ns);
  return kind == PROBE_ANSWERED && settings->shape.protocol == PROBE_UDP ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int pktgen(struct xdp_md* context) {
  const __u32 key = 0;
  const struct pktgen_config* settings = bpf_map_lookup_elem(&config, &key);
  if (!settings) return XDP_PASS;
  // A test run comes from the loopback interface.
  const int came = context->ingress_ifindex == settings->ifindex;
  return came ? count_answers(context, settings) : generate(context, settings);
}

char _license[] SEC("license") = "Dual BSD/GPL";
