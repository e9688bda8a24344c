// The reaper: deletes tasks that are to be removed and have stopped, and the oldest dead ones of a slot beyond the
// history limit.
#pragma once

#include "control/manager/draft.h"

namespace mesh::manager {

inline constexpr std::int64_t kTaskHistoryLimit = 5;  // tasks per slot, the live one included

// Step. A task that still holds addresses is never deleted: hosts must first hold it as gone.
void reap(Draft& draft);

}  // namespace mesh::manager
