// The host's own network as it is: which interface carries the mesh, how another host is reached from here, and which
// prefixes are already taken. Reading only; the one exception is that resolve() asks the kernel to keep a next hop's
// neighbour entry fresh (a "managed" entry, marked as ours).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace mesh::vxlan {

// An interface of this host that can carry client and tunnel traffic.
struct UplinkInfo {
  std::string name;
  std::uint32_t ifindex = 0;
  MacAddress mac;
  std::uint16_t mtu = 1500;
  std::vector<IpAddress> addresses;  // global ones, in the kernel's order; no link-local
  std::string driver;                // "veth", "virtio_net" …; empty if the driver does not say
  bool native_xdp = false;           // the driver runs XDP programs itself
  bool carries_vlans = false;        // VLAN devices sit on it
};

// By name; "" takes the interface of the default route (IPv4 first, then IPv6). kNotFound: no such interface or no
// default route, the message lists what there is. kInvalid: it is down, has no address, or is no Ethernet device.
[[nodiscard]] Result<UplinkInfo> find_uplink(std::string_view name);

// How this host reaches `destination`.
struct NextHop {
  IpAddress destination;
  std::uint32_t ifindex = 0;  // 0: no route
  IpAddress source;           // the address that the kernel would choose
  MacAddress next_hop;        // of the gateway, or of the destination on the same link
  MacAddress egress;          // of the interface
  std::uint16_t mtu = 0;      // of the way, where it is less than its interface's: set on the route, or learned; 0: not
  bool resolved = false;      // next_hop is known; if not, the kernel is asking for it and an event follows
};
[[nodiscard]] Result<std::vector<NextHop>> resolve(const std::vector<IpAddress>& destinations);

// A prefix that the host already reaches by a route of its own (not the default route, not one of ours).
struct HostRoute {
  Cidr prefix;
  std::string interface;
};
[[nodiscard]] Result<std::vector<HostRoute>> host_routes();
// Why a network's subnet cannot be used here: it overlaps a route of the host; "" if it can. Pure.
[[nodiscard]] std::string overlap_problem(const Cidr& subnet, const std::vector<HostRoute>& routes);

// Tells when links, addresses, routes or neighbours changed, so that the caller resolves again. One netlink socket.
class NetworkEvents {
 public:
  [[nodiscard]] static Result<NetworkEvents> open();
  // Readable when something happened; owned by this object.
  [[nodiscard]] int fd() const;
  // Reads all that is waiting, without blocking. True if it concerns the mesh: links, addresses, routes, or a neighbour
  // entry that became known, unknown or another MAC. (An overflow counts as true.)
  [[nodiscard]] bool drain();

  NetworkEvents(NetworkEvents&&) noexcept;
  NetworkEvents& operator=(NetworkEvents&&) noexcept;
  ~NetworkEvents();

 private:
  struct State;
  explicit NetworkEvents(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mesh::vxlan
