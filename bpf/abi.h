// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Everything that the kernel programs and user space agree on: map names, keys, values, limits, counters, and the
// tunnel header between hosts. Valid C (BPF and native) and C++23. No libc and no <linux/in.h>: the latter clashes with
// libc.
//
// Byte order: fields named or typed be16/be32 are in network order, everything else is the host's.
// Addresses hold 16 bytes in network order; IPv4 is IPv4-mapped (::ffff:a.b.c.d), as mesh::IpAddress keeps it.
// Writing order for user space is in bpf/README.md ("Who writes what, in which order").
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#include "bpf/counters.h"
#include "bpf/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

// Bumped with every change of a layout or of a row's meaning below, but not of a limit; held in mesh_config.abi. The
// tables of the version before are taken over: dataplane/abi_previous.h.
#define MESH_ABI_VERSION 4u

// ---- limits -----------------------------------------------------------------------------------------------------
#define MESH_NODES_MAX 4096u       // node numbers 1..4095: 12 bits of the tunnel header
#define MESH_SERVICES_MAX 131072u  // {tcp, udp} x 65536 ports
#define MESH_SCTP_SERVICES_MAX 1024u
#define MESH_RING_CHUNKS_MAX 49152u     // of 64 slots: 12,288 rings of 256
#define MESH_BACKENDS_MAX 131072u       // records of all published ports together: 13,107 ports of ten
#define MESH_SERVICE_BACKENDS_MAX 127u  // per published port: 7 bits of a ring slot
#define MESH_BINDINGS_MAX 16384u        // index 1..16383; 0 is "none"
#define MESH_FLOW_SETS 32768u           // default; a power of two: 229,376 flows in 16 MiB
#define MESH_FLOW_WAYS 7u               // records of a set
#define MESH_ROWS_MAX 131072u
#define MESH_ROW_HOSTS_MAX 13u          // hosts that a slot can remember (its F); more than any cluster churns in a row
#define MESH_ENDPOINTS_MAX 131072u      // addresses of endpoints
#define MESH_ENDPOINT_LINES_MAX 45056u  // so that lines of four are filled to three quarters
#define MESH_ENDPOINT_PROBES 24u        // lines that are searched; at three quarters none of 131,072 needs 15
#define MESH_SOURCES_MAX 16384u
#define MESH_ADDRESSES_MAX 16384u
#define MESH_NETWORKS_MAX 8192u
#define MESH_VIPS_MAX 65536u
#define MESH_VIP_BACKENDS_MAX 131072u
#define MESH_NAMESPACES_MAX 16384u
#define MESH_MEMBERS_MAX 32768u
#define MESH_ORIGINS_MAX 16384u  // sockets of this host; of those beyond, the one that was silent longest is forgotten
#define MESH_FORMERS_MAX 2048u   // of those beyond, the ones that nobody has asked longest are forgotten
#define MESH_LEADS_MAX 4096u     // two of each flow; of those beyond, the ones that were silent longest are forgotten
#define MESH_LOCALS_MAX 30u      // backends of one service that a host can prefer; the others are found by the ring
#define MESH_LOCAL_SERVICES_MAX 16384u
#define MESH_BOUND_MAX 8192u
#define MESH_ALLOWED_MAX 65536u
#define MESH_FILTER_WORDS 4096u    // 256 Ki bits of each filter
#define MESH_SELVES_MAX 4u         // own addresses that are compared before mesh_addresses is asked
#define MESH_SWEEP_SETS_MAX 4096u  // per run of mesh_sweep
#define MESH_HOPS_MAX 16u          // hosts that one packet may visit (FLOWS)
#define MESH_VXLAN_PORT 4789u
#define MESH_VNI_MIN 4096u              // the ingress network's
#define MESH_PORT_REWRITE_FIRST 49152u  // given ports come from the dynamic range (RFC 6335)
#define MESH_PORT_REWRITE_TRIES 8u
// A tick is 2^mesh_config.tick_shift jiffies, about a second: 1.28 s at HZ 100, 1.02 s at 250 and 1000, 0.85 s at 300.

