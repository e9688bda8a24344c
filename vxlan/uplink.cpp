#include "vxlan/uplink.h"

#include <algorithm>
#include <limits>
#include <map>
#include <net/if.h>
#include <net/if_arp.h>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "vxlan/ethtool.h"
#include "vxlan/netlink.h"
#include "vxlan/observe.h"

namespace mesh::vxlan {
namespace {

struct Interface {
  std::string name;
  unsigned int flags = 0;
  std::uint16_t type = 0;  // ARPHRD_*
  MacAddress mac;
  std::uint32_t mtu = 0;
  std::uint32_t vlan_on = 0;  // of a VLAN device: the interface that it sits on
};

// 0: it is no VLAN device.
std::uint32_t vlan_parent(const Attributes& link) {
  const nlattr* kind = link.find(IFLA_LINKINFO);
  if (kind == nullptr || Attributes(kind).text(IFLA_INFO_KIND) != "vlan") return 0;
  return link.u32(IFLA_LINK);
}

Result<std::map<std::uint32_t, Interface>> list_interfaces(NetlinkSocket& socket) {
  std::map<std::uint32_t, Interface> interfaces;
  Message message(RTM_GETLINK, NLM_F_DUMP);
  message.header<ifinfomsg>();
  TRY(socket.query(message, "list interfaces", [&](const nlmsghdr* answer) {
    const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(answer));
    const Attributes attributes(answer, sizeof(ifinfomsg));
    interfaces[static_cast<std::uint32_t>(info->ifi_index)] = {
        attributes.text(IFLA_IFNAME), info->ifi_flags,          info->ifi_type,
        attributes.mac(IFLA_ADDRESS), attributes.u32(IFLA_MTU), vlan_parent(attributes)};
  }));
  return interfaces;
}

Status list_routes(NetlinkSocket& socket, std::uint8_t family, const NetlinkSocket::Handler& handler) {
  Message message(RTM_GETROUTE, NLM_F_DUMP);
  auto& header = message.header<rtmsg>();
  header.rtm_family = family;
  header.rtm_table = RT_TABLE_MAIN;
  return socket.query(message, "list routes", handler);
}

// Egress interface of a route, also where it has several next hops (the first).
std::uint32_t egress_of(const Attributes& route) {
  if (const std::uint32_t ifindex = route.u32(RTA_OIF); ifindex != 0) return ifindex;
  const nlattr* hops = route.find(RTA_MULTIPATH);
  if (hops == nullptr || mnl_attr_get_payload_len(hops) < sizeof(rtnexthop)) return 0;
  return static_cast<std::uint32_t>(static_cast<const rtnexthop*>(mnl_attr_get_payload(hops))->rtnh_ifindex);
}

// Interface of the default route with the lowest metric; 0 if there is none.
Result<std::uint32_t> default_interface(NetlinkSocket& socket) {
  for (const int family : {AF_INET, AF_INET6}) {
    std::uint32_t best = 0;
    std::uint64_t best_metric = std::numeric_limits<std::uint64_t>::max();
    TRY(list_routes(socket, static_cast<std::uint8_t>(family), [&](const nlmsghdr* answer) {
      const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
      if (info->rtm_dst_len != 0 || info->rtm_type != RTN_UNICAST || info->rtm_table != RT_TABLE_MAIN) return;
      const Attributes attributes(answer, sizeof(rtmsg));
      const std::uint32_t metric = attributes.u32(RTA_PRIORITY);
      const std::uint32_t ifindex = egress_of(attributes);
      if (ifindex == 0 || metric >= best_metric) return;
      best = ifindex;
      best_metric = metric;
    }));
    if (best != 0) return best;
  }
  return 0U;
}

Result<std::vector<IpAddress>> addresses_of(NetlinkSocket& socket, std::uint32_t ifindex) {
  std::vector<IpAddress> addresses;
  Message message(RTM_GETADDR, NLM_F_DUMP);
  message.header<ifaddrmsg>();
  TRY(socket.query(message, "list addresses", [&](const nlmsghdr* answer) {
    const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(answer));
    if (info->ifa_index != ifindex || info->ifa_scope != RT_SCOPE_UNIVERSE) return;
    const Attributes attributes(answer, sizeof(ifaddrmsg));
    // Privacy addresses come and go; nobody is told to reach a host on one.
    if ((attributes.u32(IFA_FLAGS) & IFA_F_TEMPORARY) != 0 && info->ifa_family == AF_INET6) return;
    const IpAddress local = attributes.address(IFA_LOCAL);
    addresses.push_back(local.is_unset() ? attributes.address(IFA_ADDRESS) : local);
  }));
  return addresses;
}

