// The next real packet of this host that somebody asks for, caught where an attached program takes it, by programs that
// are there only as long as this object. What they cost a packet meanwhile is a comparison.
//
// At the entry of the attached programs (fentry), if the kernel lets us. Some forbid it: then before them, by TCX
// (Linux 6.6), and in xdp mode in the program's own place. There one can wait at a time; and if meshd is killed
// meanwhile, that stand-in leaves packets to the uplink's tc program until the next meshd, which puts the program back.
// All else ends with meshd.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "dataplane/kernel.h"
#include "dataplane/trace.h"

namespace mesh::dataplane {

// Where packets of the host meet a program.
struct CatchPlaces {
  std::vector<std::uint32_t> xdp_uplinks, tc_uplinks, endpoints;  // interfaces
};

class Catcher {
 public:
  // kUnsupported: this kernel has none of the ways. kExhausted: the only one there is is taken.
  [[nodiscard]] static Result<Catcher> attach(Kernel& kernel, const std::string& pin_dir, const CatchPlaces& places,
                                              const CatchOrder& order);
  // The first that came, if any does within the time. Not to be called by two threads at once.
  [[nodiscard]] Result<std::optional<CaughtPacket>> wait(std::chrono::milliseconds timeout);

  Catcher(Catcher&&) noexcept;
  Catcher& operator=(Catcher&&) noexcept;
  // Nothing stays attached.
  ~Catcher();

 private:
  struct State;
  explicit Catcher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// What a row of the ring (bpf/catch.h) tells. A packet that stands for several (GRO) becomes the first of them, and its
// payload zeros: it is its headers that decide.
[[nodiscard]] std::optional<CaughtPacket> read_caught(std::string_view row);

}  // namespace mesh::dataplane