// ---- maps -----------------------------------------------------------------------------------------------------------
// X(symbol in the object = pinned name, what it holds). All are pinned by name below the pin directory.
#define MESH_MAPS(X)                                                                       \
  X(mesh_config, "the host's own settings")                                                \
  X(mesh_counters, "events and drops, per CPU")                                            \
  X(mesh_addresses, "addresses of all nodes, of the gateway and of the mesh itself")       \
  X(mesh_nodes, "how each node is reached")                                                \
  X(mesh_services, "published ports")                                                      \
  X(mesh_sctp_services, "published ports of SCTP")                                         \
  X(mesh_rings, "slots of all rings")                                                      \
  X(mesh_rows, "slots that remember other hosts")                                          \
  X(mesh_bound, "addresses of ports that answer only on some")                             \
  X(mesh_allowed, "clients of ports that let in only some")                                \
  X(mesh_locals, "backends of this host that are preferred here")                          \
  X(mesh_backends, "backends of all published ports")                                      \
  X(mesh_backend_counters, "packets that this host's entry sent to each backend, per CPU") \
  X(mesh_bindings, "backends on this host")                                                \
  X(mesh_binding_counters, "traffic, connections, resets of each backend here, per CPU")   \
  X(mesh_flows, "flow records")                                                            \
  X(mesh_filters, "filters over flows that need a look-up in any case")                    \
  X(mesh_endpoints, "where each endpoint address of IPv6 is")                              \
  X(mesh_endpoints4, "... and of IPv4")                                                    \
  X(mesh_sources, "what each local endpoint may send from")                                \
  X(mesh_networks, "prefixes of all networks")                                             \
  X(mesh_vnis, "network identifiers that are ours")                                        \
  X(mesh_vips, "virtual IPs")                                                              \
  X(mesh_vip_backends, "addresses behind virtual IPs")                                     \
  X(mesh_namespaces, "network namespaces of local endpoints")                              \
  X(mesh_members, "which namespace is attached to which network")                          \
  X(mesh_origins, "what a socket asked for before its address was translated")             \
  X(mesh_formers, "addresses that were behind a virtual IP")                               \
  X(mesh_leads, "flows of datagrams that are led to another endpoint")                     \
  X(mesh_leading, "whether any are")

// Of a network: an address is in it if (address & mask) == address of the subnet.
struct mesh_subnet {
  struct mesh_address address;
  struct mesh_address mask;
};
MESH_SIZE(struct mesh_subnet, 32);

// mesh_config: ARRAY[1]
struct mesh_config {
  __u32 abi;           // MESH_ABI_VERSION
  __u16 self;          // this host's node number
  __u16 endpoint_mtu;  // largest IP packet that an endpoint's interface takes
  __u32 ingress_vni;
  __u32 mesh_ifindex;       // mesh0
  __u32 mesh_peer_ifindex;  // mesh1
  __u32 flow_mask;          // number of sets in mesh_flows - 1
  __be16 dns_port;          // mesh-dns on the gateway addresses
  __u8 gateway_mac[6];      // what endpoints see as their next hop: MacAddress::of_endpoint(gateway_v4)
  __u8 mesh_mac[6];         // of mesh0
  __u8 tick_shift;          // jiffies to ticks
  __u8 more_selves;         // not all own addresses are in self_address
  __u64 host_cookie;        // SO_NETNS_COOKIE of the host's own network namespace
  __u64 flow_seed;          // random, of this host: keeps outsiders from filling one set
  struct mesh_address gateway_v4, gateway_v6;
  struct mesh_address mesh_v4, mesh_v6;
  struct mesh_address self_address[MESH_SELVES_MAX];  // the first of MESH_ROLE_SELF, unset: none
  struct mesh_subnet ingress_v4, ingress_v6;          // of the ingress network; none: the mask is all ones
  __u32 endpoint_lines;                               // rows of mesh_endpoints4
  __u32 backend_rows;                                 // of mesh_backends
};
MESH_SIZE(struct mesh_config, 256);