// "eth0, wlan0": what could be named instead.
std::string candidates(const std::map<std::uint32_t, Interface>& interfaces) {
  std::vector<std::string> names;
  for (const auto& [ifindex, interface] : interfaces) {
    if ((interface.flags & IFF_LOOPBACK) == 0 && !is_our_interface(interface.name)) names.push_back(interface.name);
  }
  return names.empty() ? std::string("none but loopback") : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

Result<UplinkInfo> find_uplink(std::string_view name) {
  NetlinkSocket socket = TRY(NetlinkSocket::open());
  const std::map<std::uint32_t, Interface> interfaces = TRY(list_interfaces(socket));
  auto found = interfaces.end();
  if (name.empty()) {
    found = interfaces.find(TRY(default_interface(socket)));
    if (found == interfaces.end()) {
      return fail(ErrorKind::kNotFound,
                  fmt::format("no uplink: this host has no default route; name the interface with --uplink (here: {})",
                              candidates(interfaces)));
    }
  } else {
    found = std::ranges::find_if(interfaces, [&](const auto& entry) { return entry.second.name == name; });
    if (found == interfaces.end()) {
      return fail(ErrorKind::kNotFound,
                  fmt::format("no uplink: there is no interface \"{}\" (here: {})", name, candidates(interfaces)));
    }
  }
  const auto& [ifindex, interface] = *found;
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorKind::kInvalid, fmt::format("uplink {}: {}", interface.name, why));
  };
  if ((interface.flags & IFF_LOOPBACK) != 0) return refuse("the loopback interface cannot carry the mesh");
  if (interface.type != ARPHRD_ETHER) return refuse("not an Ethernet interface; choose another with --uplink");
  if ((interface.flags & IFF_UP) == 0) {
    return refuse(fmt::format("the interface is down; bring it up with: ip link set {} up", interface.name));
  }
  UplinkInfo info{.name = interface.name,
                  .ifindex = ifindex,
                  .mac = interface.mac,
                  .mtu = static_cast<std::uint16_t>(std::min(interface.mtu, 65535U)),
                  .addresses = TRY(addresses_of(socket, ifindex)),
                  .driver = driver_name(interface.name)};
  if (info.addresses.empty()) return refuse("it has no address that other hosts could reach; give it one");
  info.native_xdp = has_native_xdp(ifindex, info.driver);
  info.carries_vlans =
      std::ranges::any_of(interfaces, [&](const auto& entry) { return entry.second.vlan_on == info.ifindex; });
  return info;
}

Result<std::vector<HostRoute>> host_routes() {
  NetlinkSocket socket = TRY(NetlinkSocket::open());
  const std::map<std::uint32_t, Interface> interfaces = TRY(list_interfaces(socket));
  std::vector<HostRoute> routes;
  for (const int family : {AF_INET, AF_INET6}) {
    if (family == AF_INET6 && !has_ipv6()) continue;
    TRY(list_routes(socket, static_cast<std::uint8_t>(family), [&](const nlmsghdr* answer) {
      const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
      if (info->rtm_dst_len == 0 || info->rtm_protocol == kRouteProtocol || info->rtm_type != RTN_UNICAST) return;
      const Attributes attributes(answer, sizeof(rtmsg));
      const auto interface = interfaces.find(egress_of(attributes));
      if (interface == interfaces.end() || (interface->second.flags & IFF_LOOPBACK) != 0) return;
      if (is_our_interface(interface->second.name)) return;
      const Cidr prefix{attributes.address(RTA_DST), info->rtm_dst_len};
      if (info->rtm_family == AF_INET6 && prefix.network.bytes()[0] == 0xfe &&
          (prefix.network.bytes()[1] & 0xc0) == 0x80) {
        return;  // link-local, on every interface
      }
      routes.push_back({prefix, interface->second.name});
    }));
  }
  return routes;
}

std::string overlap_problem(const Cidr& subnet, const std::vector<HostRoute>& routes) {
  for (const HostRoute& route : routes) {
    if (!subnet.overlaps(route.prefix)) continue;
    return fmt::format(
        "subnet {} overlaps {}, which this host reaches through {}: packets of one would go to the other; "
        "remove that route, or make the network again with another --subnet",
        subnet.to_string(), route.prefix.to_string(), route.interface);
  }
  return {};
}

}  // namespace mesh::vxlan
