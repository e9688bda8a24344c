// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The maps (layouts: bpf/abi.h) and the look-ups that every program shares.
#pragma once

#include "bpf/lib/endpoint.h"
#include "bpf/lib/flow.h"
#include "bpf/lib/kernel.h"
#include "bpf/lib/quote.h"
#include "bpf/lib/walk.h"

// Tables that only user space grows are allocated by need; reading them costs the same.
#define MESH_TABLE(symbol, map_type, key_type, value_type, entries, flags) \
  struct {                                                                 \
    __uint(type, map_type);                                                \
    __type(key, key_type);                                                 \
    __type(value, value_type);                                             \
    __uint(max_entries, entries);                                          \
    __uint(map_flags, flags);                                              \
    __uint(pinning, LIBBPF_PIN_BY_NAME);                                   \
  } symbol SEC(".maps")

// An array's elements begin at 312 bytes of a page, so that what has the size of a cache line lies on two; those of one
// that may be mapped begin at a page's start.
#define MESH_ALIGNED BPF_F_MMAPABLE

MESH_TABLE(mesh_config, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_config, 1, 0);
MESH_TABLE(mesh_counters, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, MESH_COUNTERS, 0);
MESH_TABLE(mesh_addresses, BPF_MAP_TYPE_HASH, struct mesh_address, struct mesh_address_role, MESH_ADDRESSES_MAX,
           BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_nodes, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_node, MESH_NODES_MAX, MESH_ALIGNED);
MESH_TABLE(mesh_services, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_service, MESH_SERVICES_MAX, BPF_F_MMAPABLE);
MESH_TABLE(mesh_sctp_services, BPF_MAP_TYPE_HASH, __u32, struct mesh_service, MESH_SCTP_SERVICES_MAX,
           BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_rings, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_ring_chunk, MESH_RING_CHUNKS_MAX, BPF_F_MMAPABLE);
MESH_TABLE(mesh_rows, BPF_MAP_TYPE_HASH, struct mesh_row_key, struct mesh_row, MESH_ROWS_MAX, BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_bound, BPF_MAP_TYPE_HASH, struct mesh_bound, __u32, MESH_BOUND_MAX, BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_allowed, BPF_MAP_TYPE_LPM_TRIE, struct mesh_allow, __u32, MESH_ALLOWED_MAX, BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_locals, BPF_MAP_TYPE_HASH, __u32, struct mesh_local, MESH_LOCAL_SERVICES_MAX, BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_backends, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_backend, MESH_BACKENDS_MAX, BPF_F_MMAPABLE);
MESH_TABLE(mesh_backend_counters, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_traffic, MESH_BACKENDS_MAX, BPF_F_MMAPABLE);
MESH_TABLE(mesh_bindings, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_binding, MESH_BINDINGS_MAX, MESH_ALIGNED);
MESH_TABLE(mesh_binding_counters, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct mesh_binding_traffic, MESH_BINDINGS_MAX, 0);
MESH_TABLE(mesh_flows, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_flow_set, MESH_FLOW_SETS, MESH_ALIGNED);
MESH_TABLE(mesh_filters, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_filter, MESH_FILTER_WORDS, BPF_F_MMAPABLE);
MESH_TABLE(mesh_endpoints, BPF_MAP_TYPE_HASH, struct mesh_endpoint_key, struct mesh_endpoint, MESH_ENDPOINTS_MAX,
           BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_endpoints4, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_endpoint_line, MESH_ENDPOINT_LINES_MAX,
           BPF_F_MMAPABLE);
MESH_TABLE(mesh_sources, BPF_MAP_TYPE_HASH, struct mesh_source_key, struct mesh_source, MESH_SOURCES_MAX,
           BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_networks, BPF_MAP_TYPE_LPM_TRIE, struct mesh_prefix, struct mesh_network, MESH_NETWORKS_MAX,
           BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_vnis, BPF_MAP_TYPE_HASH, __u32, __u32, MESH_NETWORKS_MAX, BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_vips, BPF_MAP_TYPE_HASH, struct mesh_address, struct mesh_vip, MESH_VIPS_MAX, BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_vip_backends, BPF_MAP_TYPE_ARRAY, __u32, struct mesh_address, MESH_VIP_BACKENDS_MAX, BPF_F_MMAPABLE);
MESH_TABLE(mesh_namespaces, BPF_MAP_TYPE_HASH, __u64, __u32, MESH_NAMESPACES_MAX, BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_members, BPF_MAP_TYPE_HASH, struct mesh_member, __u32, MESH_MEMBERS_MAX, BPF_F_NO_PREALLOC);
MESH_TABLE(mesh_formers, BPF_MAP_TYPE_LRU_HASH, struct mesh_former_key, struct mesh_former, MESH_FORMERS_MAX, 0);
MESH_TABLE(mesh_leads, BPF_MAP_TYPE_LRU_HASH, struct mesh_lead_key, struct mesh_address, MESH_LEADS_MAX, 0);
MESH_TABLE(mesh_leading, BPF_MAP_TYPE_ARRAY, __u32, __u32, 1, 0);
MESH_TABLE(mesh_origins, BPF_MAP_TYPE_LRU_HASH, struct mesh_origin_key, struct mesh_origin, MESH_ORIGINS_MAX, 0);

