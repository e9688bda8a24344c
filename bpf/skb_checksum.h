// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The transport checksum of an skb whose addresses or ports have changed. What is in the packet depends on ip_summed,
// which programs are not shown: two calls of helpers that know it cost more than the rest of a translation. From kernel
// 6.2 on it can be read, and the checksum is written here.
#pragma once

#include "bpf/lib/rewrite.h"

// As the kernel names them.
enum mesh_summed {
  MESH_SUMMED_NOT = 0,       // nobody has looked at the packet's checksum
  MESH_SUMMED_VERIFIED = 1,  // it was right
  MESH_SUMMED_BY_NIC = 2,    // the skb has a sum over the packet, which must be kept in step
  MESH_SUMMED_LATER = 3,     // in the packet is the pseudo-header's sum: the NIC adds the rest
  MESH_SUMMED_UNKNOWN,       // the kernel's helpers know
};

#if defined(__bpf__) && !defined(MESH_NO_KERNEL_TYPES)
#include <bpf/bpf_core_read.h>

// Parts of the kernel's types, found by name when the programs are loaded.
struct sk_buff {
  __u8 ip_summed : 2;
} __attribute__((preserve_access_index));
enum special_kfunc_type {
  KF_bpf_cast_to_kern_ctx,
};
extern void* bpf_cast_to_kern_ctx(void* context) __ksym __weak;

MESH_INLINE enum mesh_summed mesh_skb_summed(struct __sk_buff* skb) {
  if (!bpf_core_enum_value_exists(enum special_kfunc_type, KF_bpf_cast_to_kern_ctx)) return MESH_SUMMED_UNKNOWN;
  const struct sk_buff* kernel = bpf_cast_to_kern_ctx(skb);
  return (enum mesh_summed)BPF_CORE_READ_BITFIELD(kernel, ip_summed);
}
#else
MESH_INLINE enum mesh_summed mesh_skb_summed(struct __sk_buff* skb) {
  (void)skb;
  return MESH_SUMMED_UNKNOWN;
}
#endif

// Only the pseudo-header's part counts where the rest is added later.
MESH_INLINE int mesh_skb_checksum_by_kernel(struct __sk_buff* skb, const struct mesh_packet* packet, __u32 l3_offset,
                                            const struct mesh_differences* differences) {
  if (packet->protocol == MESH_SCTP) {
    if (packet->v6) bpf_csum_update(skb, mesh_fold32(differences->pseudo));  // as below
    return 0;
  }
  int tcp = packet->protocol == MESH_TCP;
  __u32 offset = l3_offset + (packet->v6 ? 40 : 20) + (tcp ? 16 : 6);
  __u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;
  __u32 pseudo = mesh_fold32(differences->pseudo);
  if (bpf_l4_csum_replace(skb, offset, 0, pseudo, flags | BPF_F_PSEUDO_HDR)) return -1;
  if (bpf_l4_csum_replace(skb, offset, 0, mesh_fold32(differences->ports), flags)) return -1;
  // With a checksum from the NIC over the whole packet the helper assumes a header checksum that balances the
  // addresses; IPv6 has none.
  if (packet->v6) bpf_csum_update(skb, pseudo);
  return 0;
}

// Of the packet whose IP header is at `l3_offset`; `l4` and `end` point into it.
MESH_INLINE int mesh_skb_checksum(struct __sk_buff* skb, const struct mesh_packet* packet, __u32 l3_offset, __u8* l4,
                                  const __u8* end, const struct mesh_differences* differences) {
  __u64 difference = differences->pseudo;
  __u16 form = MESH_CHECKSUM_PARTIAL;
  switch (mesh_skb_summed(skb)) {
    case MESH_SUMMED_LATER:
      break;
    case MESH_SUMMED_NOT:
    case MESH_SUMMED_VERIFIED:
      difference += differences->ports;
      form = MESH_CHECKSUM_COMPLETE;
      break;
    default:
      return mesh_skb_checksum_by_kernel(skb, packet, l3_offset, differences);
  }
  MESH_OPAQUE(form);
  return mesh_rewrite_checksum(l4, end, packet->protocol, difference, form);
}
