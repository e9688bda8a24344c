// The leader: which backends there are, the ring, and when the next change may go out. The order is that of
// control/manager/rings.cpp (move_backends, add_backends, change_owners, with Settled), the ring's functions are
// dataplane/ring.h's own.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "dataplane/desired.h"
#include "dataplane/ring.h"
#include "tests/flowsim/clock.h"
#include "tests/flowsim/ports.h"

namespace mesh::flowsim {

struct Simulation;

using ContainerId = std::int32_t;
inline constexpr ContainerId kNoContainer = -1;

struct BackendRow {
  ContainerId container = kNoContainer;  // none: a hole
  std::uint16_t node = 0;
  std::uint16_t weight = 1;
  dataplane::EndpointState state = dataplane::EndpointState::kReady;
  bool operator==(const BackendRow&) const = default;
};

// What all hosts are told of the published ports, which have the same backends.
struct ServiceRow {
  std::uint32_t version = 0;  // of the row
  std::vector<BackendRow> backends;
  std::array<dataplane::Ring, kPorts.size()> rings;
};

// A host's scan result, of one port.
struct HeldReport {
  PortIndex port = 0;
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
  [[nodiscard]] const std::shared_ptr<const ServiceRow>& row() const { return row_; }

 private:
  void pass();
  [[nodiscard]] bool is_settled();
  void settle();
  void move_backends(ServiceRow& row) const;
  void add_backends(ServiceRow& row) const;
  void change_owners(ServiceRow& row);
  void change_owners_of(PortIndex port, ServiceRow& row, const std::vector<dataplane::RingMember>& members,
                        const std::map<std::uint8_t, std::uint16_t>& node_of);
  [[nodiscard]] bool drop_hosts(PortIndex port, dataplane::Ring& ring) const;
  void judge_movement(const dataplane::Ring& before, const dataplane::Ring& after,
                      const std::vector<dataplane::RingMember>& members);
  void publish(ServiceRow row);

  Simulation& simulation_;
  std::shared_ptr<const ServiceRow> row_ = std::make_shared<ServiceRow>();
  Time published_at_ = 0;
  bool settled_ = true;
  bool has_work_ = true;
  std::map<std::uint16_t, std::uint32_t> acknowledged_;  // node -> version
  // Since the last pass that could use them.
  std::map<std::pair<PortIndex, std::uint16_t>, HeldReport> reports_;
  std::vector<dataplane::RingMember> members_;  // of the current rings
};

}  // namespace mesh::flowsim
