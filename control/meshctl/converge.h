// Waiting until a service is as asked for, with its progress on the terminal.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "control/meshctl/calls.h"

namespace mesh::meshctl {

struct ConvergeOptions {
  bool quiet = false;            // wait without a word
  bool rollback_wanted = false;  // a rollback's completion is success
  std::optional<Duration> timeout;
};

// Returns when the wanted number of tasks runs and has stayed up for the monitor period. An error: the update paused or
// was rolled back, the timeout passed, or the user interrupted (the operation goes on in the cluster).
Status wait_converged(const Client& client, const std::string& service_id, const ConvergeOptions& options);

}  // namespace mesh::meshctl
