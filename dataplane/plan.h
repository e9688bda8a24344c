// What to do to bring the kernel from what was observed to what is desired: pure. The order makes every moment in
// between consistent: what is pointed at is written before what points, and removed after it. Each action is one write
// or one attachment, and harmless when it was done already.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/layout.h"
#include "dataplane/state.h"

namespace mesh::dataplane {

struct WriteRow {
  MapId map = MapId::kConfig;
  std::string key, value;
};
struct DeleteRow {
  MapId map = MapId::kConfig;
  std::string key;
};
// Counters of rows that get another meaning start at zero.
struct ResetTraffic {
  enum class Of : std::uint8_t { kBackends, kBindings };
  Of of = Of::kBackends;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};
// Flow records of bindings that are gone: the container behind the index is another one, or none. Their rows say so
// already, which is what the sweep goes by.
struct RemoveFlows {
  std::size_t bindings = 0;
};
struct Attach {
  Hook hook;
  Attached attached;
};
struct Detach {
  Hook hook;
};
using Action = std::variant<WriteRow, DeleteRow, ResetTraffic, RemoveFlows, Attach, Detach>;

struct Plan {
  std::vector<Action> actions;
  std::vector<Problem> problems;  // parts of Desired that were left out
  std::vector<Problem> waiting;   // ... for room that these actions free: the next plan has it
};
[[nodiscard]] Plan plan(const Desired& desired, const HostFacts& facts, const Observed& observed);
// `room` becomes what is taken in the array maps when every action is done.
[[nodiscard]] Plan plan(const Desired& desired, const HostFacts& facts, const Observed& observed, Room& room);

// The two halves of it, for a plan of some pieces only: what a layout wants, and the ordered steps from the rows that
// these pieces have to those that they shall have.
void take_tables(Observed& wanted, Layout&& layout);
[[nodiscard]] std::vector<Action> steps(const Observed& wanted, const Observed& observed,
                                        const std::vector<RowRange>& fresh_backends);

// The key in kFormers of the address of an endpoint's row (kEndpoints, kEndpoints4).
[[nodiscard]] std::string former_key_of(MapId map, const std::string& endpoint_key);

// What the kernel holds after `action`; keeps the picture between two observations.
void track(Observed& observed, const Action& action);

[[nodiscard]] std::string to_string(const Hook& hook);      // "uplink xdp on interface 7"
[[nodiscard]] std::string to_string(const Action& action);  // "write mesh_services", "attach …"

}  // namespace mesh::dataplane
