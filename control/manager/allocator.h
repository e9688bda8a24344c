// The allocator: subnets and VNIs of networks, virtual IPs and published ports of services, addresses and bindings of
// tasks, numbers of nodes. What is in use is read from the objects themselves; nothing is booked beside them.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "control/manager/draft.h"

namespace mesh::manager {

inline constexpr std::uint32_t kVniFirst = 4096;  // of the ingress network; users' networks follow
inline constexpr std::uint32_t kVniMax = (1U << 24U) - 1;
inline constexpr std::uint16_t kNodeNumberMax = 4095;
inline constexpr std::uint16_t kPublishedFirst = 30000, kPublishedLast = 32767;  // for published port 0
inline constexpr std::uint8_t kIngressPrefix = 16;

// Fills in mesh (VNI, subnets) and the IPAM that the API shows. A subnet that was asked for is checked against all
// networks and against what hosts reach by themselves (kConflict names both sides); otherwise the first free one of the
// cluster's pool is taken (kExhausted names the pool). `routes`: connected routes beside those of the known nodes.
Status allocate_network(const store::View& view, const std::vector<Cidr>& routes, model::Network& network);

// The service's end point follows its spec: published ports (kConflict: taken by another service, named; kExhausted:
// all of 30000-32767 are), one virtual IP per network unless it is dnsrr. `avoided`: ports that are not chosen where
// the spec names none.
Status allocate_service(const store::View& view, model::Service& service,
                        const std::set<model::PublishedPort>& avoided = {});
// Its part that fills in the end point's ports, in the spec's order.
Status allocate_ports(const store::View& view, model::Service& service, const std::set<model::PublishedPort>& avoided);

// The lowest number that comes after all others, then the lowest free one. kExhausted: 4095 nodes.
Result<std::uint16_t> allocate_node_number(const store::View& view);

// Step: new live tasks get their addresses and become pending; one that cannot says why and stays new.
void allocate_tasks(Draft& draft);
// Step: tasks with a node have one binding per ingress port of their service.
void allocate_bindings(Draft& draft);
// Gives back what the task holds: addresses and bindings.
void release(model::Task& task);
[[nodiscard]] bool holds_addresses(const model::Task& task);

}  // namespace mesh::manager
