#include "vxlan/apply.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <net/if.h>
#include <set>

#include <fmt/format.h>
#include <linux/neighbour.h>
#include <linux/veth.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"
#include "vxlan/ethtool.h"
#include "vxlan/netlink.h"
#include "vxlan/netns.h"

namespace mesh::vxlan {
namespace {

constexpr std::uint8_t kAddrGenModeNone = 1;  // IN6_ADDR_GEN_MODE_NONE

Result<int> index_of(const std::string& interface) {
  const unsigned int index = if_nametoindex(interface.c_str());
  if (index == 0) return fail_errno("interface " + interface, errno);
  return static_cast<int>(index);
}

// EEXIST after an add and "not there" after a delete: it was done already.
bool is_done(const Status& status, ErrorKind done) { return status.has_value() || status.error().kind == done; }

class Applier {
 public:
  Applier(NetlinkSocket& socket, Notes& notes, const std::string& netns)
      : socket_(socket), notes_(notes), netns_(netns) {}

  Status operator()(const CreateNetns&) { return create_netns(netns_); }
  Status operator()(const DeleteNetns&) { return delete_netns(netns_); }

  Status operator()(const CreateVeth& veth) {
    Fd peer_netns;
    if (!veth.peer_netns.empty()) {
      peer_netns.reset(open(veth.peer_netns.c_str(), O_RDONLY | O_CLOEXEC));
      if (!peer_netns) return fail_errno("network namespace " + veth.peer_netns, errno);
    }
    Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    message.header<ifinfomsg>();
    message.put(IFLA_IFNAME, veth.name);
    message.put(IFLA_MTU, std::uint32_t{veth.mtu});
    if (veth.mac != MacAddress{}) message.put(IFLA_ADDRESS, veth.mac);
    message.nest(IFLA_LINKINFO, [&] {
      message.put(IFLA_INFO_KIND, std::string("veth"));
      message.nest(IFLA_INFO_DATA, [&] {
        message.nest(VETH_INFO_PEER, [&] {
          message.header<ifinfomsg>();
          message.put(IFLA_IFNAME, veth.peer);
          message.put(IFLA_MTU, std::uint32_t{veth.mtu});
          message.put(IFLA_ADDRESS, veth.peer_mac);
          if (peer_netns) message.put(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_netns.get()));
        });
      });
    });
    return socket_.request(message, "create");
  }

  Status operator()(const DeleteLink& link) {
    Message message(RTM_DELLINK, 0);
    message.header<ifinfomsg>();
    message.put(IFLA_IFNAME, link.name);
    const Status status = socket_.request(message, "delete");
    if (!status && if_nametoindex(link.name.c_str()) != 0) return status;
    return {};
  }

  Status operator()(const SetMac& set) {
    return change(set.name, [&](Message& message) { message.put(IFLA_ADDRESS, set.mac); });
  }
  Status operator()(const SetMtu& set) {
    return change(set.name, [&](Message& message) { message.put(IFLA_MTU, std::uint32_t{set.mtu}); });
  }
  Status operator()(const SetGro& set) { return set_gro(set.name); }
  Status operator()(const StopLinkLocal& stop) {
    return change(stop.name, [&](Message& message) {
      message.nest(IFLA_AF_SPEC,
                   [&] { message.nest(AF_INET6, [&] { message.put(IFLA_INET6_ADDR_GEN_MODE, kAddrGenModeNone); }); });
    });
  }
  Status operator()(const SetUp& set) {
    Message message(RTM_NEWLINK, 0);
    auto& header = message.header<ifinfomsg>();
    header.ifi_index = TRY(index_of(set.name));
    header.ifi_flags = IFF_UP;
    header.ifi_change = IFF_UP;
    return socket_.request(message, "bring up");
  }

