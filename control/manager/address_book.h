// Which addresses of a network are taken. Built from the objects that hold them, so nothing can leak: an address is
// free when no object holds it any more and no host does (withdrawn.h).
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "control/store/view.h"

namespace mesh::manager {

// The first usable offset of a subnet: .0 is the network, .1 the gateway, .2 the hosts' own way into the mesh.
inline constexpr std::uint32_t kFirstOffset = 3;

class AddressBook {
 public:
  explicit AddressBook(const store::View& view);

  // A free IPv4 address: the next after the highest taken, then the lowest free; so an address is not used again at
  // once. kExhausted names the network and its subnet.
  Result<IpAddress> take(const model::Network& network);

 private:
  std::map<std::string, std::set<std::uint32_t>> taken_;  // network id -> offsets
  std::map<std::string, Cidr> subnets_;
};

// The IPv6 address that goes with an IPv4 address of the network: the same offset. Unset if the network has no IPv6.
[[nodiscard]] IpAddress v6_of(const model::Network& network, const IpAddress& v4);
// "10.1.0.5/24", as the API shows addresses.
[[nodiscard]] std::string with_prefix(const IpAddress& address, const Cidr& subnet);
// The address of "10.1.0.5/24"; unset if it is none.
[[nodiscard]] IpAddress without_prefix(std::string_view text);
[[nodiscard]] IpAddress gateway_of(const Cidr& subnet);

}  // namespace mesh::manager
