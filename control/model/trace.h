// The walk of one packet through the hosts, step by step: what a manager asks each host on the way, and what that host
// says (`meshctl trace`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace mesh::model {

// What the packet is to be.
struct TraceProbe {
  std::string source, destination;  // ADDRESS:PORT
  std::string protocol;             // tcp, udp
  bool established = false;         // of TCP: an ACK instead of a first SYN
};
template <class Visit>
constexpr bool json_fields(const TraceProbe*, Visit&& visit) {
  return visit("Source", &TraceProbe::source) && visit("Destination", &TraceProbe::destination) &&
         visit("Protocol", &TraceProbe::protocol) && visit("Established", &TraceProbe::established, kOmitEmpty);
}

// Which real packet is waited for, the next that is like this.
struct TraceCatch {
  std::string source, destination;  // ADDRESS or ADDRESS:PORT; "": any
  std::uint16_t port = 0;           // of the destination; 0: any
  std::string protocol;             // tcp, udp; "": any
  bool in_tunnel = false;           // also what other hosts send in the tunnel
  Duration timeout{};
};
template <class Visit>
constexpr bool json_fields(const TraceCatch*, Visit&& visit) {
  return visit("Source", &TraceCatch::source, kOmitEmpty) &&
         visit("Destination", &TraceCatch::destination, kOmitEmpty) && visit("Port", &TraceCatch::port, kOmitEmpty) &&
         visit("Protocol", &TraceCatch::protocol, kOmitEmpty) &&
         visit("InTunnel", &TraceCatch::in_tunnel, kOmitEmpty) && visit("Timeout", &TraceCatch::timeout);
}

struct TraceQuestion {
  std::uint64_t id = 0;
  std::string trace;  // the same for all questions of one walk
  TraceProbe probe;
  std::string packet;   // a frame of another host, base64; empty: the walk begins here, with the probe
  bool answer = false;  // the packet is a container's answer, not what it answers to
  // The walk begins here, with a real packet. To be asked again every kTraceRenewal, as a renewal, or the host gives
  // up.
  std::optional<TraceCatch> next;
  bool renewal = false;
  bool real = false;  // the packet is a real one: it has been here already
};
inline constexpr Duration kTraceRenewal = std::chrono::seconds(1);
template <class Visit>
constexpr bool json_fields(const TraceQuestion*, Visit&& visit) {
  return visit("ID", &TraceQuestion::id) && visit("Trace", &TraceQuestion::trace) &&
         visit("Probe", &TraceQuestion::probe) && visit("Packet", &TraceQuestion::packet, kOmitEmpty) &&
         visit("Answer", &TraceQuestion::answer, kOmitEmpty) && visit("Next", &TraceQuestion::next) &&
         visit("Renewal", &TraceQuestion::renewal, kOmitEmpty) && visit("Real", &TraceQuestion::real, kOmitEmpty);
}

// One program, and what it decided.
struct TraceStep {
  std::string where;   // "uplink eth0 (tc)", "container web.1.…"
  std::string packet;  // as it came
  std::vector<std::string> lines;
  bool operator==(const TraceStep&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TraceStep*, Visit&& visit) {
  return visit("Where", &TraceStep::where) && visit("Packet", &TraceStep::packet) && visit("Lines", &TraceStep::lines);
}

struct TraceAnswer {
  std::uint64_t id = 0;
  std::string error;  // why the host cannot tell; "": it can
  std::vector<TraceStep> steps;
  std::uint16_t next = 0;  // number of the node that the packet goes on to; 0: the walk ends here
  std::string packet;      // ... as it leaves for there
  bool answer = false;     // ... and it is a container's answer
  std::string end;         // how the walk ended, if it did
};
template <class Visit>
constexpr bool json_fields(const TraceAnswer*, Visit&& visit) {
  return visit("ID", &TraceAnswer::id) && visit("Error", &TraceAnswer::error, kOmitEmpty) &&
         visit("Steps", &TraceAnswer::steps) && visit("Next", &TraceAnswer::next, kOmitEmpty) &&
         visit("Packet", &TraceAnswer::packet, kOmitEmpty) && visit("Answer", &TraceAnswer::answer, kOmitEmpty) &&
         visit("End", &TraceAnswer::end, kOmitEmpty);
}

}  // namespace mesh::model