// mesh_addresses: HASH, key struct mesh_address
struct mesh_address_role {
  __u16 node;   // whose address; 0 for the gateway's
  __u16 flags;  // MESH_ROLE_*
};
MESH_SIZE(struct mesh_address_role, 4);
#define MESH_ROLE_NODE 0x01     // published ports answer on it
#define MESH_ROLE_SELF 0x02     // ... and it is this host's own
#define MESH_ROLE_GATEWAY 0x04  // of every endpoint; ends at this host's stack
#define MESH_ROLE_MESH 0x08     // the host's own way into the mesh; only mesh_entry_tc takes it

// mesh_nodes: ARRAY[MESH_NODES_MAX] by node number. This host's own entry is needed too (address, MESH_NODE_SELF).
struct mesh_node {
  struct mesh_address address;  // outer destination; the only outer source that its packets may have
  struct mesh_address source;   // outer source towards it
  __u8 next_hop[6];             // outer destination MAC
  __u8 egress_mac[6];           // outer source MAC
  __u32 ifindex;                // egress uplink; 0: not resolved, packets to it are dropped and counted
  __u16 inner_mtu;              // largest IP packet that fits into the tunnel to it
  __u16 flags;                  // MESH_NODE_*
  __u32 reserved[3];
};
MESH_SIZE(struct mesh_node, 64);
#define MESH_NODE_VALID 0x01
#define MESH_NODE_SELF 0x02

// mesh_services: ARRAY[MESH_SERVICES_MAX] (MMAPABLE), index MESH_SERVICE_INDEX(protocol, port in host order).
// `ring` is one word so that a new ring is switched atomically; write it last.
struct mesh_service {
  __u64 ring;      // MESH_RING(...); 0: port not published
  __u32 backends;  // index in mesh_backends of the service's backend 0
  __u32 options;   // MESH_OPTIONS
};
MESH_SIZE(struct mesh_service, 16);
// flags: MESH_SERVICE_*; affinity: ticks (24 bits) for which a client's address keeps its backend, 0: none.
#define MESH_OPTIONS(flags, affinity) (((__u32)(affinity) << 8) | (__u32)(flags))
#define MESH_OPTIONS_FLAGS(options) ((__u32)(options) & 0xffu)
#define MESH_OPTIONS_AFFINITY(options) ((__u32)(options) >> 8)
#define MESH_SERVICE_DIRECT 0x01    // the backend's host answers clients outside the cluster itself
#define MESH_SERVICE_LOCAL 0x02     // new flows go to a backend of the entry host, if mesh_locals has one
#define MESH_SERVICE_BOUND 0x04     // answers only on the addresses in mesh_bound
#define MESH_SERVICE_ALLOW 0x08     // only for clients in mesh_allowed
#define MESH_SERVICE_NO_ENTRY 0x10  // this host does not answer; it may have backends
#define MESH_SERVICE_READY 0x20     // it has ready backends: a slot without an owner is about to get one
#define MESH_SERVICE_INDEX(protocol, port) \
  (((protocol) == 17 ? 65536u : (protocol) == 132 ? MESH_SERVICES_MAX : 0u) | (__u32)(port))
// mesh_sctp_services: HASH, key __u32 MESH_SERVICE_INDEX, value struct mesh_service: indices from MESH_SERVICES_MAX on.
// Few hosts have any, and an array would take a MiB.
// chunk: index in mesh_rings of slots 0..63 (24 bits); log2: of the number of slots, 6..16 (5 bits); flags (3 bits).
#define MESH_RING(chunk, log2, flags, version) \
  (((__u64)(version) << 32) | ((__u64)(flags) << 29) | ((__u64)(log2) << 24) | ((__u64)(chunk) & 0xffffffu))
