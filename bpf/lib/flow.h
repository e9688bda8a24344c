// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Flow records in a set-associative table. A set is one array element; readers take no lock and check again after
// copying, writers hold the set's lock (bpf/lib/lock.h).
#pragma once

#include "bpf/lib/lock.h"
#include "bpf/lib/packet.h"

// What a record is found by. forward: what the client sent. reverse: what the endpoint answers, which does not name the
// original destination but the endpoint.
struct mesh_flow_key {
  struct mesh_address client;
  struct mesh_address original;  // forward only
  __be16 client_port;            // reverse: the port that the endpoint sees
  __be16 port;                   // forward: published port; reverse: the endpoint's
  __u32 ifindex;                 // reverse only
  __u8 kind;
  __u8 protocol;
};

// What of a packet changes its flow's state.
struct mesh_segment {
  __u8 protocol;
  __u8 tcp_flags;
  __u8 has_payload;
  __u8 begins;  // a first SYN, or UDP
};

MESH_INLINE __u64 mesh_flow_hash(const struct mesh_flow_key* key, __u64 seed) {
  __u32 extra = ((__u32)key->kind << 8 | key->protocol) ^ (key->ifindex << 16 | key->ifindex >> 16);
  return mesh_hash(&key->client, &key->original, key->client_port, key->port, extra, seed);
}

MESH_INLINE __u32 mesh_flow_set_index(__u64 hash, __u32 mask) { return (__u32)hash & mask; }
MESH_INLINE __u32 mesh_flow_tag(__u64 hash) { return (__u32)(hash >> 32); }

MESH_INLINE int mesh_flow_closed(__u8 state) {
  return (state & MESH_FLOW_RESET) ||
         (state & (MESH_FLOW_CLIENT_FIN | MESH_FLOW_ENDPOINT_FIN)) == (MESH_FLOW_CLIENT_FIN | MESH_FLOW_ENDPOINT_FIN);
}

// Ticks after which a record's key may pass to another flow. Closed: late segments are over. Unconfirmed: the client
// has given up its SYN. UDP: as long as conntrack keeps a stream.
#define MESH_FLOW_CLOSED_TICKS 8u
#define MESH_FLOW_SYN_TICKS 60u
#define MESH_FLOW_UDP_TICKS 180u

MESH_INLINE int mesh_flow_dead(const struct mesh_flow* record, __u32 now) {
  __u32 idle = now - record->seen;
  if (record->protocol == MESH_UDP) return idle > MESH_FLOW_UDP_TICKS;
  if (mesh_flow_closed(record->state)) return idle > MESH_FLOW_CLOSED_TICKS;
  return !(record->state & MESH_FLOW_CONFIRMED) && idle > MESH_FLOW_SYN_TICKS;
}

MESH_INLINE int mesh_flow_matches(const struct mesh_flow* record, const struct mesh_flow_key* key, __u32 tag) {
  if (record->tag != tag) return 0;
  // One comparison at the end instead of a branch for each field.
  __u64 difference = (__u64)(record->kind ^ key->kind) | (__u64)(record->protocol ^ key->protocol) |
                     mesh_address_difference(&record->client, &key->client);
  if (key->kind == MESH_FLOW_FORWARD) {
    difference |= (__u64)(record->client_port ^ key->client_port) | (__u64)(record->original_port ^ key->port) |
                  mesh_address_difference(&record->original, &key->original);
  } else {
    difference |= (__u64)(record->given_port ^ key->client_port) | (__u64)(record->local_port ^ key->port) |
                  (__u64)(record->ifindex ^ key->ifindex);
  }
  return difference == 0;
}

// The way of the set that holds `key`; MESH_FLOW_WAYS: none.
MESH_INLINE __u32 mesh_flow_way(const struct mesh_flow_set* set, const struct mesh_flow_key* key, __u32 tag) {
  __u32 way = MESH_FLOW_WAYS;
  if (mesh_flow_matches(&set->record[3], key, tag)) way = 3;
  if (mesh_flow_matches(&set->record[2], key, tag)) way = 2;
  if (mesh_flow_matches(&set->record[1], key, tag)) way = 1;
  if (mesh_flow_matches(&set->record[0], key, tag)) way = 0;
  MESH_OPAQUE(way);
  return way;
}

// The record of `key`, or null. Valid as long as mesh_flow_matches() still says so after what is needed was copied.
MESH_INLINE struct mesh_flow* mesh_flow_find(struct mesh_flow_set* set, const struct mesh_flow_key* key, __u32 tag) {
  __u32 way = mesh_flow_way(set, key, tag);
  return way < MESH_FLOW_WAYS ? &set->record[way] : 0;
}

