// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where a mesh packet goes when this host has no record of its flow: rules 3 to 5 of the flow consistency algorithm
// (docs/adr, "flow consistency"). Pure: the slot's row as this host knows it goes in, the next step comes out.
#pragma once

#include "bpf/lib/tunnel.h"

// This host's view of the packet's slot, at its own ring version.
struct mesh_view {
  __u32 version;
  __u16 self;
  __u16 owner_node;  // 0: the slot has no owner
  __u16 prev_node;   // host of the previous owner; 0: none
  __u16 binding;     // of the owner, on owner_node
  __u8 owner;        // index in the service's backend list
  __u8 moved;
  __u8 count;  // of hosts
  __u16 host[MESH_ROW_HOSTS_MAX];
};

enum mesh_step {
  MESH_STEP_CREATE = 0,  // the record is made here, for the header's binding; without one the packet is refused
  MESH_STEP_SEND = 1,    // to the host `*next`, with the header as it is now
  MESH_STEP_FAIL = 2,    // nobody knows the flow
};

MESH_INLINE int mesh_version_newer(__u32 left, __u32 right) { return (__s32)(left - right) > 0; }

// Puts this host's row into the header, as an entry would. Rule 3, and the stamping at the entry itself. In a slot
// without an owner the walk begins and ends at the entry host, which refuses what nobody knows.
MESH_INLINE void mesh_stamp(struct mesh_header* header, const struct mesh_view* view) {
  if (header->ring_version != view->version) header->mixed = 1;
  header->ring_version = view->version;
  header->backend = view->owner;
  header->binding = view->binding;
  header->moved = view->moved;
  header->stop = view->owner_node ? view->owner_node : header->entry;
  header->prev = 0;
  header->stage = MESH_STAGE_ENTRY;
}

// A flow's backend may be chosen before its walk: by where its client belongs, or as the entry host's own. The record
// is then made at `stop`, which chose, for the header's binding, whatever the rings say; the other hosts are only asked
// whether they know the flow. The header names no backend, because the rings have no part in it.
MESH_INLINE void mesh_choose(struct mesh_header* header, __u16 self, __u16 binding) {
  header->binding = binding;
  header->backend = MESH_SLOT_NONE;
  header->stop = self;
  header->prev = 0;
  header->stage = MESH_STAGE_CIRCLE;
  header->moved = 1;
}

MESH_INLINE int mesh_is_chosen(const struct mesh_header* header) {
  return header->backend == MESH_SLOT_NONE && header->binding != 0;
}

// The host of (F + owner) that follows `from` in cyclic order of node numbers, before `stop` comes round again; 0:
// none. Hosts in `skip` are passed over.
MESH_INLINE __u16 mesh_next_host(const struct mesh_view* view, __u16 from, __u16 stop, __u16 skip) {
  __u32 best = MESH_NODES_MAX;  // distance from `from`
  __u32 limit = ((__u32)stop - from) & (MESH_NODES_MAX - 1);
  __u16 found = 0;
  if (limit == 0) limit = MESH_NODES_MAX;
  MESH_NO_UNROLL
  for (__u32 i = 0; i <= MESH_ROW_HOSTS_MAX; i++) {
    __u16 host = view->owner_node;
    if (i < MESH_ROW_HOSTS_MAX) host = i < view->count ? view->host[i] : 0;
    __u32 distance = ((__u32)host - from) & (MESH_NODES_MAX - 1);
    if (host == 0 || host == skip || distance == 0 || distance >= limit || distance >= best) continue;
    best = distance;
    found = host;
  }
  return found;
}

// Rule 4: an established TCP flow, unknown here. At the end of the circle the owner's host delivers all the same: its
// container's kernel answers with the reset that the client needs.
MESH_INLINE int mesh_walk_established(struct mesh_header* header, const struct mesh_view* view, __u16* next) {
  int same = header->ring_version == view->version;
  if (header->stop == view->self && (header->stage == MESH_STAGE_CREATE || (same && !view->moved))) {
    return MESH_STEP_CREATE;
  }
  *next = header->stage == MESH_STAGE_CREATE ? 0 : mesh_next_host(view, view->self, header->stop, 0);
  if (*next) {
    header->stage = MESH_STAGE_CIRCLE;
    return MESH_STEP_SEND;
  }
  if (header->mixed) return MESH_STEP_FAIL;
  if (header->stop == view->self) return MESH_STEP_CREATE;
  header->stage = MESH_STAGE_CREATE;
  *next = header->stop;
  return MESH_STEP_SEND;
}

// The owner's host makes the record for the header's backend. If it is exactly one version behind and owns the slot by
// its own ring too (the slot moves between two of its backends), it is its own prev: for its own owner, because packets
// that entered by the old ring are still delivered to that one without a look-up.
MESH_INLINE int mesh_create_as_owner(struct mesh_header* header, const struct mesh_view* view) {
  if (mesh_is_chosen(header)) return MESH_STEP_CREATE;
  if (view->owner_node == view->self && header->ring_version == view->version + 1) {
    header->binding = view->binding;
    header->backend = view->owner;
  }
  return MESH_STEP_CREATE;
}

// Rule 5: a SYN or UDP packet, unknown here: the circle without prev, then prev, then the owner creates.
MESH_INLINE int mesh_walk_beginning(struct mesh_header* header, const struct mesh_view* view, __u16* next) {
  __u16 from = view->self;
  if (header->stage == MESH_STAGE_CREATE) {
    return header->stop == view->self ? mesh_create_as_owner(header, view) : MESH_STEP_FAIL;
  }
  if (header->stage == MESH_STAGE_PREV) {
    if (view->owner_node == view->self && header->ring_version == view->version + 1) {
      return mesh_create_as_owner(header, view);
    }
    header->stage = MESH_STAGE_CREATE;
    *next = header->stop;
    return MESH_STEP_SEND;
  }
  if (header->stage == MESH_STAGE_ENTRY) {
    // Here is the owner's host, as the packet was stamped. One that is itself behind names its own owner as prev.
    header->prev = mesh_version_newer(header->ring_version, view->version) ? view->owner_node : view->prev_node;
    if (header->prev == header->stop) header->prev = 0;
    header->stage = MESH_STAGE_CIRCLE;
    from = header->stop;
  }
  *next = mesh_next_host(view, from, header->stop, header->prev);
  if (*next) return MESH_STEP_SEND;
  if (header->prev) {
    header->stage = MESH_STAGE_PREV;
    *next = header->prev;
    return MESH_STEP_SEND;
  }
  if (header->stop == view->self) return mesh_create_as_owner(header, view);
  header->stage = MESH_STAGE_CREATE;
  *next = header->stop;
  return MESH_STEP_SEND;
}

// One step for a packet whose flow this host does not know. Rule 3: a newer host restarts the walk from its own row.
// Not of a flow whose backend is chosen: of two of its packets one could come to the rings' owner, and the other to
// that.
MESH_INLINE int mesh_walk(struct mesh_header* header, const struct mesh_view* view, int begins, __u16* next) {
  if (header->ring_version != view->version) header->mixed = 1;
  if (mesh_version_newer(view->version, header->ring_version) && !mesh_is_chosen(header)) {
    mesh_stamp(header, view);
    if (header->stop != view->self) {
      *next = header->stop;
      return MESH_STEP_SEND;
    }
  }
  return begins ? mesh_walk_beginning(header, view, next) : mesh_walk_established(header, view, next);
}
