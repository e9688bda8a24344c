// Published ports and the end point of a service (Docker Engine API, "EndpointSpec", "EndpointPortConfig").
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "control/model/object.h"

namespace mesh::model {

enum class PortProtocol : std::uint8_t { kUnset, kTcp, kUdp, kSctp };
constexpr std::array<EnumName<PortProtocol>, 4> json_names(const PortProtocol*) {
  return {{{PortProtocol::kUnset, ""},
           {PortProtocol::kTcp, "tcp"},
           {PortProtocol::kUdp, "udp"},
           {PortProtocol::kSctp, "sctp"}}};
}
enum class PublishMode : std::uint8_t { kUnset, kIngress, kHost };
constexpr std::array<EnumName<PublishMode>, 3> json_names(const PublishMode*) {
  return {{{PublishMode::kUnset, ""}, {PublishMode::kIngress, "ingress"}, {PublishMode::kHost, "host"}}};
}
enum class ResolutionMode : std::uint8_t { kUnset, kVip, kDnsrr };
constexpr std::array<EnumName<ResolutionMode>, 3> json_names(const ResolutionMode*) {
  return {{{ResolutionMode::kUnset, ""}, {ResolutionMode::kVip, "vip"}, {ResolutionMode::kDnsrr, "dnsrr"}}};
}

struct PortConfig {
  std::string name;
  PortProtocol protocol = PortProtocol::kUnset;  // unset: tcp
  std::uint16_t target_port = 0;
  std::uint16_t published_port = 0;                // 0: any of 30000-32767
  PublishMode publish_mode = PublishMode::kUnset;  // unset: ingress
  bool operator==(const PortConfig&) const = default;
};
template <class Visit>
constexpr bool json_fields(const PortConfig*, Visit&& visit) {
  return visit("Name", &PortConfig::name, kOmitEmpty) && visit("Protocol", &PortConfig::protocol, kOmitEmpty) &&
         visit("TargetPort", &PortConfig::target_port, kOmitEmpty) &&
         visit("PublishedPort", &PortConfig::published_port, kOmitEmpty) &&
         visit("PublishMode", &PortConfig::publish_mode, kOmitEmpty);
}

// What only one service of the cluster can publish; the protocol is not kUnset.
using PublishedPort = std::pair<PortProtocol, std::uint16_t>;

struct EndpointSpec {
  ResolutionMode mode = ResolutionMode::kUnset;  // unset: vip
  std::vector<PortConfig> ports;
  bool operator==(const EndpointSpec&) const = default;
};
template <class Visit>
constexpr bool json_fields(const EndpointSpec*, Visit&& visit) {
  return visit("Mode", &EndpointSpec::mode, kOmitEmpty) && visit("Ports", &EndpointSpec::ports, kOmitEmpty);
}

// "10.1.0.2/24" on the wire of the API: the address with its network's prefix length.
struct VirtualIp {
  std::string network_id;
  std::string addr;
  bool operator==(const VirtualIp&) const = default;
};
template <class Visit>
constexpr bool json_fields(const VirtualIp*, Visit&& visit) {
  return visit("NetworkID", &VirtualIp::network_id, kOmitEmpty) && visit("Addr", &VirtualIp::addr, kOmitEmpty);
}

// What was allocated: the spec's ports with every published port filled in, and one address per network.
struct Endpoint {
  EndpointSpec spec;
  std::vector<PortConfig> ports;
  std::vector<VirtualIp> virtual_ips;
  bool operator==(const Endpoint&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Endpoint*, Visit&& visit) {
  return visit("Spec", &Endpoint::spec) && visit("Ports", &Endpoint::ports, kOmitEmpty) &&
         visit("VirtualIPs", &Endpoint::virtual_ips, kOmitEmpty);
}

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::EndpointSpec);
MESH_JSON_DECLARE(mesh::model::Endpoint);
