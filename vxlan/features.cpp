#include "vxlan/features.h"

#include <fmt/format.h>
#include <linux/veth.h>

#include "vxlan/firewall.h"
#include "vxlan/netlink.h"
#include "vxlan/netns.h"

namespace mesh::vxlan {
namespace {

Status make_veth_pair() {
  NetlinkSocket socket = TRY(NetlinkSocket::open());
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.header<ifinfomsg>();
  message.put(IFLA_IFNAME, std::string("probe0"));
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, std::string("veth"));
    message.nest(IFLA_INFO_DATA, [&] {
      message.nest(VETH_INFO_PEER, [&] {
        message.header<ifinfomsg>();
        message.put(IFLA_IFNAME, std::string("probe1"));
      });
    });
  });
  return socket.request(message, "make a pair");
}

}  // namespace

std::vector<std::string> missing_features() {
  std::vector<std::string> missing;
  const Status entered = in_new_netns([&]() -> Status {
    if (const Status made = make_veth_pair(); !made) {
      missing.push_back(
          fmt::format("veth interfaces ({}): use a kernel with CONFIG_VETH (module veth), and run meshd "
                      "with CAP_NET_ADMIN",
                      made.error().message));
    }
    if (const Status applied = apply_firewall(make_firewall({})); !applied) {
      missing.push_back(
          fmt::format("nftables with masquerading ({}): use a kernel with CONFIG_NF_TABLES, CONFIG_NFT_CT and "
                      "CONFIG_NFT_MASQ (modules nft_ct, nft_masq), and have the program nft installed",
                      applied.error().message));
    }
    return {};
  });
  if (!entered) {
    missing.push_back(
        fmt::format("network namespaces ({}): use a kernel with CONFIG_NET_NS, and run meshd with "
                    "CAP_SYS_ADMIN",
                    entered.error().message));
  }
  return missing;
}

}  // namespace mesh::vxlan
