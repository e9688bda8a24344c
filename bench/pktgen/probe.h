// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A probe: one packet of a generator that carries the time it was sent at, so that its answer tells how long it took
// and nobody has to remember anything. Valid C and C++; the BPF generator and the ones of user space run the same code.
//   UDP      the time is the payload; whoever answers sends it back (an echo)
//   TCP SYN  the time is the sequence number, in units of 64 ns; the answer acknowledges it plus one
#pragma once

#include <linux/types.h>

#include "bpf/lib/checksum.h"

#define PROBE_ETH 14u
#define PROBE_IP 20u
#define PROBE_BYTES_MIN 60u    // the smallest frame without its checksum: what is written anew for each probe
#define PROBE_BYTES_MAX 1514u  // what is behind the first sixty is zero
#define PROBE_ANSWER_MIN 54u   // headers of TCP; headers of UDP, time and mark
#define PROBE_FLOWS_MAX 65536u
#define PROBE_MARK 0x6d657368u  // "mesh": a datagram that is an answer
#define PROBE_TCP 6
#define PROBE_UDP 17
#define PROBE_SYN 0x02
#define PROBE_RST 0x04
#define PROBE_ACK 0x10
#define PROBE_TICK_BITS 6  // of a TCP sequence number: it returns after 275 s

// Ethernet headers leave IP at an even address, no more.
#define PROBE_WIRE __attribute__((packed, aligned(2)))

struct probe_ip {
  __u8 version;  // and length of the header
  __u8 service;
  __be16 length, id, fragment;
  __u8 hops, protocol;
  __be16 checksum;
  __be32 source, target;
} PROBE_WIRE;

struct probe_udp {
  __be16 source, target, length, checksum;
  __u64 time_ns;  // of the sender's clock
  __be32 mark;
} PROBE_WIRE;

struct probe_tcp {
  __be16 source, target;
  __be32 sequence, acknowledged;
  __u8 offset, flags;
  __be16 window, checksum, urgent;
} PROBE_WIRE;

// What all probes of a run have in common.
struct probe_shape {
  __u8 head[64];  // the first sixty bytes, without what probe_stamp() writes
  __u64 sum;      // TCP: checksum so far, not folded
  __be32 source, target;
  __be16 target_port;
  __u8 protocol;
  __u8 reserved[5];
};

// The head is there; makes it the probe of one flow. now_ns: any clock that the answers are held against.
MESH_INLINE void probe_stamp(__u8* frame, const struct probe_shape* shape, __be16 port, __u64 now_ns) {
  if (shape->protocol == PROBE_UDP) {
    struct probe_udp* udp = (struct probe_udp*)(frame + PROBE_ETH + PROBE_IP);
    udp->source = port;
    udp->time_ns = now_ns;
    return;
  }
  struct probe_tcp* tcp = (struct probe_tcp*)(frame + PROBE_ETH + PROBE_IP);
  const __be32 sequence = mesh_be32((__u32)(now_ns >> PROBE_TICK_BITS));
  tcp->source = port;
  tcp->sequence = sequence;
  tcp->checksum = (__u16)~mesh_fold(shape->sum + port + (sequence & 0xffffu) + (sequence >> 16));
}

enum probe_kind {
  PROBE_FOREIGN,   // no answer to a probe
  PROBE_ANSWERED,  // the datagram came back; SYN and ACK
  PROBE_REFUSED,   // RST
};

MESH_INLINE enum probe_kind probe_tcp_answer(const struct probe_tcp* tcp, __u64 now_ns, __u64* elapsed_ns) {
  const __u32 sent = mesh_swap32(tcp->acknowledged) - 1;
  *elapsed_ns = (__u64)((__u32)(now_ns >> PROBE_TICK_BITS) - sent) << PROBE_TICK_BITS;
  if (tcp->flags & PROBE_RST) return PROBE_REFUSED;
  return (tcp->flags & (PROBE_SYN | PROBE_ACK)) == (PROBE_SYN | PROBE_ACK) ? PROBE_ANSWERED : PROBE_FOREIGN;
}

// What a received frame is, and how long it took.
MESH_INLINE enum probe_kind probe_answer(const __u8* frame, const __u8* end, const struct probe_shape* shape,
                                         __u64 now_ns, __u64* elapsed_ns) {
  *elapsed_ns = 0;
  if (frame + PROBE_ANSWER_MIN > end) return PROBE_FOREIGN;
  const struct probe_ip* ip = (const struct probe_ip*)(frame + PROBE_ETH);
  if (*(const __be16*)(frame + 12) != mesh_be16(0x0800) || ip->version != 0x45) return PROBE_FOREIGN;
  if (ip->protocol != shape->protocol || ip->source != shape->target || ip->target != shape->source) {
    return PROBE_FOREIGN;
  }
  const struct probe_udp* udp = (const struct probe_udp*)(frame + PROBE_ETH + PROBE_IP);
  if (udp->source != shape->target_port) return PROBE_FOREIGN;
  if (shape->protocol == PROBE_TCP) {
    return probe_tcp_answer((const struct probe_tcp*)(frame + PROBE_ETH + PROBE_IP), now_ns, elapsed_ns);
  }
  if (udp->mark != mesh_be32(PROBE_MARK)) return PROBE_FOREIGN;
  *elapsed_ns = now_ns - udp->time_ns;
  return PROBE_ANSWERED;
}

// Times are kept in sixteen buckets for each power of two: right to 6 %.
#define PROBE_BUCKETS 1024u

struct probe_counts {
  __u64 answered, refused;
  __u64 least_ns, most_ns;  // meaningless before the first
  __u64 buckets[PROBE_BUCKETS];
};

MESH_INLINE __u32 probe_bucket(__u64 ns) {
  if (ns < 16) return (__u32)ns;
  const __u32 power = 63u - (__u32)__builtin_clzll(ns);  // 4 or more
  __u32 bucket = (power - 3) << 4 | (__u32)(ns >> (power - 4) & 15);
  MESH_OPAQUE(bucket);  // the compiler knows that it is less; the verifier wants to see it
  return bucket & (PROBE_BUCKETS - 1);
}

MESH_INLINE void probe_count(struct probe_counts* counts, enum probe_kind kind, __u64 elapsed_ns) {
  if (kind == PROBE_FOREIGN) return;
  if (counts->answered + counts->refused == 0 || elapsed_ns < counts->least_ns) counts->least_ns = elapsed_ns;
  if (elapsed_ns > counts->most_ns) counts->most_ns = elapsed_ns;
  counts->buckets[probe_bucket(elapsed_ns)]++;
  if (kind == PROBE_ANSWERED) {
    counts->answered++;
  } else {
    counts->refused++;
  }
}
