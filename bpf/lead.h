// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Datagrams of a connected socket whose peer is gone. The socket was given one of a virtual IP's backends when it
// connected, and no hook fires for it afterwards: so its datagrams are led to a backend that lives, and what that
// answers comes from whom the socket asked. At the client's host, both ways.
#pragma once

#include "bpf/verdict.h"

MESH_INLINE int mesh_may_be_led(const struct mesh_packet* packet) {
  return packet->protocol == MESH_UDP && packet->has_ports && !packet->fragment;
}

// Whether anything was led here yet: all else that is asked of datagrams between endpoints.
MESH_INLINE int mesh_is_leading(void) {
  __u32 key = 0;
  const __u32* leading = bpf_map_lookup_elem(&mesh_leading, &key);
  return leading && *leading;
}

MESH_INLINE void mesh_lead_key(struct mesh_lead_key* key, const struct mesh_packet* packet, __u32 vni, int from_client,
                               __u32 kind) {
  key->vni = vni;
  key->client = from_client ? packet->source : packet->destination;
  key->peer = from_client ? packet->destination : packet->source;
  key->client_port = from_client ? packet->source_port : packet->destination_port;
  key->peer_port = from_client ? packet->destination_port : packet->source_port;
  key->kind = kind;
}

// One of the virtual IP's backends, of which the gone address was one: into scratch->client, or 0. Not the sender
// itself: no kernel takes its own address as a source from outside.
MESH_SEPARATE int mesh_choose_lead(const struct mesh_packet* packet, __u32 vni) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!packet || !scratch) return 0;
  struct mesh_former_key key = {vni, packet->destination};
  const struct mesh_former* former = bpf_map_lookup_elem(&mesh_formers, &key);
  if (!former) return 0;
  const struct mesh_vip* vip = bpf_map_lookup_elem(&mesh_vips, &former->vip);
  if (!vip || vip->vni != vni || vip->service != former->service || !vip->count) return 0;
  __u32 place = (__u32)(((mesh_packet_ring_hash(packet) >> 32) * vip->count) >> 32);
  MESH_NO_UNROLL
  for (int i = 0; i < 2; i++) {
    __u32 index = vip->first + place;
    const struct mesh_address* backend = bpf_map_lookup_elem(&mesh_vip_backends, &index);
    if (!backend) return 0;
    if (!mesh_address_equal(backend, &packet->source)) {
      scratch->client = *backend;
      return 1;
    }
    place = place + 1 < vip->count ? place + 1 : 0;
  }
  return 0;
}

// Whom a datagram for an address that no endpoint has any more goes to, into scratch->client; or 0. The same as before,
// as long as it lives.
MESH_SEPARATE int mesh_lead(const struct mesh_packet* packet, __u32 vni) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  __u32 zero = 0, one = 1;
  if (!packet || !scratch) return 0;
  struct mesh_lead_key* key = &scratch->lead;
  mesh_lead_key(key, packet, vni, 1, MESH_LEAD_ASKED);
  const struct mesh_address* led = bpf_map_lookup_elem(&mesh_leads, key);
  if (led) scratch->client = *led;
  int known = led && mesh_endpoint_of(vni, &scratch->client);
  if (!known && !mesh_choose_lead(packet, vni)) return 0;
  if (!known && bpf_map_update_elem(&mesh_leads, key, &scratch->client, BPF_ANY)) return 0;
  if (!known) mesh_count(MESH_COUNT_DATAGRAM_LED);
  // Of the two rows each may be forgotten alone.
  key->peer = scratch->client;
  key->kind = MESH_LEAD_ANSWERS;
  if (bpf_map_lookup_elem(&mesh_leads, key)) return 1;
  if (!mesh_is_leading()) bpf_map_update_elem(&mesh_leading, &zero, &one, BPF_ANY);
  struct mesh_address asked = packet->destination;  // Linux 6.1 takes no value from an argument's memory
  return bpf_map_update_elem(&mesh_leads, key, &asked, BPF_ANY) ? 0 : 1;
}

// The client asks this peer itself: what it answers is not another's any more.
MESH_SEPARATE int mesh_forget_lead(const struct mesh_packet* packet, __u32 vni) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!packet || !scratch) return 0;
  mesh_lead_key(&scratch->lead, packet, vni, 1, MESH_LEAD_ANSWERS);
  return (int)bpf_map_delete_elem(&mesh_leads, &scratch->lead);
}

// Whom the receiver of an answer has asked, into scratch->client; 0: the sender.
MESH_SEPARATE int mesh_find_asked(const struct mesh_packet* packet, __u32 vni) {
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!packet || !scratch) return 0;
  mesh_lead_key(&scratch->lead, packet, vni, 0, MESH_LEAD_ANSWERS);
  const struct mesh_address* asked = bpf_map_lookup_elem(&mesh_leads, &scratch->lead);
  if (!asked) return 0;
  scratch->client = *asked;
  return 1;
}

MESH_INLINE void mesh_translate_addresses(struct mesh_work* work, const struct mesh_address* source,
                                          const struct mesh_address* destination) {
  const struct mesh_packet* packet = &work->packet;
  work->tuple.source = *source;
  work->tuple.destination = *destination;
  work->tuple.source_port = packet->source_port;
  work->tuple.destination_port = packet->destination_port;
  work->translate = 1;
}

// A packet that goes to an endpoint of this host: if it is such an answer, it comes from whom that has asked.
MESH_INLINE void mesh_answer_as_asked(struct mesh_work* work, __u32 vni) {
  const struct mesh_packet* packet = &work->packet;
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || work->translate || !mesh_may_be_led(packet) || !mesh_is_leading()) return;
  if (mesh_find_asked(packet, vni)) mesh_translate_addresses(work, &scratch->client, &packet->destination);
}
