#include "dataplane/filters.h"

#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "base/fd.h"

namespace mesh::dataplane {
namespace {

// RTM_GETTFILTER dump of one side of the qdisc: true at the first filter.
Result<bool> side_has_filters(std::uint32_t ifindex, std::uint32_t parent) {
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return fail_errno("netlink socket", errno);
  struct {
    nlmsghdr header;
    tcmsg body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETTFILTER;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.tcm_family = AF_UNSPEC;
  request.body.tcm_ifindex = static_cast<int>(ifindex);
  request.body.tcm_parent = parent;
  if (send(socket.get(), &request, sizeof request, 0) < 0) return fail_errno("list tc filters", errno);
  alignas(nlmsghdr) std::array<char, 32768> buffer{};
  while (true) {
    const ssize_t size = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) {
      if (errno == EINTR) continue;
      return fail_errno("list tc filters", errno);
    }
    auto left = static_cast<unsigned int>(size);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == RTM_NEWTFILTER) return true;
      // An error says that there is no such qdisc or interface: then there is no filter either.
      if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) return false;
    }
  }
}

}  // namespace

Result<bool> has_filters(std::uint32_t ifindex) {
  for (const std::uint32_t side : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
    if (TRY(side_has_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, side)))) return true;
  }
  return false;
}

}  // namespace mesh::dataplane