// Of the record that a client's packet was found by.
struct mesh_found {
  __u32 mark;
  __u16 entry;  // where its answers go
  __u8 kind;
  __u8 way;
};

// Room for what a program's 512 bytes of stack do not hold. Not shared: programs of one CPU do not interrupt each
// other.
struct mesh_scratch {
  struct mesh_flow_key key;
  struct mesh_flow record;
  struct mesh_view view;
  struct mesh_address client;
  struct mesh_lead_key lead;
  struct mesh_found found;
  __u32 news;  // a mark that a flow's other record should have; 0: none
  struct bpf_fib_lookup route;
  __u8 error[MESH_QUOTE_ROOM_V6];  // the head of an ICMP error
};
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __type(key, __u32);
  __type(value, struct mesh_scratch);
  __uint(max_entries, 1);
} mesh_scratch SEC(".maps");

MESH_INLINE struct mesh_scratch* mesh_scratch_room(void) {
  __u32 key = 0;
  return bpf_map_lookup_elem(&mesh_scratch, &key);
}

MESH_INLINE void mesh_count(__u32 counter) {
  __u64* value = bpf_map_lookup_elem(&mesh_counters, &counter);
  if (value) (*value)++;
}

MESH_INLINE const struct mesh_config* mesh_settings(void) {
  __u32 key = 0;
  const struct mesh_config* config = bpf_map_lookup_elem(&mesh_config, &key);
  return config && config->abi == MESH_ABI_VERSION ? config : 0;
}

MESH_INLINE const struct mesh_node* mesh_node_of(__u32 number) {
  const struct mesh_node* node = bpf_map_lookup_elem(&mesh_nodes, &number);
  return node && (node->flags & MESH_NODE_VALID) ? node : 0;
}

// One of this host's own addresses.
MESH_INLINE int mesh_is_self(const struct mesh_config* config, const struct mesh_address* address) {
  MESH_UNROLL
  for (__u32 i = 0; i < MESH_SELVES_MAX; i++) {
    if (mesh_address_equal(address, &config->self_address[i])) return 1;
  }
  if (!config->more_selves) return 0;
  const struct mesh_address_role* role = bpf_map_lookup_elem(&mesh_addresses, address);
  return role && (role->flags & MESH_ROLE_SELF);
}

// Of the ingress network, which every endpoint has an address on.
MESH_INLINE int mesh_is_ingress(const struct mesh_config* config, const struct mesh_packet* packet,
                                const struct mesh_address* address) {
  const struct mesh_subnet* subnet = packet->v6 ? &config->ingress_v6 : &config->ingress_v4;
  return mesh_address_in(address, subnet);
}

MESH_INLINE __u16 mesh_role_of(const struct mesh_address* address) {
  const struct mesh_address_role* role = bpf_map_lookup_elem(&mesh_addresses, address);
  return role ? role->flags : 0;
}

// The published port, or null. `port` as on the wire.
MESH_INLINE const struct mesh_service* mesh_service_of(__u8 protocol, __be16 port) {
  if (!mesh_has_flows(protocol)) return 0;
  __u32 index = MESH_SERVICE_INDEX(protocol, mesh_swap16(port));
  const struct mesh_service* service = protocol == MESH_SCTP ? bpf_map_lookup_elem(&mesh_sctp_services, &index)
                                                             : bpf_map_lookup_elem(&mesh_services, &index);
  return service && MESH_RING_IS_VALID(service->ring) ? service : 0;
}

MESH_INLINE __u32 mesh_service_index(const struct mesh_packet* packet) {
  return MESH_SERVICE_INDEX(packet->protocol, mesh_swap16(packet->destination_port));
}

// Where in its service's ring a packet of a client belongs.
MESH_INLINE __u64 mesh_slot_hash(const struct mesh_service* service, const struct mesh_packet* packet) {
  if (!MESH_OPTIONS_AFFINITY(service->options)) return mesh_packet_ring_hash(packet);
  return mesh_affinity_hash(&packet->source, packet->destination_port, packet->protocol);
}

// A port that answers only on some addresses: whether on this one.
MESH_INLINE int mesh_is_bound(const struct mesh_service* service, __u32 index, const struct mesh_address* address) {
  if (!(service->options & MESH_SERVICE_BOUND)) return 1;
  struct mesh_bound key = {index, *address};
  return bpf_map_lookup_elem(&mesh_bound, &key) != 0;
}

