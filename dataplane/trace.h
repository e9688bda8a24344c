// What the programs of this host make of one packet, without a trace of it: the same programs, loaded once more over
// tables of their own for all that they write (flow records, filters, counters), which begin as a copy of the real
// ones. What they only read is the real thing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "dataplane/dataplane.h"

namespace mesh::dataplane {

using Frame = std::vector<std::uint8_t>;  // from the Ethernet header on

inline constexpr std::uint8_t kTcpFin = 0x01, kTcpSyn = 0x02, kTcpRst = 0x04, kTcpAck = 0x10;

// What of a packet is told to people. Not TCP, UDP or SCTP: ports are 0.
struct TracedPacket {
  SocketAddress source, destination;
  std::uint8_t protocol = 6;
  std::uint8_t tcp_flags = 0;
};
// A frame with right checksums. Both addresses are of one family.
[[nodiscard]] Frame make_frame(const TracedPacket& packet, const MacAddress& from, const MacAddress& to);
// What a container would answer to a frame that it got: SYN+ACK to a SYN; ACK to another segment of a connection that
// it knows, a reset if it knows none; UDP to UDP. Nothing to a reset and to what is neither TCP nor UDP.
[[nodiscard]] std::optional<Frame> answer_to(const Frame& delivered, bool known);

// The header between hosts (bpf/wire.h).
struct TracedTunnel {
  IpAddress from, to;  // of the outer packet
  std::string kind;    // "client's packet", "answer", "packet of a network"
  std::uint32_t vni = 0;
  std::uint16_t entry = 0;  // node numbers
  std::uint16_t stop = 0, prev = 0;
  std::uint16_t binding = 0;
  std::uint32_t ring_version = 0;
  std::uint8_t hops = 0;
  std::string stage;  // "entry", "circle", "previous owner", "create"
  bool moved = false, mixed = false;
};
struct TracedFrame {
  std::optional<TracedTunnel> tunnel;
  std::optional<TracedPacket> packet;  // the innermost; none: not IP
  MacAddress to;
};
[[nodiscard]] TracedFrame read_frame(const Frame& frame);

// The slot of a published port's ring that a packet belongs to, by this host's tables.
struct TracedSlot {
  std::uint32_t version = 0;
  std::uint32_t slot = 0, slots = 0;
  bool moved = false;
  std::uint16_t node = 0;     // of the owner; 0: none
  std::uint16_t binding = 0;  // ... there
};

// Which real packet is waited for; what is unset or 0 is any.
struct CatchOrder {
  SocketAddress source, destination;
  std::uint8_t protocol = 0;
  bool in_tunnel = false;  // also what other hosts send here in the tunnel: then the packet in it counts
};
// What a packet met in the tables that its program was about to write: rows of mesh_flows and mesh_filters.
struct MetTables {
  std::uint32_t flow_index = 0, filter_index = 0;
  std::string flows, filter;
};
struct CaughtPacket {
  std::string program;
  std::uint32_t ifindex = 0;
  std::uint32_t length = 0;    // of the frame as it came, bytes
  std::uint32_t segments = 1;  // packets of a wire that it stands for; `frame` is the first
  Frame frame = {};            // behind the headers zeros
  std::optional<MetTables> met = {};
};

struct TraceOrder {
  std::string trace;          // its name: packets of one trace find what its earlier ones recorded on this host
  std::string program;        // MESH_PROGRAMS, one that takes packets
  std::uint32_t ifindex = 0;  // where the packet comes in
  Frame frame;
  std::optional<MetTables> met = {};  // ... what a caught packet met; the tables of now may know it already
};
struct TraceRun {
  enum class Verdict : std::uint8_t { kPass, kDrop, kRedirect };
  Verdict verdict = Verdict::kPass;
  Frame frame;                         // as the program left it
  std::vector<std::string> drops;      // reasons that were counted, with their sentences
  std::vector<std::string> events;     // names of what else was counted
  std::optional<TracedSlot> slot;      // of a client's packet to a published port
  std::optional<FlowRecord> flow;      // the record that the packet found here, as it was before
  std::uint32_t endpoint_ifindex = 0;  // of the endpoint that the packet goes to; 0: to none of this host
};

}  // namespace mesh::dataplane
