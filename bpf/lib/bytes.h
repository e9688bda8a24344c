// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Byte order, inlining and memory: what differs between BPF and native compilation, and nothing else.
#pragma once

#include <linux/types.h>

#include "bpf/abi.h"

#define MESH_INLINE static inline __attribute__((always_inline, unused))

#ifdef __clang__
#define MESH_UNROLL _Pragma("clang loop unroll(full)")
#define MESH_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define MESH_UNROLL
#define MESH_NO_UNROLL
#endif

// Hides a value from the BPF verifier's (and the optimiser's) constant tracking: paths that differ only in it become
// one, and the program is checked once instead of once for every combination. The value itself does not change.
#define MESH_OPAQUE(lvalue)                      \
  do {                                           \
    __u64 opaque_value = (__u64)(lvalue);        \
    __asm__ volatile("" : "+r"(opaque_value));   \
    (lvalue) = (__typeof__(lvalue))opaque_value; \
  } while (0)

// A function that the verifier checks once, on its own, instead of at every call. Such a function may be called with
// null pointers as far as the verifier knows.
#define MESH_SEPARATE __attribute__((noinline))

MESH_INLINE __u16 mesh_swap16(__u16 value) { return __builtin_bswap16(value); }
MESH_INLINE __u32 mesh_swap32(__u32 value) { return __builtin_bswap32(value); }
// Both supported architectures (x86-64, arm64) are little-endian.
MESH_INLINE __be16 mesh_be16(__u16 value) { return __builtin_bswap16(value); }
MESH_INLINE __be32 mesh_be32(__u32 value) { return __builtin_bswap32(value); }

MESH_INLINE void mesh_copy_mac(__u8* to, const __u8* from) { __builtin_memcpy(to, from, 6); }

MESH_INLINE int mesh_same_mac(const __u8* left, const __u8* right) {
  __u32 difference = 0;
  for (int i = 0; i < 6; i++) difference |= (__u32)(left[i] ^ right[i]);
  return difference == 0;
}
