// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Maximum segment size: what the sender of a SYN, or of the answer to one, takes in a segment (RFC 9293 §3.7.1, RFC
// 6691). Senders are told by ICMP what does not fit into the tunnel; but firewalls drop that, and then nothing of more
// than a few lines arrives. So the ends agree on segments that fit in the first place.
#pragma once

#include "bpf/lib/checksum.h"
#include "bpf/lib/packet.h"

#define MESH_TCP_SIZE_MAX 60u
#define MESH_TCP_OPTIONS_MAX (MESH_TCP_SIZE_MAX - 20u)  // of a byte each

// Where in a TCP header of `size` bytes, a whole number of options included, the value of the option is; 0: it has
// none, or what is before it contradicts itself.
MESH_INLINE __u32 mesh_find_mss(const __u8* tcp, __u32 size) {
  __u32 at = sizeof(struct mesh_tcp);
  if (size > MESH_TCP_SIZE_MAX) return 0;
  // The verifier does not know that, so that to it every option begins anywhere, and a loop's turns are all one to it:
  // 40 instead of one for every way to get there.
  __u32 zero = (__u32)(tcp[12] >> 4) * 4 - size;
  MESH_NO_UNROLL
  for (__u32 i = 0; i < MESH_TCP_OPTIONS_MAX; i++) {
    at += zero;
    // Before Linux 6.8 the verifier learns nothing from a comparison with a number that it does not know.
    if (at >= size || at > MESH_TCP_SIZE_MAX - 2) return 0;
    __u8 kind = tcp[at];
    if (kind == 0) return 0;  // end of the list
    if (kind == 1) {          // padding
      at++;
      continue;
    }
    if (at + 1 >= size) return 0;
    __u32 length = tcp[at + 1];
    if (length < 2 || at + length > size) return 0;
    if (kind == 2) return length == 4 ? at + 2 : 0;
    at += length;
  }
  return 0;
}

struct mesh_clamp {
  __u64 difference;  // to the transport checksum
  __u32 at;          // of the value in the TCP header; 0: nothing is to be changed
  __be16 value;
};

// The option in a header that was found whole (mesh_find_mss()), if it says more than `mss_max`.
MESH_INLINE struct mesh_clamp mesh_clamp_mss(const __u8* tcp, __u32 size, __u32 mss_max) {
  struct mesh_clamp clamp = {};
  __u32 at = mesh_find_mss(tcp, size);
  if (at < sizeof(struct mesh_tcp) || at > MESH_TCP_SIZE_MAX - 2) return clamp;
  __u16 before = (__u16)(tcp[at] << 8 | tcp[at + 1]);
  if (before <= mss_max) return clamp;
  __u16 old_word = mesh_be16(before);
  __u16 new_word = mesh_be16((__u16)mss_max);
  clamp.at = at;
  clamp.value = new_word;
  // The checksum is over words from the header's start; at an odd place the value is in the halves of two.
  clamp.difference =
      at & 1 ? mesh_difference16(mesh_swap16(old_word), mesh_swap16(new_word)) : mesh_difference16(old_word, new_word);
  return clamp;
}
