#include "dataplane/wanted.h"

#include <algorithm>
#include <arpa/inet.h>
#include <map>

#include <fmt/format.h>

namespace mesh::dataplane {
namespace {

constexpr std::uint16_t kOuterSizeV4 = MESH_OUTER_SIZE;
constexpr std::uint16_t kOuterSizeV6 = 70;       // an IPv6 header is 20 bytes longer
constexpr std::uint16_t kUnderlayMtu = 1500;     // while no uplink is known
constexpr std::uint16_t kWayMtuMin = 1280 + 70;  // RFC 8200 §5, in the larger of the tunnel's headers

mesh_subnet to_subnet(const Cidr& cidr) {
  mesh_subnet subnet{.address = to_abi(cidr.network), .mask = {}};
  const std::uint32_t length = mapped_length(cidr);
  for (std::uint32_t bit = 0; bit < length; ++bit) {
    reinterpret_cast<std::uint8_t*>(&subnet.mask)[bit / 8] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
  }
  return subnet;
}

class Writer {
 public:
  Writer(const Desired& desired, const HostFacts& facts) : desired_(desired), facts_(facts) {
    for (const Network& network : desired.networks) networks_[network.vni] = &network;
  }

  // What is there once: of this host, its neighbours and networks.
  void frame() {
    config();
    addresses();
    for (const Node& node : desired_.nodes) this->node(node);
    for (const Network& network : desired_.networks) this->network(network);
  }

  void all(const Pieces& pieces) {
    for (const Endpoint* endpoint : pieces.endpoints) this->endpoint(*endpoint);
    for (const Pieces::BoundTask& bound : pieces.bindings) binding(*bound.binding, *bound.endpoint);
  }

  Observed take() { return std::move(tables_); }

 private:
  template <class Key, class Value>
  void put(MapId map, const Key& key, const Value& value) {
    tables_[map][bytes_of(key)] = bytes_of(value);
  }

  [[nodiscard]] std::uint16_t mtu_of(std::uint32_t ifindex) const {
    for (const Uplink& uplink : desired_.uplinks) {
      if (uplink.ifindex == ifindex) return uplink.mtu;
    }
    return kUnderlayMtu;
  }

  [[nodiscard]] std::uint16_t mtu_towards(const Node& node, std::uint32_t ifindex) const {
    const std::uint16_t most = mtu_of(ifindex);
    // Less than IPv6 needs in the tunnel is no way, and a lie.
    return node.mtu == 0 ? most : std::min(most, std::max(node.mtu, kWayMtuMin));
  }

  void config() {
    std::uint16_t mtu = desired_.uplinks.empty() ? kUnderlayMtu : desired_.uplinks.front().mtu;
    for (const Uplink& uplink : desired_.uplinks) mtu = std::min(mtu, uplink.mtu);
    mesh_config config{};
    config.abi = MESH_ABI_VERSION;
    config.self = desired_.self;
    config.endpoint_mtu = static_cast<std::uint16_t>(mtu - kOuterSizeV4);
    for (const Network& network : desired_.networks) {
      if (network.ingress) config.ingress_vni = network.vni;
    }
    config.mesh_ifindex = desired_.mesh_ifindex;
    config.mesh_peer_ifindex = desired_.mesh_peer_ifindex;
    config.flow_mask = facts_.flow_mask;
    config.endpoint_lines = facts_.endpoint_lines;
    config.backend_rows = facts_.backend_rows;
    config.dns_port = htons(desired_.dns_port);
    const MacAddress mac = MacAddress::of_endpoint(desired_.gateway_v4);
    std::ranges::copy(mac.bytes, config.gateway_mac);
    std::ranges::copy(mac.bytes, config.mesh_mac);  // mesh0 is the gateway's interface
    config.host_cookie = facts_.netns_cookie;
    config.flow_seed = facts_.flow_seed;
    config.gateway_v4 = to_abi(desired_.gateway_v4);
    config.gateway_v6 = to_abi(desired_.gateway_v6);
    config.mesh_v4 = to_abi(desired_.mesh_v4);
    config.mesh_v6 = to_abi(desired_.mesh_v6);
    config.tick_shift = facts_.tick_shift;
    own_addresses(config);
    ingress(config);
    put(MapId::kConfig, std::uint32_t{0}, config);
  }

