// What a service may ask of the mesh beyond Docker's model: labels of the service, so that they survive every client of
// the Docker API. They are no part of the task's spec: changing them replaces no task.
//
//   mesh.return = tunnel | dsr            how answers travel (tunnel)
//   mesh.affinity = client-ip[:DURATION]  a client keeps its backend for so long after its last new flow (3h)
//   mesh.prefer = local                   new flows go to a backend of the host that they enter, if it has one
//   mesh.weight = NAME                    the node label whose value, 1 to 100, is the share of backends on that node
//   mesh.port.8010/tcp.allow = CIDR,…     only these clients are let in
//   mesh.port.8010/tcp.address = IP,…     answers on these addresses only
//   mesh.port.8010/tcp.interface = NAME,…  answers on the addresses that these interfaces of a host have at the moment
//   mesh.port.8010/tcp.on = EXPR,…        answers on the nodes that meet these placement constraints only
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/model/endpoint_table.h"
#include "control/model/port.h"

namespace mesh::model {

inline constexpr std::string_view kMeshLabelPrefix = "mesh.";  // every label below it is ours; unknown ones are refused
inline constexpr std::string_view kReturnLabel = "mesh.return";
inline constexpr std::string_view kAffinityLabel = "mesh.affinity";
inline constexpr std::string_view kPreferLabel = "mesh.prefer";
inline constexpr std::string_view kWeightLabel = "mesh.weight";

inline constexpr std::size_t kAllowMax = 64;        // prefixes per published port: one look-up structure in the kernel
inline constexpr std::size_t kPortAddressMax = 64;  // addresses per published port
inline constexpr std::uint16_t kWeightMax = 100;    // 127 backends of this weight still share 2^16 slots well
inline constexpr Duration kAffinityDefault = std::chrono::hours(3);  // as IPVS and kube-proxy
inline constexpr Duration kAffinityMax = std::chrono::hours(24);

struct PortOptions {
  std::vector<Cidr> allow;              // sorted; empty: everybody
  std::vector<IpAddress> addresses;     // sorted; empty: all of a host
  std::vector<std::string> interfaces;  // sorted; what is named here answers beside `addresses`
  std::vector<std::string> on;          // constraint expressions, as they were written; empty: every node
  bool operator==(const PortOptions&) const = default;
};

struct MeshOptions {
  ReturnMode return_mode = ReturnMode::kTunnel;
  std::uint32_t affinity_seconds = 0;  // 0: no affinity
  bool prefer_local = false;
  std::string weight_label;  // empty: every backend gets the same share
  std::map<PublishedPort, PortOptions> ports;
  bool operator==(const MeshOptions&) const = default;
};

// kInvalid says which label, what is wrong with it, and what to write. Whether the expressions of `on` are constraints
// is the manager's to say, which has the parser.
[[nodiscard]] Result<MeshOptions> parse_mesh_options(const Labels& labels);

// "mesh.port.8010/tcp.allow"; `option`: allow, address, interface or on.
[[nodiscard]] std::string port_label(const PublishedPort& port, std::string_view option);
// Removes every option of the port.
void remove_port_labels(Labels& labels, const PublishedPort& port);

// The node with this number, these addresses and these uplinks answers on the port.
[[nodiscard]] bool answers(const PortRow& row, std::uint16_t node_number, const std::vector<IpAddress>& addresses,
                           const std::vector<std::string>& interfaces);

// As the kernel takes names of interfaces, and none that could be meant as a number or an address.
[[nodiscard]] bool is_interface_name(std::string_view text);

// A node's weight under a label. Nothing if its value is no number from 1 to 100; 1 if it has no such label.
[[nodiscard]] std::optional<std::uint16_t> weight_of(const Labels& node_labels, const std::string& weight_label);

}  // namespace mesh::model
