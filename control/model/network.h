// A network of the cluster (Docker Engine API, /networks). POST /networks/create sends a part of the same object.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/model/object.h"

namespace mesh::model {

// Text, because the API takes "" and host bits; validated and normalised on creation.
struct IpamConfig {
  std::string subnet;
  std::string ip_range;
  std::string gateway;
  std::map<std::string, std::string> auxiliary_addresses;
  bool operator==(const IpamConfig&) const = default;
};
template <class Visit>
constexpr bool json_fields(const IpamConfig*, Visit&& visit) {
  return visit("Subnet", &IpamConfig::subnet, kOmitEmpty) && visit("IPRange", &IpamConfig::ip_range, kOmitEmpty) &&
         visit("Gateway", &IpamConfig::gateway, kOmitEmpty) &&
         visit("AuxiliaryAddresses", &IpamConfig::auxiliary_addresses, kOmitEmpty);
}

struct Ipam {
  std::string driver = "default";
  Options options;
  std::vector<IpamConfig> config;
  bool operator==(const Ipam&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Ipam*, Visit&& visit) {
  return visit("Driver", &Ipam::driver) && visit("Options", &Ipam::options) && visit("Config", &Ipam::config);
}

struct ConfigFrom {
  std::string network;
  bool operator==(const ConfigFrom&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ConfigFrom*, Visit&& visit) {
  return visit("Network", &ConfigFrom::network);
}

struct NetworkMesh {
  Version version;
  Time updated_at;
  std::uint32_t vni = 0;
  Cidr subnet_v4;
  std::optional<Cidr> subnet_v6;
  bool operator==(const NetworkMesh&) const = default;
};
template <class Visit>
constexpr bool json_fields(const NetworkMesh*, Visit&& visit) {
  return visit("Version", &NetworkMesh::version) && visit("UpdatedAt", &NetworkMesh::updated_at) &&
         visit("VNI", &NetworkMesh::vni) && visit("SubnetV4", &NetworkMesh::subnet_v4) &&
         visit("SubnetV6", &NetworkMesh::subnet_v6);
}

// Docker's JSON has "Id" and "Created" here, and no version.
struct Network {
  std::string name;
  std::string id;
  Time created_at;
  std::string scope;   // "swarm"
  std::string driver;  // "overlay"
  bool enable_ipv6 = false;
  Ipam ipam;
  bool internal = false;
  bool attachable = false;
  bool ingress = false;
  ConfigFrom config_from;
  bool config_only = false;
  Options options;
  Labels labels;
  std::optional<NetworkMesh> mesh;  // always set in the store
  bool operator==(const Network&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Network*, Visit&& visit) {
  return visit("Name", &Network::name) && visit("Id", &Network::id) && visit("Created", &Network::created_at) &&
         visit("Scope", &Network::scope) && visit("Driver", &Network::driver) &&
         visit("EnableIPv6", &Network::enable_ipv6) && visit("IPAM", &Network::ipam) &&
         visit("Internal", &Network::internal) && visit("Attachable", &Network::attachable) &&
         visit("Ingress", &Network::ingress) && visit("ConfigFrom", &Network::config_from) &&
         visit("ConfigOnly", &Network::config_only) && visit("Options", &Network::options) &&
         visit("Labels", &Network::labels) && visit("Mesh", &Network::mesh);
}

// How a task names its network: the Swarm form of the same object, cut to what its readers use.
struct AttachedNetworkSpec {
  std::string name;
  Labels labels;
  std::optional<Driver> driver_configuration;
  bool ingress = false;
  bool internal = false;
  std::string scope;
  bool operator==(const AttachedNetworkSpec&) const = default;
};
template <class Visit>
constexpr bool json_fields(const AttachedNetworkSpec*, Visit&& visit) {
  using S = AttachedNetworkSpec;
  return visit("Name", &S::name) && visit("Labels", &S::labels) &&
         visit("DriverConfiguration", &S::driver_configuration) && visit("Ingress", &S::ingress, kOmitEmpty) &&
         visit("Internal", &S::internal, kOmitEmpty) && visit("Scope", &S::scope, kOmitEmpty);
}
struct AttachedNetwork : Object {
  AttachedNetworkSpec spec;
  bool operator==(const AttachedNetwork&) const = default;
};
template <class Visit>
constexpr bool json_fields(const AttachedNetwork*, Visit&& visit) {
  return object_fields(visit) && visit("Spec", &AttachedNetwork::spec);
}

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::Network);
