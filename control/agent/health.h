// The health check of one container: when to probe next and what the results mean. Pure.
// Source: moby daemon/health.go.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "control/agent/container_config.h"

namespace mesh::agent {

inline constexpr std::size_t kProbeOutputBytesMax = 4096;
inline constexpr Duration kProbeStartAllowance = std::chrono::seconds(30);  // to start the probe, beside its timeout

enum class Health : std::uint8_t { kStarting, kHealthy, kUnhealthy };

struct ProbeResult {
  bool ok = false;
  std::string output;
  Time started_at{}, ended_at{};
};

struct HealthState {
  Health health = Health::kStarting;
  std::int64_t failing_streak = 0;
  std::vector<ProbeResult> log;  // the last five
};

// After one more result. A success makes it healthy at once; failures in the start period of a container that is still
// starting do not count; `retries` failures in a row make it unhealthy.
[[nodiscard]] HealthState after_probe(HealthState state, const HealthPlan& plan, const ProbeResult& result,
                                      Time container_started);

// When the next probe begins: one interval after the last ended (or the container started); the start interval while it
// is starting within its start period.
[[nodiscard]] Time next_probe_at(const HealthState& state, const HealthPlan& plan, Time container_started);

}  // namespace mesh::agent
