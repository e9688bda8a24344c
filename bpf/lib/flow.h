// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Flow records in a set-associative table (layout: bpf/abi.h). A set is one array element; its first cache line tells
// nearly always which record is meant, so that a look-up touches two lines. Readers take no lock and look at the tag
// again after copying, writers hold the set's lock (bpf/lib/lock.h).
#pragma once

#include "bpf/lib/lock.h"
#include "bpf/lib/packet.h"

// What one side of a flow knows of it.
struct mesh_flow_key {
  struct mesh_address client;    // as this side sees it
  struct mesh_address original;  // forward only
  __be16 client_port;            // as this side sees it
  __be16 port;                   // forward: published port; reverse: the endpoint's
  __u32 ifindex;                 // reverse only
  __u8 kind;                     // MESH_FLOW_FORWARD or MESH_FLOW_REVERSE: which side; or MESH_FLOW_AFFINITY
  __u8 protocol;
};

// What of a packet changes its flow's state.
struct mesh_segment {
  __u8 protocol;
  __u8 tcp_flags;
  __u8 has_payload;
  __u8 begins;  // a first SYN, an INIT, or UDP
};

// `seed` is secret, or outsiders could fill one set.
MESH_INLINE __u64 mesh_flow_hash(const struct mesh_address* client, __be16 client_port, __u8 protocol, __u64 seed) {
  __u64 hash = mesh_mix(mesh_pair(client->word[3], (__u32)client_port | (__u32)protocol << 16) ^ seed);
  if (mesh_address_is_v4(client)) return hash;
  return mesh_mix(mesh_mix(hash ^ mesh_pair(client->word[0], client->word[1])) ^ client->word[2]);
}

MESH_INLINE __u64 mesh_flow_key_hash(const struct mesh_flow_key* key, __u64 seed) {
  return mesh_flow_hash(&key->client, key->client_port, key->protocol, seed);
}

MESH_INLINE __u32 mesh_flow_set_index(__u64 hash, __u32 mask) { return (__u32)hash & mask; }
// Never 0, which says that a record is free.
MESH_INLINE __u32 mesh_flow_tag(__u64 hash) { return (__u32)(hash >> 32) | 1u; }

// The bits of a flow and its entry host in a word of mesh_filter.trusted. Three: with 10,000 flows in a second one of
// 270 seems to be there because of others, with 300 one of 20,000; with one bit it would be one of 26, and of 900.
MESH_INLINE __u64 mesh_trust_bits(__u32 tag, __u16 entry) {
  __u32 hash = (tag + entry * 0x9e3779b1u) * 0x85ebca6bu >> 14;
  return 1ull << (hash & 63) | 1ull << (hash >> 6 & 63) | 1ull << (hash >> 12 & 63);
}

// 0 or 1, by arithmetic: a branch here would be one for every record of a set.
MESH_INLINE __u32 mesh_flow_closed(__u32 state) {
  return (state / MESH_FLOW_RESET | (state / MESH_FLOW_CLIENT_FIN & state / MESH_FLOW_ENDPOINT_FIN)) & 1u;
}

// Ticks since the mark was made. Another CPU's clock may be a tick ahead.
MESH_INLINE __u32 mesh_flow_idle(__u32 mark, __u32 now) {
  __u32 idle = (now - MESH_FLOW_MARK_TICK(mark)) & 0xffffffu;
  return idle & ((idle >> 23) - 1u);
}

// Ticks after which a record's key may pass to another flow. Closed: late segments are over. Unconfirmed: the client
// has given up its SYN. UDP: as long as conntrack keeps a stream.
#define MESH_FLOW_CLOSED_TICKS 8u
#define MESH_FLOW_SYN_TICKS 60u
#define MESH_FLOW_UDP_TICKS 180u
// ... and after which it is removed, a little later, so that a sweep takes nothing that a packet could still need.
#define MESH_FLOW_SWEEP_TICKS 8u
#define MESH_FLOW_ESTABLISHED_TICKS 402331u  // five days, as nf_conntrack_tcp_timeout_established

MESH_INLINE __u32 mesh_flow_ticks_max(__u8 state) {
  if (state & MESH_FLOW_DATAGRAMS) return MESH_FLOW_UDP_TICKS;
  if (mesh_flow_closed(state)) return MESH_FLOW_CLOSED_TICKS;
  return state & MESH_FLOW_CONFIRMED ? MESH_FLOW_ESTABLISHED_TICKS : MESH_FLOW_SYN_TICKS;
}

MESH_INLINE int mesh_flow_dead(__u32 mark, __u32 now) {
  return mesh_flow_idle(mark, now) > mesh_flow_ticks_max(MESH_FLOW_MARK_STATE(mark));
}

