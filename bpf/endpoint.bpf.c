// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Attached to the host side of each endpoint's veth: everything that a container sends.
#include "bpf/entry.h"
#include "bpf/lead.h"
#include "bpf/lib/icmp.h"
#include "bpf/lib/neighbour.h"
#include "bpf/lib/nobody.h"
#include "bpf/reply.h"
#include "bpf/skb_edit.h"

MESH_INLINE const struct mesh_source* mesh_source_of(__u32 ifindex, const struct mesh_address* address) {
  struct mesh_source_key key = {ifindex, *address};
  return bpf_map_lookup_elem(&mesh_sources, &key);
}

MESH_INLINE int mesh_send_back(struct __sk_buff* skb, __u32 counter) {
  mesh_count(counter);
  return (int)bpf_redirect(skb->ifindex, 0);
}

// Requests are answered for every address but the asker's own (that is how it looks for duplicates). Answers to the
// host's own questions pass, if they are true.
MESH_INLINE int mesh_arp(struct __sk_buff* skb, const struct mesh_work* work, int endpoint) {
  __u8* start = mesh_skb_start(skb);
  struct mesh_arp* arp = (struct mesh_arp*)(start + MESH_ETH_SIZE);
  if ((const __u8*)(arp + 1) > mesh_skb_end(skb)) return mesh_skb_drop(MESH_COUNT_MALFORMED);
  if (!mesh_arp_valid(arp)) return mesh_skb_drop(MESH_COUNT_MALFORMED);
  struct mesh_address sender = mesh_arp_address(arp->sender_ip);
  struct mesh_address target = mesh_arp_address(arp->target_ip);
  if (arp->operation == mesh_be16(2)) {
    if (endpoint && !mesh_source_of(work->ifindex, &sender)) return mesh_skb_drop(MESH_COUNT_SPOOFED);
    return TC_ACT_OK;
  }
  if (arp->operation != mesh_be16(1)) return mesh_skb_drop(MESH_COUNT_UNSUPPORTED);
  if (mesh_address_equal(&sender, &target) || (endpoint && mesh_source_of(work->ifindex, &target))) return TC_ACT_OK;
  mesh_arp_answer((struct mesh_eth*)start, arp, work->config->gateway_mac);
  return mesh_send_back(skb, MESH_COUNT_NEIGHBOUR_ANSWERED);
}

// Neighbour discovery, or -1 if the packet is something else.
MESH_INLINE int mesh_neighbour_discovery(struct __sk_buff* skb, const struct mesh_work* work, int endpoint) {
  __u8* start = mesh_skb_start(skb);
  struct mesh_ipv6* ip = (struct mesh_ipv6*)(start + MESH_ETH_SIZE);
  struct mesh_neighbour* message = (struct mesh_neighbour*)(ip + 1);
  if (work->packet.protocol != MESH_ICMPV6) return -1;
  if ((const __u8*)(message + 1) > mesh_skb_end(skb)) {
    // Shorter than with its option: a duplicate search has none.
    return mesh_address_is_unset(&work->packet.source) ? TC_ACT_OK : -1;
  }
  struct mesh_address target = message->target;
  if (message->type == MESH_NEIGHBOUR_ADVERTISEMENT) {
    if (endpoint && !mesh_source_of(work->ifindex, &target)) return mesh_skb_drop(MESH_COUNT_SPOOFED);
    bpf_skb_change_type(skb, MESH_PACKET_HOST);
    return TC_ACT_OK;
  }
  if (message->type != MESH_NEIGHBOUR_SOLICITATION) return -1;
  if (mesh_address_is_unset(&work->packet.source)) return TC_ACT_OK;
  if (!mesh_solicitation_valid(ip, message)) return mesh_skb_drop(MESH_COUNT_MALFORMED);
  if (endpoint && mesh_source_of(work->ifindex, &target)) return TC_ACT_OK;
  mesh_solicitation_answer((struct mesh_eth*)start, ip, message, work->config->gateway_mac);
  return mesh_send_back(skb, MESH_COUNT_NEIGHBOUR_ANSWERED);
}

