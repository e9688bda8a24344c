// One pass over the whole cluster: a function of the view, the time, and what hosts hold.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/manager/draft.h"
#include "control/manager/settled.h"

namespace mesh::manager {

// Runs all steps on the draft, in their order.
void reconcile(Draft& draft, const Settled& settled, const std::vector<HeldSlots>& held);

}  // namespace mesh::manager
