// The firewall table `inet meshd`: the way out of the cluster, and nothing else.
//
// - prerouting, output (priority raw): no connection tracking for what is the mesh's own and passes the kernel's stack:
//   this host's connections to published ports (mesh0), and names that tasks ask the gateway for. Masquerading needs
//   the kernel to track this namespace; the mesh does not.
// - masquerade: packets of the listed task addresses that leave the cluster get the host's address. Their source ports
//   come from the widest range without a published port, so that a reply is never taken for a client of the mesh.
// - forward: the kernel's router carries only those packets and their replies between a task's link (mv*) and the rest.
//   Mesh packets are redirected by programs on the interfaces and never come here.
//
// Written by the `nft` program, a child process in one transaction: the kernel's own transaction, and a tenth of the
// code that libnftnl's expressions need for the same three rules.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "vxlan/desired.h"
#include "vxlan/state.h"

namespace mesh::vxlan {

struct Firewall {
  std::string ruleset;  // input of nft -f; replaces the table
  FirewallState state;  // what observe_firewall() says afterwards
};

// Pure.
[[nodiscard]] Firewall make_firewall(const Desired& desired);

// The first and last port of the widest range in 1024..65535 that holds none of `ports`. Pure.
struct PortRange {
  std::uint16_t first = 1024;
  std::uint16_t last = 65535;
  bool operator==(const PortRange&) const = default;
};
[[nodiscard]] PortRange widest_free_range(const std::set<std::uint16_t>& ports);

[[nodiscard]] Result<std::optional<FirewallState>> observe_firewall();
[[nodiscard]] Status apply_firewall(const Firewall& firewall);
// Absent: success.
[[nodiscard]] Status delete_firewall();

}  // namespace mesh::vxlan
