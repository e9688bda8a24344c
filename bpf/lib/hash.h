// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Hashes of flows. Multiply-and-fold mixing: a few cycles, no table, no helper call.
#pragma once

#include "bpf/lib/address.h"

// Every host must place a flow in the same slot, so this seed is part of the ABI.
#define MESH_RING_SEED 0x6d657368726f7574ull

// Finalizer of MurmurHash3 (public domain): every input bit changes every output bit.
MESH_INLINE __u64 mesh_mix(__u64 x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  x ^= x >> 33;
  return x;
}

MESH_INLINE __u64 mesh_pair(__u32 low, __u32 high) { return (__u64)low | ((__u64)high << 32); }

// Of two addresses, two ports and one more number. IPv4 pairs take the short way.
MESH_INLINE __u64 mesh_hash(const struct mesh_address* left, const struct mesh_address* right, __be16 left_port,
                            __be16 right_port, __u32 extra, __u64 seed) {
  __u64 ports = mesh_pair((__u32)left_port | ((__u32)right_port << 16), extra);
  __u64 hash = mesh_mix(mesh_pair(left->word[3], right->word[3]) ^ seed);
  if (!mesh_address_is_v4(left) || !mesh_address_is_v4(right)) {
    hash = mesh_mix(hash ^ mesh_pair(left->word[0], left->word[1]));
    hash = mesh_mix(hash ^ mesh_pair(right->word[0], right->word[1]));
    hash = mesh_mix(hash ^ mesh_pair(left->word[2], right->word[2]));
  }
  return mesh_mix(hash ^ (ports * 0x9e3779b97f4a7c15ull));
}

// Of a client's flow, the same on every host: its top bits are the slot in the service's ring.
MESH_INLINE __u64 mesh_ring_hash(const struct mesh_address* client, const struct mesh_address* original,
                                 __be16 client_port, __be16 original_port, __u8 protocol) {
  return mesh_hash(client, original, client_port, original_port, protocol, MESH_RING_SEED);
}

// Of a client's address towards a published port, whichever host it enters: for services that keep a client's backend.
MESH_INLINE __u64 mesh_affinity_hash(const struct mesh_address* client, __be16 original_port, __u8 protocol) {
  const struct mesh_address none = {{0, 0, 0, 0}};
  return mesh_hash(client, &none, 0, original_port, protocol, MESH_RING_SEED);
}

MESH_INLINE __u32 mesh_ring_slot(__u64 hash, __u32 log2) { return (__u32)(hash >> (64 - log2)); }
