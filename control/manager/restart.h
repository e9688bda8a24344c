// The restart supervisor: what happens to a slot whose task ended, or lost its node. Docker's rules: a condition, a
// delay before the replacement runs (its image is pulled meanwhile), attempts counted per slot and spec version, and at
// most a minute of waiting for the old task to stop.
#pragma once

#include "control/manager/slot.h"

namespace mesh::manager {

inline constexpr Duration kRestartDelay = std::chrono::seconds(5);
inline constexpr Duration kOldTaskTimeout = std::chrono::seconds(60);

// May this task, which ended or lost its node, be replaced by another attempt? `slot`: all tasks of its slot.
[[nodiscard]] bool should_restart(const model::Task& task, const Slot& slot, Time now);

// Shuts the task down and, if should_restart, makes its replacement; it runs after the delay and after the old one.
// `delay`: absent for the policy's own.
void restart(Draft& draft, const model::Service& service, const model::Task& task, const Slot& slot,
             std::optional<Duration> delay = std::nullopt);

// Step: tasks that wait with desired state ready run when their time has come and the task they replace has stopped.
void promote(Draft& draft);

}  // namespace mesh::manager
