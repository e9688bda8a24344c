// What every host is known to hold: published rows that all live sessions have acknowledged, or had five seconds for.
// An input of reconciliation, so that it stays a function of values.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/model/endpoint_table.h"

namespace mesh::manager {

inline constexpr Duration kAcknowledgeTimeout = std::chrono::seconds(5);

struct Settled {
  // Task id -> the state that its row shows on every host. Absent: some host may hold an older one.
  std::map<std::string, model::EndpointState> endpoints;
  std::set<std::string> published;  // task ids that the newest table lists
  std::set<std::string> ports;      // port ids whose newest row every host holds
  std::set<std::string> withdrawn;  // ids of model::Withdrawn that no live host holds any more
  Time next = Time::max();          // when the next row settles by time-out

  // True also of a task that the newest table does not list: no host is told anything of it.
  [[nodiscard]] bool endpoint_is(const std::string& task_id, model::EndpointState state) const {
    if (!published.contains(task_id)) return true;
    const auto found = endpoints.find(task_id);
    return found != endpoints.end() && found->second >= state;
  }
};

// A host's report of slots where it holds flows of others (cluster::ForeignReport), with its node number.
struct HeldSlots {
  std::uint16_t node = 0;
  std::string port_id;
  std::uint32_t ring_version = 0;
  std::vector<std::uint16_t> held;
};

}  // namespace mesh::manager
