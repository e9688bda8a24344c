// The few interface features that have no rtnetlink message, by the ethtool ioctl, and the XDP features of a driver.
// All act in the calling thread's network namespace.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace mesh::vxlan {

[[nodiscard]] Result<bool> read_gro(const std::string& interface);
// Switches it on, to be done when the interface is up: veth's other end becomes a target of XDP redirects by it.
[[nodiscard]] Status set_gro(const std::string& interface);
// "" where the driver does not say (loopback).
[[nodiscard]] std::string driver_name(const std::string& interface);
// True if the driver runs XDP programs itself. Asks the kernel (netdev generic netlink, from Linux 6.3 on); an older
// kernel cannot tell, then by the drivers that are known to.
[[nodiscard]] bool has_native_xdp(std::uint32_t ifindex, const std::string& driver);

}  // namespace mesh::vxlan
