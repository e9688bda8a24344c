// The updater: brings a service's slots to its current spec, `parallelism` at a time, stop-first or start-first, and
// says in UpdateStatus how it goes. Everything it knows is in the store, so it goes on after a restart of the manager.
// Rules and numbers: Docker's.
#pragma once

#include "control/manager/slot.h"

namespace mesh::manager {

inline constexpr Duration kMonitor = std::chrono::seconds(5);

// Step: for every service with outdated slots, or with an update that has not ended.
void update_services(Draft& draft);

// The spec before the last change becomes the spec again; UpdateStatus says that a rollback began. The service must
// have a previous spec.
void roll_back(model::Service& service, bool keep_current, Time now, std::string message);

}  // namespace mesh::manager
