// What `meshctl dataplane …` shows: the data plane's inspection as JSON objects. Pure.
//
//   status    Kernel and Desired counts, Hooks, Maps, Differences; the agent adds Tables, Uplinks, Problems, Names
//   services  Ports (ring and backends as the kernel holds them, AsDesired), Traffic of each published port, VirtualIPs
//   backends  Backends of this host with their counters; Ports: what entered here, to which backend of which node
//   flows     Flows whose backend is here; More: the list was cut
//   drops     Drops, every reason; Events: what else happened to packets and flows
//
// A port's connections and resets are those of its backends on this host: they are counted where its flows' records
// are.
#pragma once

#include "base/json.h"
#include "control/api/node_metrics.h"
#include "dataplane/dataplane.h"

namespace mesh::agent {

inline constexpr std::size_t kInspectedFlowsMax = 1000;

[[nodiscard]] JsonObject inspection_status(const dataplane::Inspection& inspection);
[[nodiscard]] JsonObject inspection_services(const dataplane::Inspection& inspection,
                                             const dataplane::Counters& counters);
[[nodiscard]] JsonObject inspection_backends(const dataplane::Inspection& inspection,
                                             const dataplane::Counters& counters);
[[nodiscard]] JsonObject inspection_flows(const std::vector<dataplane::FlowRecord>& flows, bool more);
[[nodiscard]] JsonObject inspection_drops(const dataplane::Counters& counters);
// For /metrics. Tasks are named by their ids.
[[nodiscard]] api::NodeMetrics node_metrics(const dataplane::Counters& counters,
                                            const std::vector<dataplane::MapMemory>& memory);

}  // namespace mesh::agent
