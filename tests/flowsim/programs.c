#include "tests/flowsim/programs.h"

#include "bpf/sweep.bpf.c"
#include "bpf/tunnel_in.h"

static struct flowsim_tables* current;
static struct mesh_scratch scratch_room;

static struct flowsim_port* port_of(__u32 index) {
  __u32 place = (index & 0xffffu) - FLOWSIM_PORT_FIRST;
  return place < FLOWSIM_PORTS && current->ports[place].index == index ? &current->ports[place] : 0;
}

#define FLOWSIM_ROW(map, symbol, rows, count) \
  if ((map) == (void*)&(symbol)) return *(const __u32*)key < (count) ? &(rows)[*(const __u32*)key] : 0

// The map is known where this is inlined: one of the lines is left.
static inline __attribute__((always_inline)) void* flowsim_lookup(void* map, const void* key) {
  if (map == (void*)&mesh_config) return &current->config;
  if (map == (void*)&mesh_scratch) return &scratch_room;
  FLOWSIM_ROW(map, mesh_flows, current->flows, FLOWSIM_SETS);
  FLOWSIM_ROW(map, mesh_filters, current->filters, MESH_FILTER_WORDS);
  FLOWSIM_ROW(map, mesh_counters, current->counters, (__u32)MESH_COUNTERS);
  FLOWSIM_ROW(map, mesh_rings, current->rings, FLOWSIM_PORTS * FLOWSIM_CHUNKS_MAX);
  FLOWSIM_ROW(map, mesh_backends, current->backends, FLOWSIM_PORTS * MESH_SERVICE_BACKENDS_MAX);
  FLOWSIM_ROW(map, mesh_bindings, current->bindings, FLOWSIM_BINDINGS_MAX);
  FLOWSIM_ROW(map, mesh_binding_counters, current->binding_traffic, FLOWSIM_BINDINGS_MAX);
  FLOWSIM_ROW(map, mesh_nodes, current->nodes, FLOWSIM_NODES_MAX);
  if (map == (void*)&mesh_services) {
    struct flowsim_port* port = port_of(*(const __u32*)key);
    return port ? &port->service : 0;
  }
  if (map == (void*)&mesh_locals) {
    struct flowsim_port* port = port_of(*(const __u32*)key);
    return port && port->local.count ? &port->local : 0;
  }
  if (map == (void*)&mesh_rows) {
    const struct mesh_row_key* row = key;
    struct flowsim_port* port = port_of(row->service);
    if (!port || row->version != MESH_RING_VERSION(port->service.ring) || !port->has_row[row->slot]) return 0;
    return &port->rows[row->slot];
  }
  return 0;
}

// Only of tables that are not simulated.
static inline long flowsim_update(void* map, const void* key, const void* value, __u64 flags) {
  (void)map, (void)key, (void)value, (void)flags;
  return -1;
}

static inline long flowsim_delete(void* map, const void* key) {
  (void)map, (void)key;
  return -1;
}

static inline __u64 flowsim_jiffies(void) { return current->jiffies; }

static inline long flowsim_loop(__u32 count, long (*body)(__u32, void*), void* context, __u64 flags) {
  (void)flags;
  __u32 done = 0;
  while (done < count && body(done, context) == 0) done++;
  return done;
}

static struct flowsim_outcome outcome_of(const struct mesh_work* work, int action) {
  struct flowsim_outcome outcome = {.verdict = FLOWSIM_DROP, .reason = work->reason};
  if (action == MESH_PASS || action == MESH_EXIT) outcome.verdict = FLOWSIM_PASS;
  if (action == MESH_CLIENT) outcome.verdict = FLOWSIM_CLIENT;
  if (action == MESH_DELIVER) {
    outcome.verdict = FLOWSIM_DELIVER;
    outcome.ifindex = work->ifindex;
    outcome.given_port = work->tuple.source_port;
    outcome.seen = work->tuple.source;
  }
  if (action == MESH_TUNNEL || action == MESH_SEND_ON) {
    outcome.verdict = FLOWSIM_SEND;
    outcome.node = work->to;
    outcome.header.vxlan_flags = 0;
    mesh_tunnel_encode(&outcome.header, &work->header);
  }
  return outcome;
}

struct flowsim_outcome flowsim_enter(struct flowsim_tables* host, const struct mesh_packet* packet, int inside) {
  current = host;
  struct mesh_work work = {.config = mesh_settings(), .packet = *packet, .segment = packet->length};
  const enum mesh_place place = inside ? MESH_AT_ENDPOINT : MESH_AT_UPLINK;
  return outcome_of(&work, mesh_conclude(&work, mesh_enter(&work, place)));
}

struct flowsim_outcome flowsim_receive(struct flowsim_tables* host, const struct mesh_packet* packet,
                                       const struct mesh_tunnel* header) {
  current = host;
  struct mesh_work work = {.config = mesh_settings(), .packet = *packet, .encapsulated = 1};
  mesh_tunnel_decode(header, &work.header);
  return outcome_of(&work, mesh_conclude(&work, mesh_forward_in(&work)));
}

struct flowsim_outcome flowsim_reply(struct flowsim_tables* host, const struct mesh_packet* packet, __u32 ifindex,
                                     const __u8* mac) {
  current = host;
  struct mesh_work work = {.config = mesh_settings(), .packet = *packet, .segment = packet->length, .ifindex = ifindex};
  struct flowsim_outcome outcome = outcome_of(&work, mesh_reply(&work, mac));
  outcome.original = work.tuple.source;
  outcome.client = work.tuple.destination;
  outcome.original_port = work.tuple.source_port;
  outcome.client_port = work.tuple.destination_port;
  return outcome;
}

void flowsim_sweep(struct flowsim_tables* host) {
  current = host;
  struct mesh_sweep_context context = {.config = mesh_settings(), .first = 0};
  context.now = mesh_now(context.config);
  bpf_loop(FLOWSIM_SETS, mesh_sweep_set, &context, 0);
}
