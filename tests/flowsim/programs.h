// The programs' own steps (bpf/entry.h, receive.h, reply.h, sweep.bpf.c and what they call) over the tables of one of
// several hosts: what a host decides about a packet, without the packet's bytes.
#pragma once

#include "bpf/lib/tunnel.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FLOWSIM_PORT_FIRST 8080u  // of the published ones, which follow each other
#define FLOWSIM_PORTS 6u
#define FLOWSIM_TARGET_PORT 80u  // of the containers, for all of them
#define FLOWSIM_NODES_MAX 16u
#define FLOWSIM_BINDINGS_MAX 1024u
#define FLOWSIM_CHUNKS_MAX 16u  // 1,024 slots
#define FLOWSIM_SLOTS_MAX (FLOWSIM_CHUNKS_MAX * 64u)
#define FLOWSIM_SETS 16384u

// What the maps of one host hold of one published port.
struct flowsim_port {
  __u32 index;                  // MESH_SERVICE_INDEX
  struct mesh_service service;  // ring 0: the port is not published here
  struct mesh_local local;
  struct mesh_row rows[FLOWSIM_SLOTS_MAX];  // of the service's ring version
  __u8 has_row[FLOWSIM_SLOTS_MAX];
};

// ... and of everything. Maps that are not here are empty.
struct flowsim_tables {
  struct mesh_config config;
  struct flowsim_port ports[FLOWSIM_PORTS];
  struct mesh_ring_chunk rings[FLOWSIM_PORTS * FLOWSIM_CHUNKS_MAX];
  struct mesh_backend backends[FLOWSIM_PORTS * MESH_SERVICE_BACKENDS_MAX];
  struct mesh_node nodes[FLOWSIM_NODES_MAX];
  struct mesh_binding bindings[FLOWSIM_BINDINGS_MAX];
  struct mesh_binding_traffic binding_traffic[FLOWSIM_BINDINGS_MAX];
  struct mesh_filter filters[MESH_FILTER_WORDS];
  __u64 counters[MESH_COUNTERS];
  __u64 jiffies;
  struct mesh_flow_set flows[FLOWSIM_SETS];
};

enum flowsim_verdict {
  FLOWSIM_DROP,     // `reason` says why
  FLOWSIM_DELIVER,  // to the container behind `ifindex`, which sees `seen` and `given_port`
  FLOWSIM_SEND,     // through the tunnel to `node`, with `header`
  FLOWSIM_CLIENT,   // a reply, straight to its client
  FLOWSIM_PASS,     // to the host's own stack
};

struct flowsim_outcome {
  enum flowsim_verdict verdict;
  __u32 reason;
  __u32 ifindex;
  __u16 node;
  __be16 given_port;
  struct mesh_address seen;
  struct mesh_tunnel header;     // as on the wire
  struct mesh_address original;  // of a reply: its source
  struct mesh_address client;    // ... and destination
  __be16 original_port;
  __be16 client_port;
};

// A client's packet at its entry host; `inside`: of one of its containers.
struct flowsim_outcome flowsim_enter(struct flowsim_tables* host, const struct mesh_packet* packet, int inside);
// A tunnel packet from another host.
struct flowsim_outcome flowsim_receive(struct flowsim_tables* host, const struct mesh_packet* packet,
                                       const struct mesh_tunnel* header);
// A packet of the container behind `ifindex`.
struct flowsim_outcome flowsim_reply(struct flowsim_tables* host, const struct mesh_packet* packet, __u32 ifindex,
                                     const __u8* mac);
// Removes records that are over from the whole table.
void flowsim_sweep(struct flowsim_tables* host);

#ifdef __cplusplus
}  // extern "C"
#endif