// An address of the sender's network that no endpoint has, or none any more: who waits for it hears so at once.
MESH_SEPARATE int mesh_nobody(struct __sk_buff* skb, const struct mesh_packet* packet) {
  const struct mesh_config* config = mesh_settings();
  if (!packet || !config) return TC_ACT_SHOT;
  int v6 = packet->v6;
  mesh_count(MESH_COUNT_NO_ENDPOINT);
  int action = TC_ACT_SHOT;
  switch (mesh_nobody_answer(packet, mesh_skb_start(skb), mesh_skb_end(skb))) {
    case MESH_ANSWER_RESET:
      if (bpf_skb_change_tail(skb, MESH_ETH_SIZE + (v6 ? 40 : 20) + sizeof(struct mesh_tcp), 0)) return TC_ACT_SHOT;
      if (mesh_reset(mesh_skb_start(skb), mesh_skb_end(skb), packet, config->gateway_mac)) return TC_ACT_SHOT;
      action = (int)bpf_redirect(skb->ifindex, 0);
      break;
    case MESH_ANSWER_ERROR:
      action = mesh_skb_error(skb, v6, mesh_unreachable(v6, packet->protocol == MESH_UDP));
      break;
    default:
      break;
  }
  if (action != TC_ACT_SHOT) mesh_count(MESH_COUNT_NOBODY_ANSWERED);
  return action;
}

// The same for SCTP: a function of its own, because the stack has no room for both.
MESH_SEPARATE int mesh_nobody_sctp(struct __sk_buff* skb, const struct mesh_packet* packet) {
  const struct mesh_config* config = mesh_settings();
  if (!packet || !config) return TC_ACT_SHOT;
  __u32 headers = MESH_ETH_SIZE + (packet->v6 ? 40 : 20);
  mesh_count(MESH_COUNT_NO_ENDPOINT);
  if (!mesh_may_abort(packet)) return TC_ACT_SHOT;
  if (bpf_skb_change_tail(skb, headers + MESH_ABORT_ROOM, 0)) return TC_ACT_SHOT;
  if (mesh_abort(mesh_skb_start(skb), mesh_skb_end(skb), packet, config->gateway_mac)) return TC_ACT_SHOT;
  if (bpf_skb_change_tail(skb, headers + sizeof(struct mesh_sctp), 0)) return TC_ACT_SHOT;
  return mesh_send_back(skb, MESH_COUNT_NOBODY_ANSWERED);
}

// Ping of a virtual IP. Its other traffic was translated at connect time; what still carries the address was not meant
// for any backend. Not SCTP's: no program sees those sockets connect, so they are refused here.
MESH_INLINE int mesh_virtual_ip(struct __sk_buff* skb, struct mesh_work* work, __u32 vni) {
  const struct mesh_packet* packet = &work->packet;
  const struct mesh_vip* vip = bpf_map_lookup_elem(&mesh_vips, &packet->destination);
  if (!vip) return -1;
  if (vip->vni != vni) return mesh_skb_drop(MESH_COUNT_ISOLATED);
  if (packet->protocol == MESH_SCTP) return mesh_nobody_sctp(skb, packet);
  if (mesh_echo_answer(mesh_skb_start(skb), mesh_skb_end(skb), packet, work->config->gateway_mac)) {
    return mesh_skb_drop(MESH_COUNT_NO_ENDPOINT);
  }
  return mesh_send_back(skb, MESH_COUNT_ECHO_ANSWERED);
}

// Another endpoint of the sender's network, here or on another host.
MESH_INLINE int mesh_to_endpoint(struct mesh_work* work, __u64 place, __u32 vni) {
  if (!mesh_take_hop(work)) return mesh_drop(work, MESH_COUNT_TTL);
  if (mesh_place_ifindex(place)) {
    mesh_count(MESH_COUNT_OVERLAY_LOCAL);
    mesh_answer_as_asked(work, vni);
    return mesh_deliver_at(work, place);
  }
  work->hash = mesh_packet_ring_hash(&work->packet);
  work->header.vni = vni;
  work->header.kind = MESH_KIND_OVERLAY;
  work->header.entry = work->config->self;
  mesh_count(MESH_COUNT_OVERLAY_OUT);
  return mesh_send(work, mesh_place_node(place));
}

