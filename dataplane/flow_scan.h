// Flow records as they come out of mesh_flows: what they mean, which are due to go, and which slots they keep busy.
// Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/state.h"

namespace mesh::dataplane {

// Of CLOCK_MONOTONIC, as the programs keep it in mesh_flow.seen.
using Tick = std::uint32_t;
[[nodiscard]] Tick now_tick();
[[nodiscard]] std::uint32_t seconds_since(Tick seen, Tick now);

// A record that may go: its binding is not in `bindings`, or its flow is over or has been silent for too long.
[[nodiscard]] bool is_due(const mesh_flow& record, const Table& bindings, Tick now);

[[nodiscard]] std::string flow_state(const mesh_flow& record);

// Collects, over all forward records, the slots in which this host (`self`) holds flows that are not the owner's.
class ForeignSlots {
 public:
  ForeignSlots(const Observed& observed, std::uint16_t self);
  void add(const mesh_flow& record);
  // One entry per service in `observed`, by index.
  [[nodiscard]] std::vector<ForeignHeld> result() const;

 private:
  struct Service {
    mesh_service word{};
    std::string slots;
    std::set<std::uint16_t> held;
  };
  const Observed& observed_;
  std::uint16_t self_;
  std::map<std::uint32_t, Service> services_;
};

}  // namespace mesh::dataplane
