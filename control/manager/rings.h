// Published ports: their backends and rings follow the tasks. One change per port is under way at a time: a new backend
// is announced to all hosts first, then owns slots; what happens meanwhile waits and is taken together.
#pragma once

#include "control/manager/draft.h"
#include "control/manager/settled.h"
#include "dataplane/ring.h"

namespace mesh::manager {

[[nodiscard]] dataplane::Ring ring_of(const model::PortRow& row);
void set_ring(model::PortRow& row, const dataplane::Ring& ring);

// The task runs and new connections may be led to it.
[[nodiscard]] bool may_serve(const store::View& view, const model::Task& task);

// Step: one PortState per ingress port of a service. `held`: reports of hosts since the last pass.
void update_rings(Draft& draft, const Settled& settled, const std::vector<HeldSlots>& held);

}  // namespace mesh::manager
