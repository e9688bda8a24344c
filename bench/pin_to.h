// One CPU for the whole of a measurement.
#pragma once

#include <cerrno>
#include <sched.h>

#include "base/result.h"

namespace mesh::bench {

// Negative: wherever the scheduler likes.
[[nodiscard]] inline Status pin_to(int cpu) {
  if (cpu < 0) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (::sched_setaffinity(0, sizeof(set), &set) != 0) return fail_errno("--cpu", errno);
  return {};
}

}  // namespace mesh::bench