MESH_INLINE int mesh_flow_due(__u32 mark, __u32 now) {
  return mesh_flow_idle(mark, now) > mesh_flow_ticks_max(MESH_FLOW_MARK_STATE(mark)) + MESH_FLOW_SWEEP_TICKS;
}

// 0: the record is found by this.
MESH_INLINE __u32 mesh_flow_differs_forward(const struct mesh_flow* record, const struct mesh_address* client,
                                            const struct mesh_address* original, __be16 client_port, __be16 port,
                                            __u8 protocol) {
  return (__u32)(record->client_port ^ client_port) | (__u32)(record->original_port ^ port) |
         (__u32)(record->protocol ^ protocol) | (~(__u32)record->kind & MESH_FLOW_FORWARD) |
         mesh_address_difference(&record->client, client) | mesh_address_difference(&record->original, original);
}

MESH_INLINE __u32 mesh_flow_differs_reverse(const struct mesh_flow* record, const struct mesh_address* client,
                                            __be16 client_port, __be16 port, __u32 ifindex, __u8 protocol) {
  return (__u32)(record->given_port ^ client_port) | (__u32)(record->local_port ^ port) | (record->ifindex ^ ifindex) |
         (__u32)(record->protocol ^ protocol) | (~(__u32)record->kind & MESH_FLOW_REVERSE) |
         mesh_address_difference(&record->client, client);
}

MESH_INLINE __u32 mesh_flow_differs_affinity(const struct mesh_flow* record, const struct mesh_address* client,
                                             __be16 port, __u8 protocol) {
  return (__u32)(record->original_port ^ port) | (__u32)(record->protocol ^ protocol) |
         (~(__u32)record->kind & MESH_FLOW_AFFINITY) | mesh_address_difference(&record->client, client);
}

MESH_INLINE int mesh_flow_matches(const struct mesh_flow* record, const struct mesh_flow_key* key) {
  if (key->kind == MESH_FLOW_AFFINITY) {
    return mesh_flow_differs_affinity(record, &key->client, key->port, key->protocol) == 0;
  }
  if (key->kind == MESH_FLOW_FORWARD) {
    return mesh_flow_differs_forward(record, &key->client, &key->original, key->client_port, key->port,
                                     key->protocol) == 0;
  }
  return mesh_flow_differs_reverse(record, &key->client, key->client_port, key->port, key->ifindex, key->protocol) == 0;
}

// The way of the set that holds `key`; MESH_FLOW_WAYS: none. What it says holds as long as the tag is still there after
// what is needed was copied.
MESH_INLINE __u32 mesh_flow_find(const struct mesh_flow_set* set, const struct mesh_flow_key* key, __u32 tag) {
  __u32 found = MESH_FLOW_WAYS;
  MESH_UNROLL
  for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
    if (set->tag[way] == tag && mesh_flow_matches(&set->record[way], key)) found = way;
    MESH_OPAQUE(found);
  }
  return found;
}

// How gladly a record is given up for a new one, the highest first: free, closed, never confirmed by its client (so a
// flood of SYNs displaces itself), and then the longest idle.
#define MESH_FLOW_COST_LIVE (1u << 24)  // below: a live flow
MESH_INLINE __u32 mesh_flow_cost(__u32 tag, __u32 mark, __u32 now) {
  __u32 idle = mesh_flow_idle(mark, now);
  __u8 state = MESH_FLOW_MARK_STATE(mark);
  __u32 confirmed = state / MESH_FLOW_CONFIRMED & 1u;
  if (tag == 0) return 4 * MESH_FLOW_COST_LIVE;
  return idle + (1u - confirmed) * MESH_FLOW_COST_LIVE + mesh_flow_closed(state) * 2 * MESH_FLOW_COST_LIVE;
}

enum mesh_claim {
  MESH_CLAIM_FRESH = 0,    // took a free or dead record
  MESH_CLAIM_EVICTED = 1,  // a live one had to go
  MESH_CLAIM_SAME = 2,     // the flow's own record, or that of a dead one which looked alike, was written again
  MESH_CLAIM_TAKEN = 3,    // another live flow looks the same to the endpoint; nothing was written
  MESH_CLAIM_AGAIN = 4,    // another CPU was quicker; nothing was written
};

