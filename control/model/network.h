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
constexpr auto json_fields(const IpamConfig*) {
  return std::tuple{field("Subnet", &IpamConfig::subnet, kOmitEmpty),
                    field("IPRange", &IpamConfig::ip_range, kOmitEmpty),
                    field("Gateway", &IpamConfig::gateway, kOmitEmpty),
                    field("AuxiliaryAddresses", &IpamConfig::auxiliary_addresses, kOmitEmpty)};
}

struct Ipam {
  std::string driver = "default";
  Options options;
  std::vector<IpamConfig> config;
  bool operator==(const Ipam&) const = default;
};
constexpr auto json_fields(const Ipam*) {
  return std::tuple{field("Driver", &Ipam::driver), field("Options", &Ipam::options), field("Config", &Ipam::config)};
}

struct ConfigFrom {
  std::string network;
  bool operator==(const ConfigFrom&) const = default;
};
constexpr auto json_fields(const ConfigFrom*) { return std::tuple{field("Network", &ConfigFrom::network)}; }

struct NetworkMesh {
  Version version;
  Time updated_at;
  std::uint32_t vni = 0;
  Cidr subnet_v4;
  std::optional<Cidr> subnet_v6;
  bool operator==(const NetworkMesh&) const = default;
};
constexpr auto json_fields(const NetworkMesh*) {
  return std::tuple{field("Version", &NetworkMesh::version), field("UpdatedAt", &NetworkMesh::updated_at),
                    field("VNI", &NetworkMesh::vni), field("SubnetV4", &NetworkMesh::subnet_v4),
                    field("SubnetV6", &NetworkMesh::subnet_v6)};
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
constexpr auto json_fields(const Network*) {
  return std::tuple{field("Name", &Network::name),
                    field("Id", &Network::id),
                    field("Created", &Network::created_at),
                    field("Scope", &Network::scope),
                    field("Driver", &Network::driver),
                    field("EnableIPv6", &Network::enable_ipv6),
                    field("IPAM", &Network::ipam),
                    field("Internal", &Network::internal),
                    field("Attachable", &Network::attachable),
                    field("Ingress", &Network::ingress),
                    field("ConfigFrom", &Network::config_from),
                    field("ConfigOnly", &Network::config_only),
                    field("Options", &Network::options),
                    field("Labels", &Network::labels),
                    field("Mesh", &Network::mesh)};
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
constexpr auto json_fields(const AttachedNetworkSpec*) {
  using S = AttachedNetworkSpec;
  return std::tuple{field("Name", &S::name),
                    field("Labels", &S::labels),
                    field("DriverConfiguration", &S::driver_configuration),
                    field("Ingress", &S::ingress, kOmitEmpty),
                    field("Internal", &S::internal, kOmitEmpty),
                    field("Scope", &S::scope, kOmitEmpty)};
}
struct AttachedNetwork : Object {
  AttachedNetworkSpec spec;
  bool operator==(const AttachedNetwork&) const = default;
};
constexpr auto json_fields(const AttachedNetwork*) {
  return std::tuple_cat(object_fields(), std::tuple{field("Spec", &AttachedNetwork::spec)});
}

}  // namespace mesh::model
