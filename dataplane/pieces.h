// The pieces of a Desired whose rows depend on no other piece of their kind: all of them, or those that a change
// touches. Pointers into a Desired that outlives them.
#pragma once

#include <vector>

#include "dataplane/desired.h"

namespace mesh::dataplane {

struct Pieces {
  struct BoundTask {
    const Binding* binding = nullptr;
    const Endpoint* endpoint = nullptr;  // of its task
  };
  std::vector<const Endpoint*> endpoints;
  std::vector<BoundTask> bindings;  // those whose task is known
  std::vector<const PublishedPort*> ports;
  std::vector<const VirtualIp*> virtual_ips;
};
[[nodiscard]] Pieces pieces_of(const Desired& desired);

}  // namespace mesh::dataplane
