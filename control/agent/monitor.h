// Starts conmon, the process that stays with one container: it holds its output and keeps its exit code, whatever
// becomes of meshd. Source: conmon(8).
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/agent/cgroup_layout.h"

namespace mesh::agent {

struct MonitorSpec {
  std::vector<std::string> argv;                // conmon and its options
  std::string directory;                        // where it works: it leaves an `oom` marker there
  Duration timeout = std::chrono::seconds(60);  // until the container is created
};

// Runs conmon in the monitors' cgroup and waits until it has created the container; the container's process id. conmon
// detaches itself and is init's child then. Errors carry what the OCI runtime said.
[[nodiscard]] Result<pid_t> start_monitor(const MonitorSpec& spec, const CgroupLayout& cgroups);

}  // namespace mesh::agent
