// The world that packets are tried in, as one host of it sees it, and the frames that come in there.
//
// This host is node 1. Its endpoint A (10.0.0.5, fd00::5, 10.1.0.5 in network 4100) is behind ifindex 1, where endpoint
// programs run; B (10.0.0.6, 10.1.0.6, and 10.2.0.6 in network 4101) is behind kEndpointB; C is on node 2.
// Published ports, TCP and UDP, with target port 80:
//   8001 A · 8002 node 2 · 8003 none · 8004 node 4, whose way is unknown · 8005 A, moved, F = {2, 3}
//   8006 A, moved, previous owner on node 2 · 8007 node 2, moved, F = {1, 3} · 8008 A, which has no IPv6 there
// SCTP, with the published port as target: 8001, 8002 and 8003 likewise.
#pragma once

#include "tests/packet/bpf/frame.h"

namespace mesh::packet {

enum class Verdict { kPass, kDrop, kRedirect };

inline constexpr Mac kUplinkMac = {0x02, 0, 0, 0, 1, 1};
inline constexpr Mac kNode2Mac = {0x02, 0, 0, 0, 1, 2};
inline constexpr Mac kNode3Mac = {0x02, 0, 0, 0, 1, 3};
inline constexpr Mac kClientMac = {0x02, 0, 0, 0, 1, 9};
inline constexpr __u32 kEndpointA = 1;
inline constexpr __u32 kEndpointB = 77;
inline constexpr __u32 kMeshInterface = 78;
inline constexpr __u32 kMovedVersion = 5;
inline constexpr __u16 kSctpBinding = 31;
inline constexpr __u32 kAffinityTicks = 1000;
// Ports with options, TCP alone, and their bindings.
inline constexpr __u16 kDirect = 8100, kAllow = 8101, kBound = 8102, kNoEntry = 8103, kAffinity = 8104, kLocal = 8105;
inline constexpr __u16 kDirectBinding = 100, kNoEntryBinding = 103, kKeptBinding = 104, kOwnerBinding = 105,
                       kLocalBinding = 106;

// Everything above, written to the tables; `uplink` is the way to the other nodes.
void fill_three_hosts(World& world, __u32 uplink);
// And the ports with options.
void fill_options(World& world);

[[nodiscard]] int code(const std::string& program, Verdict verdict);
[[nodiscard]] std::string hex(const Bytes& bytes);

// From the client to this host; `v6` chooses the addresses.
[[nodiscard]] Frame from_client(__u8 protocol, __u16 port, bool v6 = false);
// As node 2's entry would send it here.
[[nodiscard]] Frame from_node2(__u8 protocol, __u16 port, __u16 binding, bool v6 = false);
// What A receives of a client's frame.
[[nodiscard]] Frame delivered_to_a(const Frame& sent, __u16 target_port = 80);
// The tunnel from here to node 2; for that backend of a published port, to an endpoint of a network, with a reply.
[[nodiscard]] Tunnel to_node2();
[[nodiscard]] Tunnel forward_to_node2(__u16 binding);
[[nodiscard]] Tunnel overlay_to_node2(__u32 vni);
[[nodiscard]] Tunnel reply_to_node2();
// From A; the MACs are right.
[[nodiscard]] Frame from_a(const std::string& source, const std::string& destination, __u8 protocol, __u16 source_port,
                           __u16 destination_port);

}  // namespace mesh::packet
