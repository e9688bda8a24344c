// What Desired means in terms of NamespaceState: pure, and the one place that knows which addresses, routes and
// neighbours a host and a task have.
#pragma once

#include "vxlan/desired.h"
#include "vxlan/state.h"

namespace mesh::vxlan {

// MACs follow from addresses, so that every host and every program can compute them.
[[nodiscard]] MacAddress gateway_mac(const Gateway& gateway);  // mesh0; what tasks see as their gateway
[[nodiscard]] MacAddress mesh_mac(const Gateway& gateway);     // mesh1

// The host's namespace with the task links of `links` (refused ones left out by the caller).
[[nodiscard]] NamespaceState wanted_host(const Desired& desired, const std::vector<const TaskLink*>& links,
                                         const Observed& observed);
[[nodiscard]] NamespaceState wanted_task(const Gateway& gateway, const TaskLink& link, bool ipv6);

}  // namespace mesh::vxlan
