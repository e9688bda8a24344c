#include "control/manager/reconcile.h"

#include "control/manager/allocator.h"
#include "control/manager/drain.h"
#include "control/manager/orchestrator.h"
#include "control/manager/reaper.h"
#include "control/manager/restart.h"
#include "control/manager/rings.h"
#include "control/manager/scheduler.h"
#include "control/manager/updater.h"
#include "control/manager/withdrawn.h"

namespace mesh::manager {

void reconcile(Draft& draft, const Settled& settled, const std::vector<HeldSlots>& held) {
  forget_withdrawn(draft, settled);
  collect_orphans(draft);
  orchestrate(draft);
  update_services(draft);
  allocate_tasks(draft);
  schedule(draft);
  promote(draft);
  allocate_bindings(draft);
  drain(draft, settled);
  update_rings(draft, settled, held);
  reap(draft);
  if (settled.next != Time::max()) draft.wake_at(settled.next);
}

}  // namespace mesh::manager
