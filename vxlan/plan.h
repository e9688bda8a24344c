// What to do to bring the kernel from what was observed to what is desired: pure. Applied in order, each action is one
// netlink message, mount or write, and harmless when it was done already.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "vxlan/desired.h"
#include "vxlan/firewall.h"
#include "vxlan/state.h"

namespace mesh::vxlan {

struct CreateNetns {};
struct DeleteNetns {};
// A pair: `name` in the host's namespace, `peer` with its MAC in `peer_netns` ("" the host's).
struct CreateVeth {
  std::string name;
  MacAddress mac;
  std::string peer;
  MacAddress peer_mac;
  std::string peer_netns;
  std::uint16_t mtu = 0;
};
struct DeleteLink {
  std::string name;
};
struct SetMac {
  std::string name;
  MacAddress mac;
};
struct SetMtu {
  std::string name;
  std::uint16_t mtu = 0;
};
struct SetGro {
  std::string name;
};
struct StopLinkLocal {
  std::string name;
};
struct SetUp {
  std::string name;
};
struct AddAddress {
  Address address;
};
struct DeleteAddress {
  Address address;
};
struct AddRoute {
  Route route;
};
struct DeleteRoute {
  Route route;
};
struct AddNeighbour {
  Neighbour neighbour;
};
struct DeleteNeighbour {
  Neighbour neighbour;
};
struct SetSysctl {
  std::string path;
  std::string value;
};
// All of ip_local_reserved_ports, and which of it is ours.
struct SetReservedPorts {
  std::set<std::uint16_t> all;
  std::set<std::uint16_t> ours;
};
struct SetFirewall {
  Firewall firewall;
};

using Operation = std::variant<CreateNetns, DeleteNetns, CreateVeth, DeleteLink, SetMac, SetMtu, SetGro, StopLinkLocal,
                               SetUp, AddAddress, DeleteAddress, AddRoute, DeleteRoute, AddNeighbour, DeleteNeighbour,
                               SetSysctl, SetReservedPorts, SetFirewall>;

struct Action {
  std::string subject;  // "task <id>", "mesh0", "firewall" …: after a failure the subject's other actions are left out
  std::string netns;    // where it happens; "" the host
  Operation operation;
};

[[nodiscard]] std::vector<Action> plan(const Desired& desired, const Observed& observed);

// Why `desired` cannot be made here at all, per subject (no gateway, a name used twice, a name too long); such links
// are left out of the plan. Pure.
struct Refusal {
  std::string subject;
  std::string message;
};
[[nodiscard]] std::vector<Refusal> refusals(const Desired& desired);

[[nodiscard]] std::string to_string(const Action& action);  // "task x: add route 10.1.0.0/24 dev eth0"

inline constexpr const char* kTaskInterface = "eth0";
inline constexpr const char* kMeshInterface = "mesh0";
inline constexpr const char* kMeshPeerInterface = "mesh1";

}  // namespace mesh::vxlan
