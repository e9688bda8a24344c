// Reads the overlay's part of the kernel.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "vxlan/netlink.h"
#include "vxlan/state.h"

namespace mesh::vxlan {

// One namespace, the calling thread's. `interfaces`: which are ours; routes and neighbours on others are not looked at.
[[nodiscard]] Result<NamespaceState> observe_namespace(NetlinkSocket& socket, bool is_task, bool ipv6);
// The one at `path`.
[[nodiscard]] Result<NamespaceState> observe_task(const std::string& path, bool ipv6);
// Interface names of the host whose IPv6 default route may come from advertisements (accept_ra 1).
[[nodiscard]] std::set<std::string> accept_ra_interfaces();
[[nodiscard]] bool has_ipv6();
// True for the interfaces that meshd makes in the host's namespace.
[[nodiscard]] bool is_our_interface(const std::string& name);
// Values of these sysctls in the calling thread's namespace; absent ones are left out.
[[nodiscard]] std::map<std::string, std::string> read_sysctls(const std::vector<std::string>& paths);

}  // namespace mesh::vxlan