// Who has what `value` wants.
MESH_INLINE int mesh_flow_conflict(const struct mesh_flow* holder, const struct mesh_flow* value) {
  __u32 forward = (~(__u32)value->kind & MESH_FLOW_FORWARD) |
                  mesh_flow_differs_forward(holder, &value->client, &value->original, value->client_port,
                                            value->original_port, value->protocol);
  __u32 reverse = (~(__u32)value->kind & MESH_FLOW_REVERSE) |
                  mesh_flow_differs_reverse(holder, &value->client, value->given_port, value->local_port,
                                            value->ifindex, value->protocol);
  __u32 affinity = (~(__u32)value->kind & MESH_FLOW_AFFINITY) |
                   mesh_flow_differs_affinity(holder, &value->client, value->original_port, value->protocol);
  if (forward == 0 || affinity == 0) return MESH_CLAIM_SAME;
  if (reverse != 0) return MESH_CLAIM_FRESH;
  // Of a flow with two records only this one's client may differ; who looks like one that is looped is another flow.
  __u32 other = (__u32)(holder->kind ^ value->kind) | ((__u32)(holder->flags ^ value->flags) & MESH_FLOW_LOOPED) |
                (__u32)(holder->client_port ^ value->client_port) |
                (__u32)(holder->original_port ^ value->original_port) |
                mesh_address_difference(&holder->original, &value->original);
  return other ? MESH_CLAIM_TAKEN : MESH_CLAIM_SAME;
}

// The ways of the set that have the tag, as bits. By arithmetic: of branches the verifier would follow all
// combinations.
MESH_INLINE __u32 mesh_flow_ways(const struct mesh_flow_set* set, __u32 tag) {
  __u32 ways = 0;
  MESH_UNROLL
  for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
    __u32 difference = set->tag[way] ^ tag;
    ways |= (~(difference | (0u - difference)) >> 31) << way;
    MESH_OPAQUE(ways);
  }
  return ways;
}

// What stands in the way of `value`: the ways that were looked at (those with its tag), and the one that it must take
// or MESH_FLOW_WAYS, above them; or MESH_FLOW_TAKEN.
#define MESH_FLOW_TAKEN 0x800u
MESH_INLINE __u32 mesh_flow_judge(const struct mesh_flow_set* set, __u32 tag, __u32 now,
                                  const struct mesh_flow* value) {
  __u32 ways = mesh_flow_ways(set, tag);
  __u32 mine = MESH_FLOW_WAYS;
  if (ways == 0) return mine << 8;
  MESH_UNROLL
  for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
    if (!(ways >> way & 1u)) continue;
    MESH_OPAQUE(value);  // read again each time, or its parts would fill the stack
    int conflict = mesh_flow_conflict(&set->record[way], value);
    // Of two that look alike to the endpoint the first stays, unless it is dead.
    if (conflict == MESH_CLAIM_TAKEN && !mesh_flow_dead(set->mark[way], now)) return MESH_FLOW_TAKEN;
    if (conflict != MESH_CLAIM_FRESH) mine = way;
    MESH_OPAQUE(mine);
  }
  return ways | mine << 8;
}

// Writes `value` with `mark` where the judgement says, or in place of the record that is missed least.
// MESH_CLAIM_AGAIN: the set has changed since. No function calls while the lock is held (kernel 6.1).
MESH_INLINE int mesh_flow_claim(struct mesh_flow_set* set, __u32 tag, __u32 mark, __u32 judgement,
                                const struct mesh_flow* value) {
  __u32 now = MESH_FLOW_MARK_TICK(mark);
  __u32 way = judgement >> 8 & 7u;
  int outcome = MESH_CLAIM_SAME;
  mesh_lock(&set->lock);
  if (mesh_flow_ways(set, tag) != (judgement & 0x7fu)) {
    mesh_unlock(&set->lock);
    return MESH_CLAIM_AGAIN;
  }
  if (way >= MESH_FLOW_WAYS) {
    // Zero; but since the verifier cannot know that, it follows one path instead of all combinations of costs.
    __u64 zero = set->zero;
    __u64 best = 0;  // cost << 3 | way
    MESH_UNROLL
    for (__u32 i = 0; i < MESH_FLOW_WAYS; i++) {
      __u64 score = ((__u64)mesh_flow_cost(set->tag[i], set->mark[i], now) << 3 | i) + zero;
      best = score > best ? score : best;
      MESH_OPAQUE(best);
    }
    way = (__u32)best & 7u;
    outcome = best >> 3 < MESH_FLOW_COST_LIVE ? MESH_CLAIM_EVICTED : MESH_CLAIM_FRESH;
  }
  MESH_OPAQUE(way);  // or clang asks for "not 7", from which kernel 6.1 learns nothing
  if (way < MESH_FLOW_WAYS) {
    // A reader that sees the new tag must not see old contents.
    *(volatile __u32*)&set->tag[way] = 0;
    mesh_barrier();
    set->record[way] = *value;
    set->mark[way] = mark;
    mesh_barrier();
    *(volatile __u32*)&set->tag[way] = tag;
  }
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
