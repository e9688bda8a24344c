// resolve() and NetworkEvents of vxlan/uplink.h.
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <linux/neighbour.h>

#include "base/fd.h"
#include "vxlan/netlink.h"
#include "vxlan/observe.h"
#include "vxlan/uplink.h"

namespace mesh::vxlan {
namespace {

// linux/neighbour.h of Debian 12 has it; the number is kernel ABI (NTF_EXT_MANAGED, Linux 5.16).
constexpr std::uint32_t kExtManaged = 1U << 0U;
constexpr std::uint16_t kKnown = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;

struct RouteAnswer {
  std::uint32_t ifindex = 0;
  IpAddress source;
  IpAddress gateway;
  std::uint8_t type = RTN_UNSPEC;
  std::uint16_t mtu = 0;
};

// Set by the operator, or what routers on the way have said (RFC 1191); an answer about a single destination has both.
std::uint16_t mtu_of(const Attributes& route) {
  const nlattr* metrics = route.find(RTA_METRICS);
  return metrics == nullptr ? std::uint16_t{0} : static_cast<std::uint16_t>(Attributes(metrics).u32(RTAX_MTU));
}

// What `ip route get` says. No route is an answer: ifindex 0.
Result<RouteAnswer> look_up_route(NetlinkSocket& socket, const IpAddress& destination) {
  RouteAnswer result;
  Message message(RTM_GETROUTE, 0);
  auto& header = message.header<rtmsg>();
  header.rtm_family = family_of(destination);
  header.rtm_dst_len = host_prefix(destination);
  message.put(RTA_DST, destination);
  const Status status = socket.query(message, "route to " + destination.to_string(), [&](const nlmsghdr* answer) {
    const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
    const Attributes attributes(answer, sizeof(rtmsg));
    result = {attributes.u32(RTA_OIF), attributes.address(RTA_PREFSRC), attributes.address(RTA_GATEWAY), info->rtm_type,
              mtu_of(attributes)};
    if (const nlattr* via = attributes.find(RTA_VIA); via != nullptr && mnl_attr_get_payload_len(via) == 18) {
      IpAddress::Bytes bytes{};  // an IPv4 destination behind an IPv6 gateway
      std::memcpy(bytes.data(), static_cast<const std::uint8_t*>(mnl_attr_get_payload(via)) + 2, bytes.size());
      result.gateway = IpAddress(bytes);
    }
  });
  // ENETUNREACH, EHOSTUNREACH: no route. Anything else would have failed for every destination.
  if (!status || result.type != RTN_UNICAST) result.ifindex = 0;
  return result;
}

struct NeighbourAnswer {
  MacAddress mac;
  std::uint16_t state = 0;
  bool managed = false;
  bool found = false;
};

NeighbourAnswer look_up_neighbour(NetlinkSocket& socket, std::uint32_t ifindex, const IpAddress& address) {
  NeighbourAnswer result;
  Message message(RTM_GETNEIGH, 0);
  auto& header = message.header<ndmsg>();
  header.ndm_family = family_of(address);
  header.ndm_ifindex = static_cast<int>(ifindex);
  message.put(NDA_DST, address);
  // Not there is an error answer of the kernel; then it stays "not found".
  (void)socket.query(message, "neighbour", [&](const nlmsghdr* answer) {
    const auto* info = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(answer));
    const Attributes attributes(answer, sizeof(ndmsg));
    result = {attributes.mac(NDA_LLADDR), info->ndm_state, (attributes.u32(NDA_FLAGS_EXT) & kExtManaged) != 0, true};
  });
  return result;
}

// Has the kernel find the neighbour now and keep it known for good, whether or not packets pass through its own stack.
Status manage_neighbour(NetlinkSocket& socket, std::uint32_t ifindex, const IpAddress& address) {
  Message message(RTM_NEWNEIGH, NLM_F_CREATE);
  auto& header = message.header<ndmsg>();
  header.ndm_family = family_of(address);
  header.ndm_ifindex = static_cast<int>(ifindex);
  header.ndm_state = NUD_NONE;
  message.put(NDA_DST, address);
  message.put(NDA_FLAGS_EXT, kExtManaged);
  message.put(NDA_PROTOCOL, kRouteProtocol);
  return socket.request(message, "keep neighbour " + address.to_string());
}

MacAddress mac_of(NetlinkSocket& socket, std::uint32_t ifindex) {
  MacAddress mac;
  Message message(RTM_GETLINK, 0);
  message.header<ifinfomsg>().ifi_index = static_cast<int>(ifindex);
  (void)socket.query(message, "interface",
                     [&](const nlmsghdr* answer) { mac = Attributes(answer, sizeof(ifinfomsg)).mac(IFLA_ADDRESS); });
  return mac;
}

}  // namespace

