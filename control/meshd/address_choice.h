// Addresses out of what users write: listen and advertise addresses, managers to join.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/address.h"

namespace boost::asio {
class io_context;
}
namespace mesh::agent {
class Agent;
}

namespace mesh::meshd {

// The request's address ("192.168.1.10:2377", without port, or an interface), else --listen: the request's is empty, or
// docker's default.
[[nodiscard]] Result<SocketAddress> choose_listen(const std::string& requested, const std::string& configured);

// The request's address (address or interface, with or without port), else --advertise-addr, else the agent's uplink.
// kInvalid if that is none of this host's addresses, or if there is no choice to make: --advertise-addr is then needed.
[[nodiscard]] Result<SocketAddress> choose_advertise(const std::string& requested, const std::string& configured,
                                                     const agent::Agent& agent, std::uint16_t default_port);

// "HOST[:PORT]" each, names looked up; `done` once, from the loop. kUnavailable: a name is not known.
void resolve_managers(boost::asio::io_context& loop, const std::vector<std::string>& addresses,
                      std::uint16_t default_port, std::function<void(Result<std::vector<SocketAddress>>)> done);

// First address of an interface that is not link-local, IPv4 before IPv6; kNotFound: no such interface, or no address.
[[nodiscard]] Result<IpAddress> address_of_interface(const std::string& name);
// Whether an address is one of this host's.
[[nodiscard]] bool is_own_address(const IpAddress& address);

}  // namespace mesh::meshd