MESH_INLINE int mesh_to_peer(struct mesh_work* work, __u64 place, __u32 vni) {
  if (mesh_may_be_led(&work->packet) && mesh_is_leading()) mesh_forget_lead(&work->packet, vni);
  return mesh_to_endpoint(work, place, vni);
}

// To a backend of the virtual IP that its socket has asked, or MESH_NOBODY.
MESH_INLINE int mesh_lead_on(struct mesh_work* work, __u32 vni) {
  const struct mesh_packet* packet = &work->packet;
  struct mesh_scratch* scratch = mesh_scratch_room();
  if (!scratch || !mesh_may_be_led(packet) || !mesh_lead(packet, vni)) return MESH_NOBODY;
  __u64 place = mesh_endpoint_of(vni, &scratch->client);
  if (!place) return MESH_NOBODY;
  mesh_translate_addresses(work, &packet->source, &scratch->client);
  return mesh_to_endpoint(work, place, vni);
}

// Destinations that are no endpoint of the sender's network: nodes, the gateway, the world.
MESH_INLINE int mesh_leave(struct mesh_work* work, const struct mesh_source* source) {
  const struct mesh_packet* packet = &work->packet;
  __u16 role = mesh_role_of(&packet->destination);
  int ingress = source->vni == work->config->ingress_vni;
  if (role & MESH_ROLE_GATEWAY) return MESH_EXIT;
  if (role & MESH_ROLE_MESH) return mesh_drop(work, MESH_COUNT_ISOLATED);
  if (role & MESH_ROLE_NODE) {
    // Masqueraded by this host it would look like the host's own tunnel packet.
    if (packet->protocol == MESH_UDP && packet->destination_port == mesh_be16(MESH_VXLAN_PORT)) {
      return mesh_drop(work, MESH_COUNT_TUNNEL_FORGED);
    }
    int action = ingress ? mesh_enter(work, MESH_AT_ENDPOINT) : MESH_PASS;
    if (action != MESH_PASS) return action;
  }
  struct mesh_prefix prefix = {128, packet->destination};
  const struct mesh_network* network = bpf_map_lookup_elem(&mesh_networks, &prefix);
  if (network) {
    int own = network->vni == source->vni && !ingress;
    return own ? MESH_NOBODY : mesh_drop(work, MESH_COUNT_ISOLATED);
  }
  if (source->flags & MESH_SOURCE_NO_EXIT) return mesh_drop(work, MESH_COUNT_INTERNAL);
  return ingress ? MESH_EXIT : mesh_drop(work, MESH_COUNT_ISOLATED);
}

