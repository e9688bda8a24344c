// What a run of mesh-pktgen measured, and how it is told. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "bench/pktgen/probe.h"

namespace mesh::pktgen {

struct Figures {
  std::string target;    // ADDRESS:PORT
  std::string protocol;  // "udp", "tcp-syn"
  std::string mode;      // how frames got on the wire
  std::string interface;
  std::uint64_t flows = 0, bytes = 0;  // of a frame
  double seconds = 0;                  // of sending
  std::uint64_t sent = 0;
  probe_counts counts{};
};

// Answers of several counters, as of one for each CPU.
void add_counts(probe_counts& to, const probe_counts& more);
// The time within which `share` (0 to 1) of the answers came, in nanoseconds and right to 6 %; 0 without any.
[[nodiscard]] double percentile_ns(const probe_counts& counts, double share);
// Of what was sent, the share that had no answer: 0 to 1.
[[nodiscard]] double loss(const Figures& figures);

[[nodiscard]] Json to_json(const Figures& figures);
[[nodiscard]] std::string to_table(const Figures& figures);

}  // namespace mesh::pktgen
