// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// IP addresses of both families in 16 bytes; IPv4 is IPv4-mapped (RFC 4291 §2.5.5.2).
#pragma once

#include "bpf/lib/bytes.h"

#define MESH_MAPPED_PREFIX mesh_be32(0x0000ffffu)

MESH_INLINE struct mesh_address mesh_address_v4(__be32 v4) {
  struct mesh_address address = {{0, 0, MESH_MAPPED_PREFIX, v4}};
  return address;
}

// 0 if both are equal.
MESH_INLINE __u32 mesh_address_difference(const struct mesh_address* left, const struct mesh_address* right) {
  return (left->word[0] ^ right->word[0]) | (left->word[1] ^ right->word[1]) | (left->word[2] ^ right->word[2]) |
         (left->word[3] ^ right->word[3]);
}

MESH_INLINE int mesh_address_equal(const struct mesh_address* left, const struct mesh_address* right) {
  return mesh_address_difference(left, right) == 0;
}

MESH_INLINE int mesh_address_in(const struct mesh_address* address, const struct mesh_subnet* subnet) {
  __u32 difference = 0;
  MESH_UNROLL
  for (int i = 0; i < 4; i++) difference |= (address->word[i] & subnet->mask.word[i]) ^ subnet->address.word[i];
  return difference == 0;
}

MESH_INLINE int mesh_address_is_v4(const struct mesh_address* address) {
  return (address->word[0] | address->word[1] | (address->word[2] ^ MESH_MAPPED_PREFIX)) == 0;
}

MESH_INLINE int mesh_address_is_unset(const struct mesh_address* address) {
  return (address->word[0] | address->word[1] | address->word[2] | address->word[3]) == 0;
}

// 127.0.0.0/8 and ::1.
MESH_INLINE int mesh_address_is_loopback(const struct mesh_address* address) {
  if (mesh_address_is_v4(address)) return (address->word[3] & mesh_be32(0xff000000u)) == mesh_be32(0x7f000000u);
  return address->word[0] == 0 && address->word[1] == 0 && address->word[2] == 0 && address->word[3] == mesh_be32(1);
}

// 224.0.0.0/4, 255.255.255.255 and ff00::/8.
MESH_INLINE int mesh_address_is_multicast(const struct mesh_address* address) {
  if (mesh_address_is_v4(address)) {
    return (address->word[3] & mesh_be32(0xf0000000u)) == mesh_be32(0xe0000000u) || address->word[3] == 0xffffffffu;
  }
  return (address->word[0] & mesh_be32(0xff000000u)) == mesh_be32(0xff000000u);
}

// fe80::/10.
MESH_INLINE int mesh_address_is_link_local(const struct mesh_address* address) {
  return (address->word[0] & mesh_be32(0xffc00000u)) == mesh_be32(0xfe800000u);
}
