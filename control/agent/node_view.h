// What this host should hold, made from the cluster's tables and this host's own facts: one Desired each for the
// overlay, the data plane and the names. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/model/endpoint_table.h"
#include "control/model/task.h"
#include "dataplane/desired.h"
#include "dns/desired.h"
#include "vxlan/desired.h"

namespace mesh::agent {

inline constexpr std::uint16_t kDnsPort = 7953;  // mesh-dns on the gateway address

// Where the containers' way out is; from the manager's welcome, kept over restarts.
struct GatewayFacts {
  std::uint16_t node_number = 0;
  IpAddress gateway_v4, gateway_v6;  // the mesh address is the one after each
};
template <class Visit>
constexpr bool json_fields(const GatewayFacts*, Visit&& visit) {
  return visit("NodeNumber", &GatewayFacts::node_number) && visit("GatewayV4", &GatewayFacts::gateway_v4) &&
         visit("GatewayV6", &GatewayFacts::gateway_v6);
}

// What is known of this host from its kernel.
struct HostFacts {
  std::vector<dataplane::Uplink> uplinks;  // the main one first
  std::string cgroup_root;                 // cgroup2 directory of the connect hooks
  std::string netns_directory;             // <runtime_dir>/netns
  std::vector<dns::Upstream> resolvers;    // of the host
  std::vector<dataplane::Node> routes;     // per destination address: how it is reached; `number` is not used
  std::map<std::string, dataplane::Attachment> attachments;  // by task id, of links that are complete
  std::uint32_t mesh_ifindex = 0, mesh_peer_ifindex = 0;
};

struct View {
  const model::EndpointTables& tables;
  const GatewayFacts& gateway;
  const HostFacts& host;
  const std::vector<model::Task>& tasks;  // of this host, whose network should exist
};

// The tables' networks by id. Points into them: for tables whose networks stay.
struct NetworkIndex {
  NetworkIndex() = default;
  explicit NetworkIndex(const model::EndpointTables& tables);
  [[nodiscard]] const model::NetworkRow* find(const std::string& id) const;  // null: there is none

  std::unordered_map<std::string_view, const model::NetworkRow*> by_id;
  std::vector<const model::NetworkRow*> ingress;
};

// What of the data plane follows from one service.
struct ServicePieces {
  std::vector<dataplane::PublishedPort> ports;
  std::vector<dataplane::Binding> bindings;
  std::vector<dataplane::VirtualIp> virtual_ips;
};

// "tcp", "udp", "sctp".
[[nodiscard]] dataplane::Protocol to_protocol(std::string_view name);

// Bytes that the tunnel adds: outer Ethernet is not counted, IP + UDP + VXLAN + inner Ethernet are (RFC 7348).
[[nodiscard]] std::uint16_t overlay_mtu(std::uint16_t underlay_mtu, bool underlay_v6);

[[nodiscard]] vxlan::Desired make_overlay(const View& view);
[[nodiscard]] dataplane::Desired make_dataplane(const View& view);
// Two of its pieces: of a service with its tasks' rows, in any order, and of a task that is not gone.
[[nodiscard]] ServicePieces make_pieces(const model::ServiceRow& service,
                                        const std::vector<const model::EndpointRow*>& tasks, const View& view,
                                        const NetworkIndex& networks);
[[nodiscard]] dataplane::Endpoint make_endpoint(const model::EndpointRow& row, const View& view,
                                                const NetworkIndex& networks);
// `version` is left 0.
[[nodiscard]] dns::Desired make_names(const View& view);
// One network of it.
struct NamedService {
  const model::ServiceRow* row = nullptr;  // null: there are only tasks
  std::vector<const model::EndpointRow*> tasks;
};
[[nodiscard]] dns::Network make_names(const model::NetworkRow& network, const std::vector<NamedService>& services);

}  // namespace mesh::agent
