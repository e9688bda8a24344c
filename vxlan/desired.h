// The links, addresses, routes and firewall rules this host should have for the overlay: plain values. Everything made
// here carries the prefix `mesh` or `mv` and is removed by cleanup().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"

namespace mesh::vxlan {

// The host's own end: mesh0 (gateway of every container, way into the mesh for the host itself) and its peer mesh1, and
// the one collect-metadata VXLAN device of the slow path.
struct Gateway {
  IpAddress gateway_v4, gateway_v6;          // on mesh0
  IpAddress mesh_v4, mesh_v6;                // routed to mesh0, permanent neighbour
  IpAddress host_source_v4, host_source_v6;  // source hint of those routes: the host's uplink address
  std::uint16_t mtu = 1450;                  // underlay - 50 (-70 over IPv6)
  bool operator==(const Gateway&) const = default;
};

// One task's network: a namespace at `netns_path` with eth0 wired to a host-side veth.
struct TaskLink {
  std::string task_id;
  std::string netns_path;  // /run/meshd/netns/<task id>; made by create_netns()
  std::string host_name;   // mv<8 hex>, 15 characters at most
  IpAddress ingress_v4, ingress_v6;
  struct NetworkRoute {
    Cidr subnet;
    IpAddress source;  // the task's address there
    bool operator==(const NetworkRoute&) const = default;
  };
  std::vector<NetworkRoute> networks;
  std::uint16_t mtu = 1450;
  bool operator==(const TaskLink&) const = default;
};

// Addresses that may leave the cluster masqueraded: local tasks that are on at least one network that is not internal.
struct Masquerade {
  std::vector<IpAddress> sources;
  std::vector<Cidr> cluster;  // destinations never masqueraded: overlay subnets
  bool operator==(const Masquerade&) const = default;
};

struct Desired {
  std::optional<Gateway> gateway;
  std::vector<TaskLink> links;
  Masquerade masquerade;
  std::vector<std::uint16_t> reserved_ports;  // published ports: ip_local_reserved_ports
  bool operator==(const Desired&) const = default;
};

}  // namespace mesh::vxlan
