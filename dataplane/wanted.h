// What Desired means in the maps' terms: pure. Everything but the pieces whose place depends on what the kernel already
// holds (rings, backends, virtual IPs: dataplane/layout.h).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/desired.h"
#include "dataplane/pieces.h"
#include "dataplane/state.h"

namespace mesh::dataplane {

// The rows of kConfig, kAddresses, kNodes, kBindings, kEndpoints, kEndpoints4, kSources, kNetworks, kVnis,
// kNamespaces, kMembers.
[[nodiscard]] Observed wanted_tables(const Desired& desired, const HostFacts& facts);
[[nodiscard]] Observed wanted_tables(const Desired& desired, const HostFacts& facts,
                                     const Pieces& pieces);  // all of its
// Of these only the rows of some endpoints and bindings; and these endpoints' hooks.
[[nodiscard]] Observed wanted_rows(const Desired& desired, const HostFacts& facts, const Pieces& pieces);
// Every hook with the loaded program's id.
[[nodiscard]] std::map<Hook, Attached> wanted_hooks(const Desired& desired, const HostFacts& facts);
// Parts of Desired that the maps cannot hold, with the limit's name.
[[nodiscard]] std::vector<Problem> limit_problems(const Desired& desired);

// The cgroup programs and the kernel's names of their hooks ("connect4").
struct CgroupProgram {
  const char* program;
  const char* hook;
};
[[nodiscard]] const std::vector<CgroupProgram>& cgroup_programs();

inline constexpr const char* kUplinkXdpProgram = "mesh_uplink_xdp";
// Stands before it while a trace waits for a packet (catcher.h).
inline constexpr const char* kUplinkXdpStandIn = "mesh_before_xdp";
inline constexpr const char* kUplinkTcProgram = "mesh_uplink_tc";
inline constexpr const char* kEndpointTcProgram = "mesh_endpoint_tc";
inline constexpr const char* kEntryTcProgram = "mesh_entry_tc";

}  // namespace mesh::dataplane
