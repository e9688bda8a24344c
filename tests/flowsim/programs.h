// The programs' own steps (bpf/entry.h, receive.h, reply.h, sweep.bpf.c and what they call) over the tables of one of
// several hosts: what a host decides about a packet, without the packet's bytes. One published TCP port.
#pragma once

#include "bpf/lib/tunnel.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FLOWSIM_PORT 8080u       // published
#define FLOWSIM_TARGET_PORT 80u  // of the containers
#define FLOWSIM_NODES_MAX 16u
#define FLOWSIM_BINDINGS_MAX 512u
#define FLOWSIM_CHUNKS_MAX 64u  // 4,096 slots
#define FLOWSIM_SETS 16384u

// What the maps of one host hold. Maps that are not here are empty.
struct flowsim_tables {
  struct mesh_config config;
  struct mesh_service service;  // ring 0: the port is not published here
  struct mesh_ring_chunk rings[FLOWSIM_CHUNKS_MAX];
  struct mesh_row rows[FLOWSIM_CHUNKS_MAX * 64u];  // by slot, of the service's ring version
  __u8 has_row[FLOWSIM_CHUNKS_MAX * 64u];
  struct mesh_backend backends[MESH_SERVICE_BACKENDS_MAX + 1u];
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
  FLOWSIM_DELIVER,  // to the container behind `ifindex`, which sees `given_port`
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
  struct mesh_tunnel header;     // as on the wire
  struct mesh_address original;  // of a reply: its source
  __be16 client_port;            // of a reply: its destination
};

// A client's packet at its entry host.
struct flowsim_outcome flowsim_enter(struct flowsim_tables* host, const struct mesh_packet* packet);
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
