// What is really in the kernel, for people and for metrics: counters, and the comparison with what should be there.
#pragma once

#include "dataplane/dataplane.h"
#include "dataplane/kernel.h"
#include "dataplane/state.h"

namespace mesh::dataplane {

// `picture`: where each port's backends lie.
[[nodiscard]] Result<Counters> read_counters(const Kernel& kernel, const Desired& desired, const Observed& picture);
// Everything but pin_dir and port_held.
[[nodiscard]] Result<Inspection> inspect_kernel(const Kernel& kernel, const Desired& desired);

}  // namespace mesh::dataplane