  Status operator()(const AddAddress& add) { return address(add.address, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE); }
  Status operator()(const DeleteAddress& del) {
    const Status status = address(del.address, RTM_DELADDR, 0);
    if (is_done(status, ErrorKind::kNotFound)) return {};
    return status;
  }
  Status operator()(const AddRoute& add) { return route(add.route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE); }
  Status operator()(const DeleteRoute& del) {
    const Status status = route(del.route, RTM_DELROUTE, 0);
    if (is_done(status, ErrorKind::kNotFound)) return {};
    return status;
  }
  Status operator()(const AddNeighbour& add) {
    return neighbour(add.neighbour, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  }
  Status operator()(const DeleteNeighbour& del) {
    const Status status = neighbour(del.neighbour, RTM_DELNEIGH, 0);
    if (is_done(status, ErrorKind::kNotFound)) return {};
    return status;
  }

  Status operator()(const SetSysctl& set) {
    const std::string file = "/proc/sys/" + set.path;
    const std::string before(trim(TRY(read_file(file))));
    if (before == set.value) return {};
    // A task's namespace goes with the task; only the host's own settings are put back.
    if (netns_.empty()) TRY(notes_.remember(set.path, before, set.value));
    return write_kernel_file(file, set.value);
  }
  Status operator()(const SetReservedPorts& set) {
    std::set<std::uint16_t> noted = set.ours;
    // Both sets until the write is done: whatever happens between, no port of ours is taken for the user's.
    noted.insert(notes_.reserved_ports().begin(), notes_.reserved_ports().end());
    TRY(notes_.remember_ports(noted));
    TRY(write_kernel_file(std::string("/proc/sys/") + kReservedPortsPath, format_ports(set.all) + "\n"));
    return notes_.remember_ports(set.ours);
  }
  Status operator()(const SetFirewall& set) { return apply_firewall(set.firewall); }

 private:
  template <class Body>
  Status change(const std::string& name, Body body) {
    Message message(RTM_NEWLINK, 0);
    message.header<ifinfomsg>().ifi_index = TRY(index_of(name));
    body(message);
    return socket_.request(message, "change");
  }

  Status address(const Address& row, std::uint16_t type, std::uint16_t flags) {
    Message message(type, flags);
    auto& header = message.header<ifaddrmsg>();
    header.ifa_family = family_of(row.ip);
    header.ifa_prefixlen = host_prefix(row.ip);
    header.ifa_index = static_cast<std::uint32_t>(TRY(index_of(row.interface)));
    message.put(IFA_LOCAL, row.ip);
    message.put(IFA_ADDRESS, row.ip);
    // Ours by construction, so no duplicate address detection; and usable at once.
    if (!row.ip.is_v4()) message.put(IFA_FLAGS, std::uint32_t{IFA_F_NODAD | IFA_F_PERMANENT});
    return socket_.request(message, "address");
  }

  Status route(const Route& row, std::uint16_t type, std::uint16_t flags) {
    Message message(type, flags);
    auto& header = message.header<rtmsg>();
    header.rtm_family = family_of(row.destination.network);
    header.rtm_dst_len = row.destination.length;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = kRouteProtocol;
    header.rtm_type = RTN_UNICAST;
    const bool direct = row.gateway.is_unset();
    header.rtm_scope = direct && row.destination.network.is_v4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    if (!direct) header.rtm_flags = RTNH_F_ONLINK;
    message.put(RTA_OIF, static_cast<std::uint32_t>(TRY(index_of(row.interface))));
    if (row.destination.length > 0) message.put(RTA_DST, row.destination.network);
    if (!direct) message.put(RTA_GATEWAY, row.gateway);
    if (!row.source.is_unset()) message.put(RTA_PREFSRC, row.source);
    const Status status = socket_.request(message, "route");
    // "No such process" is how the kernel says that a route is not there.
    if (!status && type == RTM_DELROUTE && status.error().message.find("No such process") != std::string::npos)
      return {};
    return status;
  }

  Status neighbour(const Neighbour& row, std::uint16_t type, std::uint16_t flags) {
    Message message(type, flags);
    auto& header = message.header<ndmsg>();
    header.ndm_family = family_of(row.ip);
    header.ndm_ifindex = TRY(index_of(row.interface));
    header.ndm_state = NUD_PERMANENT;
    message.put(NDA_DST, row.ip);
    if (type == RTM_NEWNEIGH) message.put(NDA_LLADDR, row.mac);
    return socket_.request(message, "neighbour");
  }

  NetlinkSocket& socket_;
  Notes& notes_;
  const std::string& netns_;
};

// Where the socket of an action must be: making and removing a namespace is the host's work.
std::string place_of(const Action& action) {
  const bool outside =
      std::holds_alternative<CreateNetns>(action.operation) || std::holds_alternative<DeleteNetns>(action.operation);
  return outside ? std::string() : action.netns;
}

}  // namespace

Applied apply(const std::vector<Action>& actions, Notes& notes) {
  Applied applied;
  std::set<std::string> failed;  // subjects
  const auto failure = [&](const Action& action, const Error& error) {
    if (!failed.insert(action.subject).second) return;
    applied.problems.push_back({action.subject, fmt::format("{}: {}", to_string(action), error.message)});
  };
  for (std::size_t first = 0; first < actions.size();) {
    const std::string place = place_of(actions[first]);
    std::size_t end = first;
    while (end < actions.size() && place_of(actions[end]) == place) ++end;
    const Status visit = in_netns(place, [&]() -> Status {
      NetlinkSocket socket = TRY(NetlinkSocket::open());
      for (; first < end; ++first) {
        const Action& action = actions[first];
        if (failed.contains(action.subject)) continue;
        const Status status = std::visit(Applier(socket, notes, action.netns), action.operation);
        if (status) {
          ++applied.actions;
        } else {
          failure(action, status.error());
        }
      }
      return {};
    });
    if (!visit) failure(actions[first], visit.error());
    first = end;
  }
  return applied;
}

}  // namespace mesh::vxlan