// How gladly a record is given up for a new one, the highest first: free, closed, never confirmed by its client (so a
// flood of SYNs displaces itself), and then the longest idle.
MESH_INLINE __u64 mesh_flow_cost(const struct mesh_flow* record, __u32 now) {
  __u64 idle = now - record->seen;
  if (record->kind == MESH_FLOW_FREE) return 1ull << 40;
  if (mesh_flow_closed(record->state)) return (1ull << 36) + idle;
  if (!(record->state & MESH_FLOW_CONFIRMED)) return (1ull << 33) + idle;
  return idle;
}

enum mesh_claim {
  MESH_CLAIM_FRESH = 0,    // took a free or dead record
  MESH_CLAIM_EVICTED = 1,  // a live one had to go
  MESH_CLAIM_SAME = 2,     // the flow had this record already; refreshed
  MESH_CLAIM_TAKEN = 3,    // another live flow has this key; nothing was written
};

// A record with the key is another flow's when what the key does not cover differs.
MESH_INLINE int mesh_flow_same(const struct mesh_flow* left, const struct mesh_flow* right) {
  __u64 difference = (__u64)(left->client_port ^ right->client_port) |
                     (__u64)(left->original_port ^ right->original_port) | (__u64)(left->flags ^ right->flags) |
                     mesh_address_difference(&left->original, &right->original);
  return difference == 0;
}

MESH_INLINE void mesh_flow_store(struct mesh_flow* record, const struct mesh_flow* value) {
  // A reader that sees the new key must not see old contents: `kind` says "free" meanwhile.
  __u8 kind = value->kind;
  *(volatile __u8*)&record->kind = MESH_FLOW_FREE;
  mesh_barrier();
  record->client = value->client;
  record->original = value->original;
  record->client_port = value->client_port;
  record->given_port = value->given_port;
  record->original_port = value->original_port;
  record->local_port = value->local_port;
  record->ifindex = value->ifindex;
  record->binding = value->binding;
  record->entry = value->entry;
  record->protocol = value->protocol;
  record->state = value->state;
  record->flags = value->flags;
  record->seen = value->seen;
  record->ring_version = value->ring_version;
  record->tag = value->tag;
  mesh_barrier();
  *(volatile __u8*)&record->kind = kind;
}

// Finds room for `value` in its set and writes it. No function calls while the lock is held (kernel 6.1).
MESH_INLINE int mesh_flow_claim(struct mesh_flow_set* set, const struct mesh_flow_key* key,
                                const struct mesh_flow* value) {
  int outcome;
  mesh_lock(&set->lock);
  __u32 way = mesh_flow_way(set, key, value->tag);
  if (way < MESH_FLOW_WAYS) {
    const struct mesh_flow* holder = &set->record[way];
    outcome = mesh_flow_same(holder, value)         ? MESH_CLAIM_SAME
              : mesh_flow_dead(holder, value->seen) ? MESH_CLAIM_FRESH
                                                    : MESH_CLAIM_TAKEN;
  } else {
    __u64 best = mesh_flow_cost(&set->record[0], value->seen);
    way = 0;
    MESH_UNROLL
    for (__u32 other = 1; other < MESH_FLOW_WAYS; other++) {
      __u64 cost = mesh_flow_cost(&set->record[other], value->seen);
      if (cost > best) {
        best = cost;
        way = other;
      }
    }
    outcome = best < (1ull << 33) ? MESH_CLAIM_EVICTED : MESH_CLAIM_FRESH;
  }
  MESH_OPAQUE(way);
  MESH_OPAQUE(outcome);
  struct mesh_flow* record = &set->record[way & (MESH_FLOW_WAYS - 1)];
  if (outcome != MESH_CLAIM_TAKEN) mesh_flow_store(record, value);
  mesh_unlock(&set->lock);
  return outcome;
}

// The state that a packet leads to. Data reopens its sender's direction: a FIN may have been of an older connection
// with the same ports.
MESH_INLINE __u8 mesh_flow_state_after(__u8 state, int from_client, const struct mesh_segment* segment) {
  __u8 flags = segment->tcp_flags;
  __u8 fin = from_client ? MESH_FLOW_CLIENT_FIN : MESH_FLOW_ENDPOINT_FIN;
  if (!from_client) state |= MESH_FLOW_ANSWERED;
  if (segment->protocol == MESH_UDP) return (__u8)(from_client ? state | MESH_FLOW_CONFIRMED : state);
  if (from_client && (flags & MESH_TCP_SYN)) return mesh_flow_closed(state) ? 0 : state;
  if (flags & MESH_TCP_RST) return from_client ? state : (__u8)(state | MESH_FLOW_RESET);
  // An endpoint's stack sends more than SYN+ACK only after the client has finished the handshake.
  if (!(flags & MESH_TCP_SYN)) state |= MESH_FLOW_CONFIRMED;
  if (flags & MESH_TCP_FIN) return (__u8)(state | fin);
  if (segment->has_payload) return (__u8)(state & ~(fin | MESH_FLOW_RESET));
  return state;
}
