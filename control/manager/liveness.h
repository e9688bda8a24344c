// Which nodes are alive, judged by heartbeats. Docker's numbers: a node is down three periods after its last heartbeat;
// after a start of the manager nodes are unknown, and have twice as long to be heard.
#pragma once

#include "control/manager/draft.h"

namespace mesh::manager {

inline constexpr Duration kHeartbeatPeriod = std::chrono::seconds(5);
inline constexpr int kHeartbeatsMissed = 3;
inline constexpr int kHeartbeatsMissedAtStart = 6;

// What the manager has heard of one node since it started.
struct Heard {
  Time last;             // heartbeat, or any other message; never: nothing yet
  Time manager_started;  // from then on nothing was heard of it
};

struct Liveness {
  model::NodeState state = model::NodeState::kUnknown;
  Time until;  // the state holds till then, if nothing is heard; Time::max(): for good
};
[[nodiscard]] Liveness liveness(model::NodeState state, const Heard& heard, Duration period, Time now);

}  // namespace mesh::manager