  // Those that the programs compare before they ask mesh_addresses.
  void own_addresses(mesh_config& config) const {
    std::size_t count = 0;
    for (const IpAddress& address : selves()) {
      if (count == MESH_SELVES_MAX) {
        config.more_selves = 1;
        return;
      }
      config.self_address[count++] = to_abi(address);
    }
  }

  void ingress(mesh_config& config) const {
    config.ingress_v4 = config.ingress_v6 = {{}, {{~0U, ~0U, ~0U, ~0U}}};  // none
    for (const Network& network : desired_.networks) {
      if (!network.ingress) continue;
      config.ingress_v4 = to_subnet(network.subnet_v4);
      if (network.subnet_v6) config.ingress_v6 = to_subnet(*network.subnet_v6);
    }
  }

  // Every address of this host on which published ports answer, once, the uplinks' first.
  [[nodiscard]] std::vector<IpAddress> selves() const {
    std::vector<IpAddress> selves;
    const auto add = [&](const IpAddress& address) {
      if (!address.is_unset() && std::ranges::find(selves, address) == selves.end()) selves.push_back(address);
    };
    for (const Uplink& uplink : desired_.uplinks) std::ranges::for_each(uplink.addresses, add);
    for (const Node& node : desired_.nodes) {
      if (node.number != desired_.self) continue;
      add(node.address);
      std::ranges::for_each(node.addresses, add);
    }
    return selves;
  }

  void role(const IpAddress& address, std::uint16_t node, unsigned int flags) {
    if (address.is_unset()) return;
    const mesh_address_role value{.node = node, .flags = static_cast<std::uint16_t>(flags)};
    put(MapId::kAddresses, to_abi(address), value);
  }

  void addresses() {
    for (const Node& node : desired_.nodes) {
      if (node.number == desired_.self) continue;
      for (const IpAddress& address : node.addresses) role(address, node.number, MESH_ROLE_NODE);
      role(node.address, node.number, MESH_ROLE_NODE);
    }
    // Own addresses last: should two hosts claim one, this host knows best what is its own.
    for (const IpAddress& address : selves()) role(address, desired_.self, MESH_ROLE_NODE | MESH_ROLE_SELF);
    role(desired_.gateway_v4, 0, MESH_ROLE_GATEWAY);
    role(desired_.gateway_v6, 0, MESH_ROLE_GATEWAY);
    role(desired_.mesh_v4, desired_.self, MESH_ROLE_MESH);
    role(desired_.mesh_v6, desired_.self, MESH_ROLE_MESH);
  }

  void node(const Node& node) {
    if (node.number == 0 || node.number >= MESH_NODES_MAX) return;
    mesh_node value{};
    value.address = to_abi(node.address);
    value.flags = MESH_NODE_VALID;
    if (node.number == desired_.self) {
      value.flags = MESH_NODE_VALID | MESH_NODE_SELF;
      value.source = value.address;
      // Replies to clients leave by the only uplink; with several, the programs ask the routing table.
      if (desired_.uplinks.size() == 1) value.ifindex = desired_.uplinks.front().ifindex;
    } else {
      value.source = to_abi(node.source);
      std::ranges::copy(node.next_hop.bytes, value.next_hop);
      std::ranges::copy(node.egress_mac.bytes, value.egress_mac);
      value.ifindex = node.next_hop == MacAddress{} ? 0 : node.ifindex;
    }
    value.inner_mtu = static_cast<std::uint16_t>(mtu_towards(node, value.ifindex) -
                                                 (node.address.is_v4() ? kOuterSizeV4 : kOuterSizeV6));
    put(MapId::kNodes, std::uint32_t{node.number}, value);
  }

  void network(const Network& network) {
    const auto prefix = [&](const Cidr& cidr) {
      const mesh_prefix key{.length = mapped_length(cidr), .address = to_abi(cidr.network)};
      put(MapId::kNetworks, key, mesh_network{.vni = network.vni, .flags = 0});
    };
    prefix(network.subnet_v4);
    if (network.subnet_v6) prefix(*network.subnet_v6);
    put(MapId::kVnis, network.vni, std::uint32_t{0});
  }

