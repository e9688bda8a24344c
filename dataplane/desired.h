// What the kernel of this host should hold for the routing mesh, the virtual IPs and the private networks: plain
// values, made by the agent from the cluster's tables, handed to plan(). Nothing here is read from the kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "dataplane/ring.h"

namespace mesh::dataplane {

enum class Protocol : std::uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };
enum class EndpointState : std::uint8_t { kReady, kDraining, kGone };
// How a program is attached to an uplink. kXdp: native XDP, generic where the driver has none is refused with the
// reason.
enum class UplinkMode : std::uint8_t { kXdp, kTc };

// An interface of this host that carries client and tunnel traffic.
struct Uplink {
  std::string name;
  std::uint32_t ifindex = 0;
  MacAddress mac;
  UplinkMode mode = UplinkMode::kTc;
  std::vector<IpAddress> addresses;  // the host's own; published ports answer on these
  std::uint16_t mtu = 1500;
  bool operator==(const Uplink&) const = default;
};

// A host of the cluster as this host reaches it. `number` is the node id on the wire (1..4095).
struct Node {
  std::uint16_t number = 0;
  IpAddress address;                 // underlay, outer destination; the only source its tunnel packets may have
  std::uint32_t ifindex = 0;         // egress uplink; 0 while the route is not resolved, or for this host itself
  IpAddress source;                  // outer source
  MacAddress next_hop;               // outer destination MAC
  MacAddress egress_mac;             // outer source MAC
  std::uint16_t mtu = 0;             // of the way there, where it is less than the uplink's; 0: it is not
  std::vector<IpAddress> addresses;  // every address of that host on which it answers published ports
  bool operator==(const Node&) const = default;
};

struct Network {
  std::uint32_t vni = 0;
  Cidr subnet_v4;
  std::optional<Cidr> subnet_v6;
  bool internal = false;  // no way out of the cluster
  bool ingress = false;
  bool operator==(const Network&) const = default;
};

struct EndpointAddress {
  std::uint32_t vni = 0;
  IpAddress address;
  bool operator==(const EndpointAddress&) const = default;
};

// Where a task of this host is attached.
struct Attachment {
  std::uint32_t ifindex = 0;       // host side of its veth
  std::uint64_t netns_cookie = 0;  // SO_NETNS_COOKIE of its network namespace
  bool operator==(const Attachment&) const = default;
};

// One task of the cluster with all its addresses (v4 and v6, one entry each). Its MAC follows from its ingress v4
// address.
struct Endpoint {
  std::string task_id;
  std::uint16_t node = 0;  // number of its host
  IpAddress ingress_v4;
  std::vector<EndpointAddress> addresses;
  EndpointState state = EndpointState::kReady;
  std::optional<Attachment> attachment;  // set for tasks of this host
  bool operator==(const Endpoint&) const = default;
};

// A published port: the ring's slot values index `backends`.
struct Backend {
  std::uint16_t node = 0;
  std::uint16_t binding = 0;  // index on that node
  EndpointState state = EndpointState::kReady;
  bool operator==(const Backend&) const = default;
};
// How answers travel. kTunnel: back through the entry host, which works on any underlay. kDirect: the backend's host
// answers the client itself as the entry host's address, which an underlay with source checks drops.
enum class ReturnMode : std::uint8_t { kTunnel, kDirect };
struct PublishedPort {
  std::string service_id;
  std::string service_name;
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  Ring ring;                      // empty owners: no backend, connections are refused
  std::vector<Backend> backends;  // at most kBackendsMax; holes have node 0
  ReturnMode return_mode = ReturnMode::kTunnel;
  std::uint32_t affinity_seconds = 0;  // how long a client's address keeps its backend without a new flow; 0: not
  bool prefer_local = false;           // new flows go to a ready backend of the entry host, if it has one
  bool entry = true;                   // this host answers on the port; otherwise it only holds backends
  std::vector<IpAddress> addresses;    // of this host that answer; empty: all
  std::vector<Cidr> allow;             // clients that are let in, at most kAllowMax; empty: everybody
  bool operator==(const PublishedPort&) const = default;
};
inline constexpr std::size_t kAllowMax = 64;  // prefixes per published port

inline constexpr std::uint16_t kBindingMax = 16383;
// A backend of this host: where a tunnel packet with this binding is delivered.
struct Binding {
  std::uint16_t index = 0;  // 1..kBindingMax
  std::string task_id;
  Protocol protocol = Protocol::kTcp;
  std::uint16_t published_port = 0;
  std::uint16_t target_port = 0;
  EndpointState state = EndpointState::kReady;
  bool operator==(const Binding&) const = default;
};

// One service's address on one network, balanced over `backends` at connect time.
struct VirtualIp {
  IpAddress address;
  std::uint32_t vni = 0;
  std::string service_id;
  std::vector<IpAddress> backends;  // ready endpoints' addresses on that network, the address's own family
  bool operator==(const VirtualIp&) const = default;
};

struct Desired {
  std::uint16_t self = 0;  // this host's node number
  std::vector<Uplink> uplinks;
  std::vector<Node> nodes;  // this host included
  std::vector<Network> networks;
  std::vector<Endpoint> endpoints;
  std::vector<PublishedPort> ports;
  std::vector<Binding> bindings;
  std::vector<VirtualIp> virtual_ips;
  IpAddress gateway_v4, gateway_v6;     // of every container; on mesh0 (10.0.0.1, fd…::1)
  IpAddress mesh_v4, mesh_v6;           // the host's own way into the mesh (10.0.0.2, fd…::2)
  std::uint32_t mesh_ifindex = 0;       // mesh0
  std::uint32_t mesh_peer_ifindex = 0;  // mesh1: tc ingress runs the entry logic
  std::uint16_t dns_port = 7953;        // mesh-dns on the gateway address
  std::string cgroup_root;              // cgroup2 directory where the connect hooks attach
};

// What became different in a Desired, piece by piece: those that are new or changed, and the names of those that went.
// Everything else of it (nodes, networks, uplinks, gateway) changes only as a whole.
struct Change {
  std::vector<Endpoint> endpoints;
  std::vector<PublishedPort> ports;
  std::vector<Binding> bindings;
  std::vector<VirtualIp> virtual_ips;
  std::vector<std::string> endpoints_gone;  // task ids
  std::vector<std::pair<Protocol, std::uint16_t>> ports_gone;
  std::vector<std::uint16_t> bindings_gone;  // indexes
  std::vector<IpAddress> virtual_ips_gone;
};

}  // namespace mesh::dataplane