#define MESH_RING_CHUNK(ring) ((__u32)((ring) & 0xffffffu))
#define MESH_RING_LOG2(ring) ((__u32)(((ring) >> 24) & 0x1fu))
#define MESH_RING_VERSION(ring) ((__u32)((ring) >> 32))
#define MESH_RING_VALID 0x1
#define MESH_RING_IS_VALID(ring) (((ring) >> 29) & MESH_RING_VALID)

// mesh_rings: ARRAY (MMAPABLE) of 64 slots each
struct mesh_ring_chunk {
  __u8 slot[64];  // MESH_SLOT_*
};
MESH_SIZE(struct mesh_ring_chunk, 64);
#define MESH_SLOT_OWNER 0x7f  // index in the service's backend list; 0x7f: none
#define MESH_SLOT_MOVED 0x80  // some host may hold records of flows that are not the owner's (F is not empty)
#define MESH_SLOT_NONE 0x7f

// mesh_rows: HASH, only for slots with `previous` or F; keyed with the version so that rows are in place before the
// ring.
struct mesh_row_key {
  __u32 service;  // MESH_SERVICE_INDEX
  __u32 version;
  __u32 slot;
};
MESH_SIZE(struct mesh_row_key, 12);
struct mesh_row {
  __u8 previous;                   // owner one version ago; MESH_SLOT_NONE: the same
  __u8 count;                      // of hosts
  __u16 host[MESH_ROW_HOSTS_MAX];  // F: node numbers, ascending
};
MESH_SIZE(struct mesh_row, 28);

// mesh_bound: HASH, value __u32 (0): the addresses on which a MESH_SERVICE_BOUND answers
struct mesh_bound {
  __u32 service;  // MESH_SERVICE_INDEX
  struct mesh_address address;
};
MESH_SIZE(struct mesh_bound, 20);

// mesh_allowed: LPM_TRIE, value __u32 (0): the clients of a MESH_SERVICE_ALLOW. length counts the service's bits and
// those of the mapped address.
#define MESH_ALLOW_SERVICE_BITS 32u
struct mesh_allow {
  __u32 length;
  __u32 service;  // MESH_SERVICE_INDEX
  struct mesh_address address;
};
MESH_SIZE(struct mesh_allow, 24);

// mesh_locals: HASH, key __u32 MESH_SERVICE_INDEX: the ready backends of a MESH_SERVICE_LOCAL on this host
struct mesh_local {
  __u32 count;
  __u16 binding[MESH_LOCALS_MAX];
};
MESH_SIZE(struct mesh_local, 64);

// mesh_backends: ARRAY (MMAPABLE); a service's backends are contiguous from mesh_service.backends
struct mesh_backend {
  __u16 node;     // 0: hole
  __u16 binding;  // on that node
  __u8 state;     // MESH_STATE_*
  __u8 reserved[3];
};
MESH_SIZE(struct mesh_backend, 8);
enum mesh_state { MESH_STATE_READY = 0, MESH_STATE_DRAINING = 1, MESH_STATE_GONE = 2 };

// mesh_backend_counters: ARRAY (MMAPABLE), index CPU * mesh_config.backend_rows + that in mesh_backends. A per-CPU
// array would need a pointer for each row, and its cache line.
struct mesh_traffic {
  __u64 packets;
  __u64 bytes;  // of the client's IP packets
};
MESH_SIZE(struct mesh_traffic, 16);

// mesh_bindings: ARRAY[MESH_BINDINGS_MAX] by binding index
struct mesh_binding {
  struct mesh_address v6;  // the endpoint's ingress addresses; all zero: it has none of that family
  __be32 v4;
  __u32 ifindex;  // host side of its veth; 0: binding not in use
  __u8 mac[6];    // of the endpoint's interface
  __be16 target_port;
  __be16 published_port;
  __u8 protocol;  // 6, 17 or 132
  __u8 state;     // MESH_STATE_*
  __u32 reserved;
};
MESH_SIZE(struct mesh_binding, 40);