MESH_INLINE int mesh_is_allowed(const struct mesh_service* service, __u32 index, const struct mesh_address* client) {
  if (!(service->options & MESH_SERVICE_ALLOW)) return 1;
  struct mesh_allow key = {MESH_ALLOW_SERVICE_BITS + 128, index, *client};
  return bpf_map_lookup_elem(&mesh_allowed, &key) != 0;
}

// The slot's byte: owner and moved bit.
MESH_INLINE __u8 mesh_slot_of(__u64 ring, __u32 slot) {
  __u32 chunk_index = MESH_RING_CHUNK(ring) + (slot >> 6);
  const struct mesh_ring_chunk* chunk = bpf_map_lookup_elem(&mesh_rings, &chunk_index);
  return chunk ? chunk->slot[slot & 63] : MESH_SLOT_NONE;
}

MESH_INLINE const struct mesh_backend* mesh_backend_of(const struct mesh_service* service, __u8 owner) {
  __u32 index = service->backends + owner;
  if (owner >= MESH_SERVICE_BACKENDS_MAX) return 0;
  const struct mesh_backend* backend = bpf_map_lookup_elem(&mesh_backends, &index);
  return backend && backend->node ? backend : 0;
}

MESH_INLINE const struct mesh_binding* mesh_binding_of(__u32 index) {
  const struct mesh_binding* binding = bpf_map_lookup_elem(&mesh_bindings, &index);
  return binding && index && binding->ifindex ? binding : 0;
}

MESH_INLINE struct mesh_address mesh_binding_address(const struct mesh_binding* binding, int v6) {
  return v6 ? binding->v6 : mesh_address_v4(binding->v4);
}

MESH_INLINE __u64 mesh_endpoint4_of(__u32 vni, __be32 address) {
  const struct mesh_config* config = mesh_settings();
  if (!config) return 0;
  struct mesh_probe probe = mesh_probe_first(vni, address);
  __u32 lines = config->endpoint_lines;
  MESH_NO_UNROLL
  for (__u32 i = 0; i < MESH_ENDPOINT_PROBES; i++) {
    __u32 number = mesh_probe_line(&probe, lines);
    const struct mesh_endpoint_line* line = bpf_map_lookup_elem(&mesh_endpoints4, &number);
    if (!line) return 0;
    MESH_UNROLL
    for (__u32 way = 0; way < MESH_ENDPOINTS_OF_LINE; way++) {
      const struct mesh_endpoint4* entry = &line->entry[way];
      if ((entry->network & ~MESH_ENDPOINT_MORE) != vni || entry->address != address) continue;
      __u64 place = mesh_pair(entry->place, entry->ingress);
      mesh_barrier();
      const volatile struct mesh_endpoint4* again = entry;
      if ((again->network & ~MESH_ENDPOINT_MORE) == vni && again->address == address) return place;
    }
    if (!(line->entry[0].network & MESH_ENDPOINT_MORE)) return 0;
    mesh_probe_next(&probe);
  }
  return 0;
}

// Where an endpoint of a network is (lib/endpoint.h); 0: there is none with the address.
MESH_SEPARATE __u64 mesh_endpoint_of(__u32 vni, const struct mesh_address* address) {
  if (!address) return 0;
  if (mesh_address_is_v4(address)) return mesh_endpoint4_of(vni, address->word[3]);
  struct mesh_endpoint_key key = {vni, *address};
  const struct mesh_endpoint* endpoint = bpf_map_lookup_elem(&mesh_endpoints, &key);
  if (!endpoint) return 0;
  __u32 ingress = 0;
  __builtin_memcpy(&ingress, endpoint->mac + 2, sizeof(ingress));
  return mesh_pair(endpoint->ifindex ? endpoint->ifindex : MESH_ENDPOINT_FAR | endpoint->node, ingress);
}

MESH_INLINE __u32 mesh_now(const struct mesh_config* config) {
  return (__u32)(bpf_jiffies64() >> (config->tick_shift & 63)) & 0xffffffu;
}

MESH_INLINE struct mesh_flow_set* mesh_flow_set_of(const struct mesh_config* config, __u64 hash) {
  __u32 index = mesh_flow_set_index(hash, config->flow_mask);
  return bpf_map_lookup_elem(&mesh_flows, &index);
}

// The words of the filters that a flow's bits are in.
MESH_INLINE struct mesh_filter* mesh_filter_of(__u32 tag) {
  __u32 index = MESH_FILTER_BIT(tag) >> 6;
  return bpf_map_lookup_elem(&mesh_filters, &index);
}

MESH_INLINE __u64 mesh_filter_bit(__u32 tag) { return 1ull << (MESH_FILTER_BIT(tag) & 63); }
