// How the kernel would send to an address.
#pragma once

#include <string>

#include "bench/pktgen/frame.h"

namespace mesh::pktgen {

// The next hop's MAC address is asked for and waited for, and kept fresh from then on, because the packets of a
// generator pass by the kernel. interface: what it must be, "" for any. kNotFound: no route, or nobody answers there.
[[nodiscard]] Result<Route> find_route(const IpAddress& target, const std::string& interface);

struct Interface {
  unsigned ifindex = 0;
  MacAddress mac;
};
[[nodiscard]] Result<Interface> find_interface(const std::string& name);

}  // namespace mesh::pktgen
