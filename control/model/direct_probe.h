// Whether the underlay carries direct answers (return mode dsr), as `meshctl doctor` finds out: hosts send packets with
// other hosts' source addresses, and tell which ones came. What a manager asks each host, and what that host says.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace mesh::model {

// In this order, each when all hosts have answered the one before.
enum class ProbeStep : std::uint8_t { kListen, kSend, kTell };
constexpr std::array<EnumName<ProbeStep>, 3> json_names(const ProbeStep*) {
  return {{{ProbeStep::kListen, "listen"}, {ProbeStep::kSend, "send"}, {ProbeStep::kTell, "tell"}}};
}

struct DirectProbe {
  IpAddress source, destination;
};
template <class Visit>
constexpr bool json_fields(const DirectProbe*, Visit&& visit) {
  return visit("Source", &DirectProbe::source) && visit("Destination", &DirectProbe::destination);
}

struct ProbeQuestion {
  std::uint64_t id = 0;
  std::string token;  // the same for all questions of one run
  ProbeStep step = ProbeStep::kListen;
  std::uint16_t sender = 0;  // number of the host that is asked
  std::vector<DirectProbe> probes;
};
template <class Visit>
constexpr bool json_fields(const ProbeQuestion*, Visit&& visit) {
  using Q = ProbeQuestion;
  return visit("ID", &Q::id) && visit("Token", &Q::token) && visit("Step", &Q::step) && visit("Sender", &Q::sender) &&
         visit("Probes", &Q::probes, kOmitEmpty);
}

struct HeardProbe {
  std::uint16_t sender = 0;
  IpAddress source;
};
template <class Visit>
constexpr bool json_fields(const HeardProbe*, Visit&& visit) {
  return visit("Sender", &HeardProbe::sender) && visit("Source", &HeardProbe::source);
}

struct ProbeAnswer {
  std::uint64_t id = 0;
  std::string error;  // why the host could not do it; "": it did
  std::vector<HeardProbe> heard;
};
template <class Visit>
constexpr bool json_fields(const ProbeAnswer*, Visit&& visit) {
  return visit("ID", &ProbeAnswer::id) && visit("Error", &ProbeAnswer::error, kOmitEmpty) &&
         visit("Heard", &ProbeAnswer::heard, kOmitEmpty);
}

}  // namespace mesh::model
