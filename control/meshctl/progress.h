// How far a service is from what was asked for, as `service create`, `update` and `scale` show it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/node.h"
#include "control/model/service.h"
#include "control/model/task.h"

namespace mesh::meshctl {

// A line for each slot is shown up to this many; more would scroll.
inline constexpr std::size_t kSlotLinesMax = 20;

// One slot, or one node of a global service.
struct SlotProgress {
  std::string label;  // "1/3", or the node's hostname
  std::string state;  // "preparing"
  std::string error;  // of the last task that failed here
  bool running = false;
};

struct Progress {
  std::uint64_t running = 0;
  std::uint64_t wanted = 0;
  bool rolling_back = false;
  bool complete = false;               // as many as wanted run as wanted, and no update is going on
  std::optional<std::string> failure;  // the update paused or was rolled back: why
  std::vector<SlotProgress> slots;
};

// `service` with its ServiceStatus; `tasks`: all of the service. `rollback_wanted`: the user asked for a rollback, so
// that its completion is success.
[[nodiscard]] Progress progress_of(const model::Service& service, const std::vector<model::Task>& tasks,
                                   const std::vector<model::Node>& nodes, bool rollback_wanted);

// "overall progress: 2 out of 3 tasks", and a line for each slot.
[[nodiscard]] std::vector<std::string> progress_lines(const Progress& progress);

// How long tasks must stay up before the service counts as converged.
[[nodiscard]] Duration monitor_of(const model::Service& service, bool rolling_back);

// Whether the task is one of what the service's spec asks for now, as far as the API shows: what runs in it, not where.
[[nodiscard]] bool is_up_to_date(const model::Task& task, const model::ServiceSpec& spec);

}  // namespace mesh::meshctl
