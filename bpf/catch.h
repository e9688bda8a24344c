// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the programs of `meshctl trace --next` (catch.bpf.c) are asked for, and what they give.
#pragma once

#include "bpf/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// mesh_catch_wanted: ARRAY[1]. What is unset or 0 is any.
struct mesh_catch {
  struct mesh_address source;
  struct mesh_address destination;
  __be16 source_port;
  __be16 destination_port;
  __u8 protocol;
  __u8 in_tunnel;  // what other hosts send in the tunnel too
  __u16 reserved;
};
MESH_SIZE(struct mesh_catch, 40);

// Headers are all that decides: Ethernet and outer headers 64, IPv6 40, TCP with options 60; an ICMP error quotes less.
#define MESH_CAUGHT_BYTES 256u
#define MESH_CAUGHT_NO_SET 0xffffffffu

// mesh_catch_ring: RINGBUF. A packet as it came to a program, and what of the tables that the program is about to write
// it met there: the set of flow records that its client's address and port choose, and the word of the filters.
struct mesh_caught {
  __u32 program;     // enum mesh_catch_place
  __u32 ifindex;     // where it came in
  __u32 length;      // of the frame
  __u32 captured;    // of it in `bytes`
  __u32 gso_size;    // of a packet that stands for several; 0: it stands for itself
  __u32 flow_index;  // of the set; MESH_CAUGHT_NO_SET: the packet has no flow
  __u32 filter_index;
  __u32 reserved;
  struct mesh_filter filter;
  // struct mesh_flow_set without its lock, which only the programs may touch.
  __u8 flows[sizeof(struct mesh_flow_set) - sizeof(struct bpf_spin_lock)];
  __u8 bytes[MESH_CAUGHT_BYTES];
  __u8 padding[4];
};
MESH_SIZE(struct mesh_caught, 816);

enum mesh_catch_place { MESH_CAUGHT_BY_XDP, MESH_CAUGHT_BY_TC, MESH_CAUGHT_FROM_ENDPOINT };

#ifdef __cplusplus
}  // extern "C"
#endif
