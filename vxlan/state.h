// What the kernel holds of the overlay, as values: read by observe(), wanted by plan(). One NamespaceState for the host
// and one per task namespace; only what is ours is in it (interfaces mesh*, mv*, eth0 of a task; routes and neighbours
// marked with kRouteProtocol or on our interfaces).
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "vxlan/desired.h"

namespace mesh::vxlan {

struct Link {
  std::uint32_t ifindex = 0;       // 0 in what is wanted
  std::uint32_t peer_ifindex = 0;  // of the veth's other end, in its own namespace; 0 in what is wanted
  MacAddress mac;                  // all zero in what is wanted: any
  std::uint16_t mtu = 0;
  bool up = false;
  bool gro = false;         // packets redirected here by XDP are lost without it
  bool link_local = false;  // IPv6 makes addresses of its own
  auto operator<=>(const Link&) const = default;
};

struct Address {
  std::string interface;
  IpAddress ip;  // always a host prefix
  auto operator<=>(const Address&) const = default;
};

struct Route {
  std::string interface;
  Cidr destination;
  IpAddress gateway;  // unset: on the link itself; else reached without a route of its own ("onlink")
  IpAddress source;   // preferred source; unset: none
  auto operator<=>(const Route&) const = default;
};

struct Neighbour {
  std::string interface;
  IpAddress ip;
  MacAddress mac;
  auto operator<=>(const Neighbour&) const = default;
};

struct NamespaceState {
  std::map<std::string, Link> links;
  std::set<Address> addresses;
  std::set<Route> routes;
  std::set<Neighbour> neighbours;
  std::map<std::string, std::string> sysctls;  // path below /proc/sys -> value; absent: the kernel does not have it
  auto operator<=>(const NamespaceState&) const = default;
};

// Our nftables table, as far as it can be compared.
struct FirewallState {
  std::string digest;  // of the ruleset that made it, kept in the table's comment
  std::size_t rules = 0;
  std::set<std::string> elements;  // of its sets
  auto operator<=>(const FirewallState&) const = default;
};

struct Observed {
  bool ipv6 = true;  // the kernel has IPv6
  NamespaceState host;
  std::map<std::string, NamespaceState> namespaces;  // by netns path; those that exist
  std::optional<FirewallState> firewall;
  bool firewall_known = true;                  // false: not looked at in this pass
  std::set<std::uint16_t> reserved_ports;      // ip_local_reserved_ports now
  std::set<std::uint16_t> reserved_by_us;      // of these: added by meshd
  std::set<std::string> accept_ra_interfaces;  // take their IPv6 route from router advertisements
};

}  // namespace mesh::vxlan