Result<std::vector<NextHop>> resolve(const std::vector<IpAddress>& destinations) {
  NetlinkSocket socket = TRY(NetlinkSocket::open());
  std::vector<NextHop> hops;
  for (const IpAddress& destination : destinations) {
    const RouteAnswer route = TRY(look_up_route(socket, destination));
    NextHop hop{.destination = destination, .ifindex = route.ifindex, .source = route.source, .mtu = route.mtu};
    if (route.ifindex != 0) {
      const IpAddress& next = route.gateway.is_unset() ? destination : route.gateway;
      hop.egress = mac_of(socket, route.ifindex);
      const NeighbourAnswer neighbour = look_up_neighbour(socket, route.ifindex, next);
      hop.resolved = neighbour.found && (neighbour.state & kKnown) != 0;
      hop.next_hop = neighbour.mac;
      const bool fixed = (neighbour.state & (NUD_PERMANENT | NUD_NOARP)) != 0;
      if (!fixed && !neighbour.managed) TRY(manage_neighbour(socket, route.ifindex, next));
    }
    hops.push_back(hop);
  }
  return hops;
}

struct NetworkEvents::State {
  Fd socket;
  // The neighbours that are known, as they were last heard of. Managed entries are confirmed every few seconds, which
  // is no news.
  std::map<std::pair<int, IpAddress>, MacAddress> neighbours;

  bool is_news(const nlmsghdr* message);
};

NetworkEvents::NetworkEvents(std::unique_ptr<State> state) : state_(std::move(state)) {}
NetworkEvents::NetworkEvents(NetworkEvents&&) noexcept = default;
NetworkEvents& NetworkEvents::operator=(NetworkEvents&&) noexcept = default;
NetworkEvents::~NetworkEvents() = default;

Result<NetworkEvents> NetworkEvents::open() {
  auto state = std::make_unique<State>();
  state->socket.reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!state->socket) return fail_errno("network events: netlink socket", errno);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups =
      RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (bind(state->socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("network events: bind", errno);
  }
  return NetworkEvents(std::move(state));
}

int NetworkEvents::fd() const { return state_->socket.get(); }

// Events about our own links and routes are our own doing.
bool NetworkEvents::State::is_news(const nlmsghdr* message) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return !is_our_interface(Attributes(message, sizeof(ifinfomsg)).text(IFLA_IFNAME));
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message))->rtm_protocol != kRouteProtocol;
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const auto* info = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(message));
      const Attributes attributes(message, sizeof(ndmsg));
      const bool known = message->nlmsg_type == RTM_NEWNEIGH && (info->ndm_state & kKnown) != 0;
      const MacAddress mac = known ? attributes.mac(NDA_LLADDR) : MacAddress{};
      const std::pair key(info->ndm_ifindex, attributes.address(NDA_DST));
      const auto before = neighbours.find(key);
      if (before != neighbours.end() ? before->second == mac : mac == MacAddress{}) return false;
      if (mac == MacAddress{}) {
        neighbours.erase(key);
      } else {
        neighbours[key] = mac;
      }
      return true;
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return true;
    default:
      return false;
  }
}

bool NetworkEvents::drain() {
  bool relevant = false;
  alignas(nlmsghdr) std::array<char, 32768> buffer{};
  while (true) {
    const ssize_t size = recv(state_->socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) {
      if (errno == EINTR) continue;
      return relevant || errno == ENOBUFS;
    }
    int left = static_cast<int>(size);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      relevant = state_->is_news(message) || relevant;
    }
  }
}

}  // namespace mesh::vxlan