  // On user networks only, and all of them internal.
  [[nodiscard]] bool may_not_leave(const Endpoint& endpoint) const {
    bool user = false;
    for (const EndpointAddress& address : endpoint.addresses) {
      const auto network = networks_.find(address.vni);
      if (network == networks_.end() || network->second->ingress) continue;
      if (!network->second->internal) return false;
      user = true;
    }
    return user;
  }

  // Where the endpoint is, by one of its addresses.
  void place(const Endpoint& endpoint, std::uint32_t ifindex, const EndpointAddress& address) {
    const mesh_address key = to_abi(address.address);
    if (address.address.is_v4()) {
      const mesh_endpoint4_place value{.place = ifindex != 0 ? ifindex : MESH_ENDPOINT_FAR | endpoint.node,
                                       .ingress = to_abi(endpoint.ingress_v4).word[3]};
      put(MapId::kEndpoints4, mesh_endpoint4_key{.vni = address.vni, .address = key.word[3]}, value);
      return;
    }
    mesh_endpoint value{.ifindex = ifindex, .node = endpoint.node, .mac = {}, .flags = 0};
    std::ranges::copy(MacAddress::of_endpoint(endpoint.ingress_v4).bytes, value.mac);
    put(MapId::kEndpoints, mesh_endpoint_key{.vni = address.vni, .address = key}, value);
  }

  void endpoint(const Endpoint& endpoint) {
    if (endpoint.state == EndpointState::kGone) return;
    const MacAddress mac = MacAddress::of_endpoint(endpoint.ingress_v4);
    const std::uint32_t ifindex = endpoint.attachment ? endpoint.attachment->ifindex : 0;
    // A task of this host that is not wired yet cannot be reached, from here or from elsewhere.
    if (endpoint.node == desired_.self && ifindex == 0) return;
    const auto no_exit = static_cast<std::uint16_t>(may_not_leave(endpoint) ? MESH_SOURCE_NO_EXIT : 0);
    for (const EndpointAddress& address : endpoint.addresses) {
      place(endpoint, ifindex, address);
      if (!endpoint.attachment) continue;
      mesh_source source{.vni = address.vni, .flags = no_exit, .mac = {}, .reserved = 0};
      std::ranges::copy(mac.bytes, source.mac);
      put(MapId::kSources, mesh_source_key{.ifindex = ifindex, .address = to_abi(address.address)}, source);
      put(MapId::kMembers, mesh_member{.cookie = endpoint.attachment->netns_cookie, .vni = address.vni, .reserved = 0},
          ifindex);
    }
    if (endpoint.attachment) put(MapId::kNamespaces, endpoint.attachment->netns_cookie, ifindex);
  }

  void binding(const Binding& binding, const Endpoint& endpoint) {
    if (binding.index == 0 || binding.state == EndpointState::kGone) return;
    if (!endpoint.attachment || endpoint.state == EndpointState::kGone) return;
    mesh_binding value{};
    for (const EndpointAddress& address : endpoint.addresses) {
      const auto network = networks_.find(address.vni);
      const bool ingress = network != networks_.end() && network->second->ingress;
      if (ingress && !address.address.is_v4()) value.v6 = to_abi(address.address);
    }
    value.v4 = to_abi(endpoint.ingress_v4).word[3];
    value.ifindex = endpoint.attachment->ifindex;
    std::ranges::copy(MacAddress::of_endpoint(endpoint.ingress_v4).bytes, value.mac);
    value.target_port = htons(binding.target_port);
    value.published_port = htons(binding.published_port);
    value.protocol = static_cast<std::uint8_t>(binding.protocol);
    // The stricter of the two: a draining task takes no new flows on any port.
    value.state = static_cast<std::uint8_t>(std::max(binding.state, endpoint.state));
    put(MapId::kBindings, std::uint32_t{binding.index}, value);
  }

