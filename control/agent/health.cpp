#include "control/agent/health.h"

#include <algorithm>

namespace mesh::agent {
namespace {

constexpr std::size_t kProbesKept = 5;
constexpr Duration kIntervalMin = std::chrono::milliseconds(1);  // as docker; below it is a mistake

}  // namespace

HealthState after_probe(HealthState state, const HealthPlan& plan, const ProbeResult& result, Time container_started) {
  if (result.ok) {
    state.health = Health::kHealthy;
    state.failing_streak = 0;
  } else {
    const bool excused = state.health == Health::kStarting && result.started_at - container_started < plan.start_period;
    if (!excused) ++state.failing_streak;
    if (state.failing_streak >= std::max<std::int64_t>(plan.retries, 1)) state.health = Health::kUnhealthy;
  }
  state.log.push_back(result);
  if (state.log.size() > kProbesKept) state.log.erase(state.log.begin());
  return state;
}

Time next_probe_at(const HealthState& state, const HealthPlan& plan, Time container_started) {
  const Time from = state.log.empty() ? container_started : state.log.back().ended_at;
  const bool in_start = state.health == Health::kStarting && from - container_started < plan.start_period;
  return from + std::max(in_start ? plan.start_interval : plan.interval, kIntervalMin);
}

}  // namespace mesh::agent
