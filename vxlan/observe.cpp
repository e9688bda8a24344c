#include "vxlan/observe.h"

#include <algorithm>
#include <filesystem>
#include <net/if.h>

#include <linux/neighbour.h>

#include "base/file.h"
#include "base/text.h"
#include "vxlan/ethtool.h"
#include "vxlan/netns.h"
#include "vxlan/plan.h"

namespace mesh::vxlan {
namespace {

constexpr std::uint8_t kAddrGenModeNone = 1;  // IN6_ADDR_GEN_MODE_NONE

// IPv6 is on for this interface and makes a link-local address of its own.
bool makes_link_local(const Attributes& attributes) {
  const Attributes families(attributes.find(IFLA_AF_SPEC));
  const nlattr* inet6 = families.find(AF_INET6);
  return inet6 != nullptr && Attributes(inet6).u8(IFLA_INET6_ADDR_GEN_MODE) != kAddrGenModeNone;
}

struct Observation {
  bool is_task = false;
  NamespaceState state;
  std::map<std::uint32_t, std::string> names;  // by ifindex, ours only

  void link(const nlmsghdr* message) {
    const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
    const Attributes attributes(message, sizeof(ifinfomsg));
    const std::string name = attributes.text(IFLA_IFNAME);
    if (is_task ? name != kTaskInterface : !is_our_interface(name)) return;
    const auto ifindex = static_cast<std::uint32_t>(info->ifi_index);
    names[ifindex] = name;
    state.links[name] = {.ifindex = ifindex,
                         .peer_ifindex = attributes.u32(IFLA_LINK),
                         .mac = attributes.mac(IFLA_ADDRESS),
                         .mtu = static_cast<std::uint16_t>(std::min(attributes.u32(IFLA_MTU), 65535U)),
                         .up = (info->ifi_flags & IFF_UP) != 0,
                         .gro = false,
                         .link_local = makes_link_local(attributes)};
  }

  void address(const nlmsghdr* message) {
    const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
    const auto name = names.find(info->ifa_index);
    if (name == names.end() || info->ifa_scope != RT_SCOPE_UNIVERSE) return;
    const Attributes attributes(message, sizeof(ifaddrmsg));
    const IpAddress ip =
        attributes.address(IFA_LOCAL).is_unset() ? attributes.address(IFA_ADDRESS) : attributes.address(IFA_LOCAL);
    state.addresses.insert({name->second, ip});
  }

  void route(const nlmsghdr* message) {
    const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    const Attributes attributes(message, sizeof(rtmsg));
    const auto name = names.find(attributes.u32(RTA_OIF));
    if (name == names.end() || info->rtm_protocol != kRouteProtocol || info->rtm_table != RT_TABLE_MAIN) return;
    IpAddress destination = attributes.address(RTA_DST);
    if (destination.is_unset() && info->rtm_family == AF_INET) destination = IpAddress::v4(0);
    state.routes.insert({name->second,
                         {destination, info->rtm_dst_len},
                         attributes.address(RTA_GATEWAY),
                         attributes.address(RTA_PREFSRC)});
  }

  void neighbour(const nlmsghdr* message) {
    const auto* info = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(message));
    const auto name = names.find(static_cast<std::uint32_t>(info->ndm_ifindex));
    if (name == names.end() || (info->ndm_state & NUD_PERMANENT) == 0) return;
    const Attributes attributes(message, sizeof(ndmsg));
    state.neighbours.insert({name->second, attributes.address(NDA_DST), attributes.mac(NDA_LLADDR)});
  }
};

template <class Header>
Status dump(NetlinkSocket& socket, std::uint16_t type, std::uint8_t family, std::string_view what,
            const NetlinkSocket::Handler& handler) {
  Message message(type, NLM_F_DUMP);
  auto& header = message.header<Header>();
  *reinterpret_cast<std::uint8_t*>(&header) = family;  // the first member of every rtnetlink header
  if constexpr (std::is_same_v<Header, rtmsg>) {
    header.rtm_protocol = kRouteProtocol;  // the kernel filters: a full table of the internet costs nothing
    header.rtm_table = RT_TABLE_MAIN;
  }
  return socket.query(message, what, handler);
}

Status dump_all(NetlinkSocket& socket, Observation& seen, bool ipv6) {
  TRY(dump<ifinfomsg>(socket, RTM_GETLINK, AF_UNSPEC, "list interfaces", [&](const nlmsghdr* m) { seen.link(m); }));
  if (seen.names.empty()) return {};
  for (const int family : {AF_INET, AF_INET6}) {
    if (family == AF_INET6 && !ipv6) continue;
    const auto f = static_cast<std::uint8_t>(family);
    TRY(dump<ifaddrmsg>(socket, RTM_GETADDR, f, "list addresses", [&](const nlmsghdr* m) { seen.address(m); }));
    TRY(dump<rtmsg>(socket, RTM_GETROUTE, f, "list routes", [&](const nlmsghdr* m) { seen.route(m); }));
    TRY(dump<ndmsg>(socket, RTM_GETNEIGH, f, "list neighbours", [&](const nlmsghdr* m) { seen.neighbour(m); }));
  }
  return {};
}

}  // namespace

bool is_our_interface(const std::string& name) {
  if (name == kMeshInterface || name == kMeshPeerInterface) return true;
  return name.size() == 10 && name.starts_with("mv") &&
         name.find_first_not_of("0123456789abcdef", 2) == std::string::npos;
}

Result<NamespaceState> observe_namespace(NetlinkSocket& socket, bool is_task, bool ipv6) {
  Observation seen{.is_task = is_task};
  Status status;
  // A dump that a change interrupted is taken again; thrice, then the caller's next pass does it.
  for (int attempt = 0; attempt < 3; ++attempt) {
    seen = Observation{.is_task = is_task};
    status = dump_all(socket, seen, ipv6);
    if (status) break;
  }
  if (!status) return std::unexpected(status.error());
  for (auto& [name, link] : seen.state.links) {
    if (const Result<bool> gro = read_gro(name)) link.gro = *gro;
  }
  return std::move(seen.state);
}

Result<NamespaceState> observe_task(const std::string& path, bool ipv6) {
  NamespaceState state;
  TRY(in_netns(path, [&]() -> Status {
    NetlinkSocket socket = TRY(NetlinkSocket::open());
    state = TRY(observe_namespace(socket, true, ipv6));
    state.sysctls = read_sysctls({"net/ipv4/conf/eth0/rp_filter", "net/ipv6/conf/eth0/accept_ra"});
    return {};
  }));
  return state;
}

std::map<std::string, std::string> read_sysctls(const std::vector<std::string>& paths) {
  std::map<std::string, std::string> values;
  for (const std::string& path : paths) {
    if (const Result<std::string> value = read_file("/proc/sys/" + path)) values[path] = std::string(trim(*value));
  }
  return values;
}

std::set<std::string> accept_ra_interfaces() {
  std::set<std::string> names;
  const Result<std::vector<std::string>> all = list_directory("/proc/sys/net/ipv6/conf");
  if (!all) return names;
  for (const std::string& name : *all) {
    // "all" and "default" decide nothing for interfaces that exist; lo and ours have no router.
    if (name == "all" || name == "default" || name == "lo" || is_our_interface(name)) continue;
    const std::string path = "net/ipv6/conf/" + name + "/accept_ra";
    const auto value = read_sysctls({path});
    if (value.contains(path) && value.at(path) == "1") names.insert(name);
  }
  return names;
}

bool has_ipv6() {
  std::error_code error;
  return std::filesystem::exists("/proc/sys/net/ipv6", error);
}

}  // namespace mesh::vxlan