  const Desired& desired_;
  const HostFacts& facts_;
  std::map<std::uint32_t, const Network*> networks_;
  Observed tables_;
};

void want_hook(std::map<Hook, Attached>& hooks, const HostFacts& facts, Hook::Kind kind, std::uint32_t ifindex,
               const char* program) {
  const auto id = facts.program_ids.find(program);
  if (id == facts.program_ids.end()) return;
  hooks[{kind, ifindex, program}] = {id->second, kind == Hook::Kind::kCgroup ? facts.cgroup_id : 0};
}

void add_hook(std::map<Hook, Attached>& hooks, const HostFacts& facts, const Endpoint& endpoint) {
  if (!endpoint.attachment || endpoint.attachment->ifindex == 0) return;
  want_hook(hooks, facts, Hook::Kind::kEndpointTc, endpoint.attachment->ifindex, kEndpointTcProgram);
}

}  // namespace

Observed wanted_tables(const Desired& desired, const HostFacts& facts) {
  return wanted_tables(desired, facts, pieces_of(desired));
}

Observed wanted_tables(const Desired& desired, const HostFacts& facts, const Pieces& pieces) {
  Writer writer(desired, facts);
  writer.frame();
  writer.all(pieces);
  return writer.take();
}

Observed wanted_rows(const Desired& desired, const HostFacts& facts, const Pieces& pieces) {
  Writer writer(desired, facts);
  writer.all(pieces);
  Observed rows = writer.take();
  for (const Endpoint* endpoint : pieces.endpoints) add_hook(rows.hooks, facts, *endpoint);
  return rows;
}

const std::vector<CgroupProgram>& cgroup_programs() {
  static const std::vector<CgroupProgram> kPrograms = {
      {"mesh_connect4", "connect4"},      {"mesh_connect6", "connect6"},      {"mesh_sendmsg4", "sendmsg4"},
      {"mesh_sendmsg6", "sendmsg6"},      {"mesh_recvmsg4", "recvmsg4"},      {"mesh_recvmsg6", "recvmsg6"},
      {"mesh_peername4", "getpeername4"}, {"mesh_peername6", "getpeername6"},
  };
  return kPrograms;
}

std::map<Hook, Attached> wanted_hooks(const Desired& desired, const HostFacts& facts) {
  std::map<Hook, Attached> hooks;
  const auto want = [&](Hook::Kind kind, std::uint32_t ifindex, const char* program) {
    want_hook(hooks, facts, kind, ifindex, program);
  };
  for (const Uplink& uplink : desired.uplinks) {
    if (uplink.ifindex == 0) continue;
    if (uplink.mode == UplinkMode::kXdp) want(Hook::Kind::kUplinkXdp, uplink.ifindex, kUplinkXdpProgram);
    // In xdp mode too: what XDP leaves to the kernel (fragments, ICMP) is finished there.
    want(Hook::Kind::kUplinkTc, uplink.ifindex, kUplinkTcProgram);
  }
  for (const Endpoint& endpoint : desired.endpoints) add_hook(hooks, facts, endpoint);
  if (desired.mesh_peer_ifindex != 0) want(Hook::Kind::kEntryTc, desired.mesh_peer_ifindex, kEntryTcProgram);
  if (facts.cgroup_id != 0) {
    for (const CgroupProgram& cgroup : cgroup_programs()) want(Hook::Kind::kCgroup, 0, cgroup.program);
  }
  return hooks;
}

std::vector<Problem> limit_problems(const Desired& desired) {
  std::vector<Problem> problems;
  const auto check = [&](const char* what, std::size_t count, std::size_t limit, const char* name) {
    if (count <= limit) return;
    problems.push_back(
        {.kind = Problem::Kind::kLimit,
         .subject = what,
         .message = fmt::format("{} {} are more than the {} that the kernel tables of this host hold ({})", count, what,
                                limit, name)});
  };
  std::size_t addresses = 0;
  for (const Endpoint& endpoint : desired.endpoints) addresses += endpoint.addresses.size();
  check("endpoint addresses", addresses, MESH_ENDPOINTS_MAX, "MESH_ENDPOINTS_MAX");
  check("networks", desired.networks.size() * 2, MESH_NETWORKS_MAX, "MESH_NETWORKS_MAX");
  check("virtual IPs", desired.virtual_ips.size(), MESH_VIPS_MAX, "MESH_VIPS_MAX");
  for (const Node& node : desired.nodes) {
    check("node numbers", node.number, MESH_NODES_MAX - 1, "MESH_NODES_MAX");
    if (node.address.is_v4()) continue;
    problems.push_back(
        {.kind = Problem::Kind::kKernel,
         .subject = fmt::format("node {}", node.number),
         .message = fmt::format("the tunnel between hosts runs over IPv4 and its address is {}; start its "
                                "meshd with an IPv4 --advertise-addr",
                                node.address.to_string())});
  }
  return problems;
}

}  // namespace mesh::dataplane