// mesh_binding_counters: PERCPU_ARRAY by binding index
struct mesh_binding_traffic {
  struct mesh_traffic in;   // to the endpoint
  struct mesh_traffic out;  // its replies
  __u64 connections;        // flows that began: a TCP connection, or UDP of one client's port
  __u64 resets_in;          // TCP resets of clients
  __u64 resets_out;         // ... and of the endpoint
};
MESH_SIZE(struct mesh_binding_traffic, 56);

// mesh_flows: ARRAY of sets. A flow has one record, found from both sides, because both know the client: its address
// and port choose the set (and the tag), what else a side knows is compared. Only a flow of which the endpoint sees
// another client than there is (a port that was changed, or itself) has two records in two sets.
struct mesh_flow {
  struct mesh_address client;    // as the client is; MESH_FLOW_REVERSE: as the endpoint sees it
  struct mesh_address original;  // the address that the client asked for
  __be16 client_port;            // as the client sent it
  __be16 given_port;             // as the endpoint sees it; differs when two flows would be one to the endpoint
  __be16 original_port;          // the published port
  __be16 local_port;             // the endpoint's port
  __u32 ifindex;                 // host side of the endpoint's veth
  __u16 binding;
  __u16 entry;  // node number of the entry host: where replies go
  __u8 kind;    // MESH_FLOW_*
  __u8 protocol;
  __u8 flags;  // MESH_FLOW_LOOPED ...
  __u8 reserved[13];
};
MESH_SIZE(struct mesh_flow, 64);
enum mesh_flow_kind {
  MESH_FLOW_FORWARD = 1,  // found by what the client sends
  MESH_FLOW_REVERSE = 2,  // ... by what the endpoint answers
  MESH_FLOW_BOTH = 3,     // ... from both sides
  // No flow, but where a client's address belongs: client, original_port (which is in the place of the client's port
  // too, so that it has a set of its own), protocol, binding.
  MESH_FLOW_AFFINITY = 4,
};
// Bits of mesh_flow.flags.
#define MESH_FLOW_LOOPED 0x01  // client and backend are one container, which sees the mesh address as its client
#define MESH_FLOW_DIRECT 0x02  // replies do not go through the entry host
// State of a flow, the low byte of its mark. Closed: both FINs, or a reset by the endpoint.
#define MESH_FLOW_ANSWERED 0x01  // the endpoint has sent something
#define MESH_FLOW_CLIENT_FIN 0x02
#define MESH_FLOW_ENDPOINT_FIN 0x04
#define MESH_FLOW_RESET 0x08
#define MESH_FLOW_CONFIRMED 0x10  // the client has sent more than a SYN
#define MESH_FLOW_DATAGRAMS 0x20  // UDP
// A mark is the tick of the last refresh, of which 24 bits are kept, and the state.
#define MESH_FLOW_MARK(tick, state) (((__u32)(tick) << 8) | ((__u32)(state) & 0xffu))
#define MESH_FLOW_MARK_STATE(mark) ((__u8)((mark) & 0xffu))
#define MESH_FLOW_MARK_TICK(mark) ((__u32)(mark) >> 8)

// What is asked of every record of a set, and changes, is in its first cache line. Programs make and remove records
// under the lock; readers take none, and look at the tag again after copying.
struct mesh_flow_set {
  struct bpf_spin_lock lock;
  __u32 tag[MESH_FLOW_WAYS];   // 0: the record is free
  __u32 mark[MESH_FLOW_WAYS];  // MESH_FLOW_MARK
  __u32 zero;                  // always: for the verifier an unknown number (lib/flow.h)
  struct mesh_flow record[MESH_FLOW_WAYS];
};
MESH_SIZE(struct mesh_flow_set, 512);

// mesh_filters: ARRAY[MESH_FILTER_WORDS] (MMAPABLE), two filters over flows, by MESH_FILTER_BIT of the tag of what the
// client sends. Bits are set by the programs; user space clears (atomically) what no record needs of `rewritten`, and
// all of `trusted` every second: so each flow is looked up from time to time.
struct mesh_filter {
  __u64 rewritten;  // flows with two records
  __u64 trusted;    // TCP flows whose record was found, confirmed; by their entry host too: three bits
};
MESH_SIZE(struct mesh_filter, 16);
// A tag's lowest bit is always set.
#define MESH_FILTER_BIT(tag) ((tag) >> 1 & (MESH_FILTER_WORDS * 64u - 1u))

