// Flow records as they come out of mesh_flows: what they mean, and which slots they keep busy. Pure. (Which are due to
// go is the programs' to say: bpf/lib/flow.h.)
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/state.h"
#include "dataplane/trace.h"

namespace mesh::dataplane {

// Seconds since a mark was made. `now`: a tick of the same table (Kernel::now).
[[nodiscard]] std::uint32_t seconds_since(std::uint32_t mark, std::uint32_t now, std::uint8_t tick_shift);

// Which of a service's slots a client's packet belongs to.
[[nodiscard]] std::uint32_t ring_slot_of(const TracedPacket& packet, const mesh_service& service);

[[nodiscard]] std::string flow_state(const FlowEntry& flow);

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
