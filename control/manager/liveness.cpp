#include "control/manager/liveness.h"

namespace mesh::manager {

Liveness liveness(model::NodeState state, const Heard& heard, Duration period, Time now) {
  using model::NodeState;
  if (heard.last != Time{}) {
    const Time until = heard.last + kHeartbeatsMissed * period;
    if (now < until) return {NodeState::kReady, until};
    return {NodeState::kDown, Time::max()};
  }
  if (state == NodeState::kDown) return {NodeState::kDown, Time::max()};
  const Time until = heard.manager_started + kHeartbeatsMissedAtStart * period;
  if (now < until) return {NodeState::kUnknown, until};
  return {NodeState::kDown, Time::max()};
}

}  // namespace mesh::manager