// What mesh_sweep is run with (BPF_PROG_TEST_RUN), in place of a packet. It removes records of flows that are over or
// silent for too long (mesh_flow_due()), and those whose binding is not that of their endpoint.
struct mesh_sweep {
  __u32 first;        // set
  __u32 count;        // of sets, at most MESH_SWEEP_SETS_MAX; 0: only tells the time
  __u32 removed;      // answer: records
  __u32 tick;         // answer: now, as marks have it
  __u64 jiffies;      // answer
  __u64 nanoseconds;  // answer: CLOCK_MONOTONIC
};
MESH_SIZE(struct mesh_sweep, 32);

// What mesh_carry is run with: a record of another flow table, which goes to its place in this one unless it is known
// there as newer. Answers XDP_PASS if the table knows the flow now, XDP_DROP if there is no room for it.
struct mesh_carry {
  struct mesh_flow record;
  __u32 mark;
  __u32 reserved;
};
MESH_SIZE(struct mesh_carry, 72);

// mesh_endpoints: HASH, of IPv6
struct mesh_endpoint_key {
  __u32 vni;
  struct mesh_address address;
};
MESH_SIZE(struct mesh_endpoint_key, 20);
struct mesh_endpoint {
  __u32 ifindex;  // host side of its veth; 0: on another host
  __u16 node;
  __u8 mac[6];  // of the endpoint's interface
  __u32 flags;  // 0
};
MESH_SIZE(struct mesh_endpoint, 16);

// mesh_endpoints4: ARRAY (MMAPABLE) of lines, which are searched in the order of lib/endpoint.h: an endpoint is on the
// first that had a place for it. User space writes the second half of an entry before the first, and clears the first
// half first; programs look at it again after they have read the second.
struct mesh_endpoint4 {
  __u32 network;  // VNI, 0: the entry is free; and MESH_ENDPOINT_MORE
  __be32 address;
  __u32 place;     // MESH_ENDPOINT_FAR | node number; or, on this host, host side of its veth
  __be32 ingress;  // of an endpoint of this host: the last four bytes of its MAC (MacAddress::of_endpoint)
} __attribute__((aligned(8)));
MESH_SIZE(struct mesh_endpoint4, 16);
#define MESH_ENDPOINT_FAR 0x80000000u
#define MESH_ENDPOINT_MORE 0x80000000u  // in a line's first entry: endpoints that had no place here are on later lines
#define MESH_ENDPOINTS_OF_LINE 4u
struct mesh_endpoint_line {
  struct mesh_endpoint4 entry[MESH_ENDPOINTS_OF_LINE];
};
MESH_SIZE(struct mesh_endpoint_line, 64);

// mesh_sources: HASH: every address that the endpoint behind a veth may use
struct mesh_source_key {
  __u32 ifindex;  // host side
  struct mesh_address address;
};
MESH_SIZE(struct mesh_source_key, 20);
struct mesh_source {
  __u32 vni;
  __u16 flags;  // MESH_SOURCE_*
  __u8 mac[6];
  __u32 reserved;
};
MESH_SIZE(struct mesh_source, 16);
#define MESH_SOURCE_NO_EXIT 0x01  // all of the endpoint's networks are internal: nothing leaves the cluster

// mesh_networks: LPM_TRIE, length counts bits of the mapped address (IPv4 /24 is 120)
struct mesh_prefix {
  __u32 length;
  struct mesh_address address;
};
MESH_SIZE(struct mesh_prefix, 20);
struct mesh_network {
  __u32 vni;
  __u32 flags;  // 0
};
MESH_SIZE(struct mesh_network, 8);
// mesh_vnis: HASH, key __u32 vni, value __u32 flags (0). The ingress network's VNI is in it too.

