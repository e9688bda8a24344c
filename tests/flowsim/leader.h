// The leader: which backends there are, the ring, and when the next change may go out. The order is that of
// control/manager/rings.cpp (move_backends, add_backends, change_owners, with Settled), the ring's functions are
// dataplane/ring.h's own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/desired.h"
#include "dataplane/ring.h"
#include "tests/flowsim/clock.h"

namespace mesh::flowsim {

struct Simulation;

using ContainerId = std::int32_t;
inline constexpr ContainerId kNoContainer = -1;

struct BackendRow {
  ContainerId container = kNoContainer;  // none: a hole
  std::uint16_t node = 0;
  std::uint16_t binding = 0;
  std::uint16_t weight = 1;
  dataplane::EndpointState state = dataplane::EndpointState::kReady;
  bool operator==(const BackendRow&) const = default;
};

// What all hosts are told of the published port.
struct PortRow {
  std::uint32_t version = 0;  // of the row
  std::vector<BackendRow> backends;
  dataplane::Ring ring;
};

// A host's scan result.
struct HeldReport {
  std::uint16_t node = 0;
  std::uint32_t ring_version = 0;
  std::vector<std::uint16_t> held;
};

class Leader {
 public:
  explicit Leader(Simulation& simulation);
  // Looks for work from now on, for ever.
  void start();
  void report(HeldReport report);
  // Something that the next pass should see.
  void look() { has_work_ = true; }
  void acknowledge(std::uint16_t node, std::uint32_t version);
  // A host that joins has the newest row before a packet reaches it.
  [[nodiscard]] const std::shared_ptr<const PortRow>& row() const { return row_; }

 private:
  void pass();
  [[nodiscard]] bool is_settled();
  void settle();
  void move_backends(PortRow& row) const;
  void add_backends(PortRow& row) const;
  void change_owners(PortRow& row);
  [[nodiscard]] bool drop_hosts(dataplane::Ring& ring) const;
  void judge_movement(const dataplane::Ring& before, const dataplane::Ring& after,
                      const std::vector<dataplane::RingMember>& members);
  void publish(PortRow row);

  Simulation& simulation_;
  std::shared_ptr<const PortRow> row_ = std::make_shared<PortRow>();
  Time published_at_ = 0;
  bool settled_ = true;
  bool has_work_ = true;
  std::map<std::uint16_t, std::uint32_t> acknowledged_;  // node -> version
  std::map<std::uint16_t, HeldReport> reports_;          // since the last pass that could use them
  std::vector<dataplane::RingMember> members_;           // of the current ring
};

}  // namespace mesh::flowsim