MESH_INLINE int mesh_from_endpoint(struct __sk_buff* skb, struct mesh_work* work) {
  const struct mesh_packet* packet = &work->packet;
  const struct mesh_eth* eth = (const struct mesh_eth*)mesh_skb_start(skb);
  if ((const __u8*)(eth + 1) > mesh_skb_end(skb)) return mesh_skb_drop(MESH_COUNT_MALFORMED);
  if (mesh_address_is_multicast(&packet->destination)) return mesh_skb_drop(MESH_COUNT_MULTICAST);
  // Before any route: a client may have an address that looks like an endpoint's.
  int action = MESH_PASS;
  if (mesh_is_ingress(work->config, packet, &packet->source)) {
    if (packet->protocol == MESH_ICMP || packet->protocol == MESH_ICMPV6) {
      mesh_skb_take_quote(skb, &work->packet, MESH_ETH_SIZE, MESH_QUOTED_BY_ENDPOINT);
    }
    action = mesh_reply(work, eth->source);
    if (action == MESH_PASS && packet->quoted) mesh_forget_quote(&work->packet);
  }
  action = mesh_settle(work, action);
  __u16 flags = 0;
  if (action == MESH_PASS) {
    const struct mesh_source* source = mesh_source_of(work->ifindex, &packet->source);
    if (!source || !mesh_same_mac(eth->source, source->mac)) return mesh_skb_drop(MESH_COUNT_SPOOFED);
    flags = source->flags;
    if (source->vni != work->config->ingress_vni) {
      __u64 place = mesh_endpoint_of(source->vni, &packet->destination);
      int answered = place ? -1 : mesh_virtual_ip(skb, work, source->vni);
      if (answered >= 0) return answered;
      if (place) action = mesh_to_peer(work, place, source->vni);
    }
    action = mesh_settle(work, action);
    if (action == MESH_PASS) action = mesh_leave(work, source);
    if (action == MESH_NOBODY) action = mesh_lead_on(work, source->vni);
    if (action == MESH_NOBODY && packet->protocol == MESH_SCTP) return mesh_nobody_sctp(skb, packet);
    if (action == MESH_NOBODY) return mesh_nobody(skb, packet);
  }
  action = mesh_conclude(work, action);
  // Refused by this host's stack: it leaves like all that is no one's.
  if (action == MESH_PASS) action = flags & MESH_SOURCE_NO_EXIT ? mesh_drop(work, MESH_COUNT_INTERNAL) : MESH_EXIT;
  return mesh_skb_apply(skb, work, action);
}

// Reads the headers. Returns a TC action for what needs no further thought, -1 for an IP packet in work->packet.
MESH_INLINE int mesh_read(struct __sk_buff* skb, struct mesh_work* work, int endpoint) {
  mesh_skb_pull(skb);
  const __u8* start = mesh_skb_start(skb);
  const __u8* end = mesh_skb_end(skb);
  const struct mesh_eth* eth = (const struct mesh_eth*)start;
  struct mesh_packet* packet = &work->packet;
  if ((const __u8*)(eth + 1) > end) return mesh_skb_drop(MESH_COUNT_MALFORMED);
  if (eth->type == MESH_TYPE_ARP) return mesh_arp(skb, work, endpoint);
  int parsed = mesh_parse_ip(eth->type, start + MESH_ETH_SIZE, end, skb->len - MESH_ETH_SIZE, packet);
  if (parsed == MESH_PARSE_MALFORMED) return mesh_skb_drop(MESH_COUNT_MALFORMED);
  if (parsed == MESH_PARSE_OTHER) return mesh_skb_drop(MESH_COUNT_UNSUPPORTED);
  __u32 gso_size = skb->gso_size;
  work->segment = gso_size ? packet->l4_offset + packet->l4_size + gso_size : packet->length;
  return packet->v6 ? mesh_neighbour_discovery(skb, work, endpoint) : -1;
}

SEC("tc")
int mesh_endpoint_tc(struct __sk_buff* skb) {
  struct mesh_work work = {.config = mesh_settings(), .ifindex = skb->ifindex};
  if (!work.config) return TC_ACT_SHOT;
  int action = mesh_read(skb, &work, 1);
  return action >= 0 ? action : mesh_from_endpoint(skb, &work);
}

// Attached to mesh1: what the host's own sockets send to the mesh address.
SEC("tc")
int mesh_entry_tc(struct __sk_buff* skb) {
  struct mesh_work work = {.config = mesh_settings(), .ifindex = skb->ifindex};
  if (!work.config) return TC_ACT_SHOT;
  int action = mesh_read(skb, &work, 0);
  if (action >= 0) return action;
  if (mesh_address_is_multicast(&work.packet.destination)) return mesh_skb_drop(MESH_COUNT_MULTICAST);
  action = mesh_enter(&work, MESH_AT_HOST);
  if (action == MESH_PASS) return mesh_skb_drop(MESH_COUNT_NO_BACKEND);
  return mesh_skb_apply(skb, &work, mesh_conclude(&work, action));
}
