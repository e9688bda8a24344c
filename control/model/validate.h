// Limits and wording of the Docker API for what users send. kInvalid says what, on what, and why.
#pragma once

#include "base/result.h"
#include "control/model/cluster.h"
#include "control/model/network.h"
#include "control/model/node.h"
#include "control/model/service.h"

namespace mesh::model {

inline constexpr std::size_t kServiceNameMax = 63;  // one DNS label, RFC 1035
inline constexpr std::size_t kNetworkNameMax = 64;
inline constexpr std::int64_t kNanoCpusMin = 1'000'000;   // 0.001 CPU
inline constexpr std::int64_t kMemoryBytesMin = 4 << 20;  // what a container needs to start at all
inline constexpr std::uint64_t kReplicasMax = 10'000;
inline constexpr std::size_t kPortsMax = 256;    // per service
inline constexpr std::size_t kNetworksMax = 16;  // per service

[[nodiscard]] Status validate_service_spec(const ServiceSpec& spec);
// The name and the mode of a service do not change.
[[nodiscard]] Status validate_service_update(const ServiceSpec& from, const ServiceSpec& to);
[[nodiscard]] Status validate_node_spec(const NodeSpec& spec);
[[nodiscard]] Status validate_network(const Network& network);
[[nodiscard]] Status validate_cluster_spec(const ClusterSpec& spec);

}  // namespace mesh::model
