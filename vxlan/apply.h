// Carries out actions: each is one netlink message, ioctl, mount or write.
#pragma once

#include <string>
#include <vector>

#include "vxlan/notes.h"
#include "vxlan/overlay.h"
#include "vxlan/plan.h"

namespace mesh::vxlan {

struct Applied {
  std::size_t actions = 0;  // that succeeded
  std::vector<Problem> problems;
};

// In order. After a failure the remaining actions of the same subject are left out. Consecutive actions in one
// namespace share one visit to it.
[[nodiscard]] Applied apply(const std::vector<Action>& actions, Notes& notes);

}  // namespace mesh::vxlan
