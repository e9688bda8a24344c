// What a run is made of, and what is broken in it on purpose.
#pragma once

#include <cstdint>

#include "tests/flowsim/clock.h"

namespace mesh::flowsim {

// Each takes one rule of the algorithm away, from outside: in what the hosts are told, in the headers on the wire, or
// in what the leader does. The programs and the ring's functions stay as they are.
enum class Fault : std::uint8_t {
  kNone,
  kNoCircle,         // hosts are not told which others may hold records (F), only that there are some
  kNoSearch,         // ... nor that: the new owner creates at once
  kNoPrevious,       // hosts are not told the previous owner: a host of F like any other
  kNoVersions,       // every packet looks as if it were stamped with the receiver's ring
  kNoStage,          // a packet's stage is lost on its way
  kForgetEarly,      // hosts leave F without being asked what they hold
  kNoWaiting,        // the leader does not wait for acknowledgements
  kDrainingOwns,     // draining backends keep their slots
  kFreshRing,        // each ring is computed from nothing
  kNoAffinity,       // hosts are not told that a port remembers its clients
  kAffinityNotHeld,  // what hosts report as held leaves out where clients belong
  kNoChoice,         // that a packet's backend was chosen before its walk is lost on its way
  kNoLocal,          // hosts are not told that a port prefers their own backends
};

struct Scenario {
  std::uint64_t seed = 1;
  std::uint32_t connections = 60'000;
  Fault fault = Fault::kNone;

  std::uint16_t hosts = 5;
  std::uint16_t steady_hosts = 2;  // the first ones never die, so that some flows live for hours
  std::size_t backends_min = 3;
  std::size_t backends_max = 12;
  double flipping_clients = 0.6;  // of the clients: their packets come in at any host
  bool laggards = true;           // hosts that do not acknowledge in time
  Time change_mean = 1800 * kMillisecond;
  Time quiet_change_mean = 20 * kSecond;  // once all connections are opened: only the idle ones are left
  Time idle_max = 2 * kHour;
};

}  // namespace mesh::flowsim
