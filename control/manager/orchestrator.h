// The orchestrators: replicated services have N slots, global services one per node; a slot whose task ended or lost
// its node is restarted, one too many is removed, tasks without a service go.
#pragma once

#include "control/manager/slot.h"

namespace mesh::manager {

inline constexpr Duration kOrphanAfter = std::chrono::hours(24);

// Step: tasks whose service is gone are to be removed; tasks whose node was removed, or is down for a day, are
// orphaned.
void collect_orphans(Draft& draft);
// Step: failed and misplaced tasks are restarted, slots are added and removed.
void orchestrate(Draft& draft);

}  // namespace mesh::manager
