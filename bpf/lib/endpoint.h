// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Endpoints of IPv4 in lines of four (layout: bpf/abi.h): in which order lines are searched, and what an entry says.
#pragma once

#include "bpf/lib/hash.h"

// Lines are given by a state; each endpoint has a sequence of its own, so that those of full lines spread.
struct mesh_probe {
  __u32 state;
  __u32 step;
};

MESH_INLINE struct mesh_probe mesh_probe_first(__u32 vni, __be32 address) {
  __u64 hash = mesh_mix(mesh_pair(vni, address));
  struct mesh_probe probe = {(__u32)(hash >> 32), (__u32)hash | 1u};
  return probe;
}

MESH_INLINE __u32 mesh_probe_line(const struct mesh_probe* probe, __u32 lines) {
  return (__u32)((__u64)probe->state * lines >> 32);
}

MESH_INLINE void mesh_probe_next(struct mesh_probe* probe) { probe->state = probe->state * 0x9e3779b1u + probe->step; }

// Where an endpoint is, as the programs pass it on: mesh_endpoint4.place, and .ingress above it. 0: there is none.
MESH_INLINE __u32 mesh_place_ifindex(__u64 place) { return (__u32)place & MESH_ENDPOINT_FAR ? 0 : (__u32)place; }
MESH_INLINE __u16 mesh_place_node(__u64 place) { return (__u16)place; }  // of one on another host
MESH_INLINE void mesh_place_mac(__u64 place, __u8* mac) {
  __u32 ingress = (__u32)(place >> 32);
  mac[0] = 0x02;
  mac[1] = 0x42;
  __builtin_memcpy(mac + 2, &ingress, sizeof(ingress));
}
