// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The tables of the floor program (bench/floor.bpf.c). Valid C and C++.
#pragma once

#include <linux/types.h>

#define FLOOR_SLOTS 256u  // of every ring
#define FLOOR_SLOTS_PER_CHUNK 64u
#define FLOOR_OUTER 50u      // Ethernet, IPv4, UDP, VXLAN
#define FLOOR_INNER_ETH 14u  // written anew

// By (UDP << 16 | port), port in host order.
struct floor_service {
  __u32 chunk;     // of slots 0..63; the others follow
  __u32 backends;  // first in floor_backends, plus 1; 0: not published
};
struct floor_chunk {
  __u8 slot[FLOOR_SLOTS_PER_CHUNK];
};
struct floor_backend {
  __u32 node;
  __u32 reserved;
};
struct floor_node {
  __u8 header[FLOOR_OUTER + FLOOR_INNER_ETH];  // lengths are zero, and the checksum is that of such a header
};
struct floor_traffic {
  __u64 packets;
  __u64 bytes;
};
