// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Internet checksums (RFC 1071) and their incremental update (RFC 1624, equation 3): HC' = ~(~HC + ~m + m').
// A "difference" is an unfolded ones'-complement sum of (~old + new); differences add up in 64 bits without overflow.
#pragma once

#include "bpf/lib/address.h"

MESH_INLINE __u16 mesh_fold(__u64 sum) {
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return (__u16)sum;
}

// For helpers that take a 32-bit difference.
MESH_INLINE __u32 mesh_fold32(__u64 sum) {
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffffffu) + (sum >> 32);
  return (__u32)sum;
}

MESH_INLINE __u64 mesh_difference16(__u16 old_value, __u16 new_value) { return (__u64)(__u16)~old_value + new_value; }

MESH_INLINE __u64 mesh_difference32(__u32 old_value, __u32 new_value) { return (__u64)(__u32)~old_value + new_value; }

// Of the parts of an address that are on the wire. The family does not change.
MESH_INLINE __u64 mesh_difference_address(const struct mesh_address* old_value, const struct mesh_address* new_value) {
  return mesh_difference32(old_value->word[0], new_value->word[0]) +
         mesh_difference32(old_value->word[1], new_value->word[1]) +
         mesh_difference32(old_value->word[2], new_value->word[2]) +
         mesh_difference32(old_value->word[3], new_value->word[3]);
}

// How a checksum is in its packet: complete, or as the sum of the pseudo-header only, to which a NIC will add the rest
// and which it will invert.
#define MESH_CHECKSUM_COMPLETE 0xffffu
#define MESH_CHECKSUM_PARTIAL 0u
MESH_INLINE __u16 mesh_checksum_update_form(__u16 checksum, __u64 difference, __u16 form) {
  return (__u16)(mesh_fold((__u16)(checksum ^ form) + difference) ^ form);
}

MESH_INLINE __u16 mesh_checksum_update(__u16 checksum, __u64 difference) {
  return mesh_checksum_update_form(checksum, difference, MESH_CHECKSUM_COMPLETE);
}

// UDP: zero means "no checksum" and stays; a computed zero is sent as all ones (RFC 768).
MESH_INLINE __u16 mesh_checksum_update_udp(__u16 checksum, __u64 difference, __u16 form) {
  if (checksum == 0) return 0;
  __u16 updated = mesh_checksum_update_form(checksum, difference, form);
  return updated == 0 ? 0xffff : updated;
}

// Unfolded sum over an even number of bytes, a compile-time constant, all of which must be readable.
MESH_INLINE __u64 mesh_sum(const void* start, __u32 bytes) {
  const __u8* byte = (const __u8*)start;
  __u64 sum = 0;
  MESH_UNROLL
  for (__u32 i = 0; i < bytes; i += 2) sum += (__u64)byte[i] | ((__u64)byte[i + 1] << 8);
  return sum;
}

// CRC-32C (RFC 9260, appendix A) goes on over four bytes as they lie in memory. It begins with all ones and is inverted
// in the end. Bit by bit: only for what the mesh itself says, which is short.
MESH_INLINE __u32 mesh_crc32c(__u32 crc, __u32 word) {
  crc ^= word;
  MESH_NO_UNROLL
  for (__u32 bit = 0; bit < 32; bit++) {
    crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1u)));
    MESH_OPAQUE(crc);
  }
  return crc;
}