// mesh_vips: HASH, key struct mesh_address. Write the addresses first, then replace the value.
struct mesh_vip {
  __u32 vni;
  __u32 first;    // index in mesh_vip_backends
  __u32 count;    // of ready backends; 0: connect fails with EHOSTUNREACH
  __u32 service;  // for counters and reports
};
MESH_SIZE(struct mesh_vip, 16);
// mesh_vip_backends: ARRAY (MMAPABLE) of struct mesh_address

// mesh_namespaces: HASH, key __u64 netns cookie, value __u32 ifindex of the endpoint's veth (host side)
// mesh_members: HASH
struct mesh_member {
  __u64 cookie;
  __u32 vni;
  __u32 reserved;
};
MESH_SIZE(struct mesh_member, 16);

// mesh_origins: LRU_HASH, written by the socket programs only
struct mesh_origin_key {
  __u64 socket;  // cookie
  struct mesh_address address;
  __be16 port;
  __u16 reserved[3];
};
MESH_SIZE(struct mesh_origin_key, 32);
struct mesh_origin {
  struct mesh_address address;
  __be16 port;
  __u16 reserved[3];
};
MESH_SIZE(struct mesh_origin, 24);

// mesh_formers: LRU_HASH: an address that was among a virtual IP's and is not any more, so that sockets which are
// connected to it can be led on
struct mesh_former_key {
  __u32 vni;
  struct mesh_address address;
};
MESH_SIZE(struct mesh_former_key, 20);
struct mesh_former {
  struct mesh_address vip;
  __u32 service;  // as in mesh_vip: the address may be another service's by now
};
MESH_SIZE(struct mesh_former, 20);

// mesh_leads: LRU_HASH, written by the programs only; value struct mesh_address: whom a datagram of the client to
// `peer` goes to (MESH_LEAD_ASKED), whom an answer of `peer` to the client comes from (MESH_LEAD_ANSWERS)
struct mesh_lead_key {
  __u32 vni;
  struct mesh_address client;
  struct mesh_address peer;
  __be16 client_port;
  __be16 peer_port;
  __u32 kind;  // MESH_LEAD_*
};
MESH_SIZE(struct mesh_lead_key, 44);
enum mesh_lead_kind { MESH_LEAD_ASKED = 1, MESH_LEAD_ANSWERS = 2 };
// mesh_leading: ARRAY[1] of __u32: 1 if mesh_leads was ever written. Then datagrams between endpoints are looked for
// there.

// ---- programs ---------------------------------------------------------------------------------------------------
// X(symbol in the object, section, where it is attached)
#define MESH_PROGRAMS(X)                                                        \
  X(mesh_uplink_xdp, "xdp", "each uplink in xdp mode")                          \
  X(mesh_uplink_tc, "tc", "ingress of each uplink, in both modes")              \
  X(mesh_endpoint_tc, "tc", "ingress of the host side of each endpoint's veth") \
  X(mesh_entry_tc, "tc", "ingress of mesh1")                                    \
  X(mesh_sweep, "xdp", "nowhere: user space runs it")                           \
  X(mesh_carry, "xdp", "nowhere: user space runs it")                           \
  X(mesh_connect4, "cgroup/connect4", "cgroup root")                            \
  X(mesh_connect6, "cgroup/connect6", "cgroup root")                            \
  X(mesh_sendmsg4, "cgroup/sendmsg4", "cgroup root")                            \
  X(mesh_sendmsg6, "cgroup/sendmsg6", "cgroup root")                            \
  X(mesh_recvmsg4, "cgroup/recvmsg4", "cgroup root")                            \
  X(mesh_recvmsg6, "cgroup/recvmsg6", "cgroup root")                            \
  X(mesh_peername4, "cgroup/getpeername4", "cgroup root")                       \
  X(mesh_peername6, "cgroup/getpeername6", "cgroup root")

#ifdef __cplusplus
}  // extern "C"
#endif
