// Addresses, published ports and network numbers are given to a new owner only when every live host holds tables
// without the old one, or had five seconds for it. A port that is asked for by number is promised at once and published
// when it is free; addresses and numbers that are free already are preferred anyway.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "control/manager/draft.h"
#include "control/manager/settled.h"

namespace mesh::manager {

// Ids of model::Withdrawn.
inline constexpr std::string_view kAddressIds = "address/";
[[nodiscard]] std::string address_id(const IpAddress& address);
[[nodiscard]] std::string published_port_id(const std::string& protocol, std::uint16_t port);
[[nodiscard]] std::string vni_id(std::uint32_t vni);

// Everything that the tables give to somebody: id -> service, task or network.
[[nodiscard]] std::map<std::string, std::string> owners_in(const model::EndpointTables& tables);

// What the service gives up: all of it, or what it no longer has in `after`.
void withdraw(Draft& draft, const model::Service& before, const model::Service* after);
void withdraw(Draft& draft, const model::Network& network);
// The task's addresses.
void withdraw(Draft& draft, const model::Task& task);

// Step: forgets what no live host holds any more.
void forget_withdrawn(Draft& draft, const Settled& settled);

}  // namespace mesh::manager
