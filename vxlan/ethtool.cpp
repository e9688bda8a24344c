#include "vxlan/ethtool.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <net/if.h>
#include <optional>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>

#include "base/fd.h"
#include "vxlan/netlink.h"

namespace mesh::vxlan {
namespace {

Status ethtool(const std::string& interface, void* command) {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket", errno);
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = static_cast<char*>(command);
  if (ioctl(socket.get(), SIOCETHTOOL, &request) != 0) return fail_errno(fmt::format("ethtool {}", interface), errno);
  return {};
}

// Generic netlink family `netdev`, Documentation/netlink/specs/netdev.yaml. Debian 12's headers are older.
constexpr std::uint8_t kNetdevGet = 1;
constexpr std::uint16_t kNetdevIfindex = 1;
constexpr std::uint16_t kNetdevXdpFeatures = 3;
constexpr std::uint64_t kXdpBasic = 1;  // the driver runs programs and takes all their verdicts but redirect
constexpr std::uint64_t kXdpRedirect = 2;

std::optional<std::uint16_t> netdev_family(NetlinkSocket& socket) {
  Message message(GENL_ID_CTRL, 0);
  auto& header = message.header<genlmsghdr>();
  header.cmd = CTRL_CMD_GETFAMILY;
  header.version = 1;
  message.put(CTRL_ATTR_FAMILY_NAME, std::string("netdev"));
  std::optional<std::uint16_t> id;
  const Status status = socket.query(message, "netdev family", [&](const nlmsghdr* answer) {
    const nlattr* attribute = Attributes(answer, sizeof(genlmsghdr)).find(CTRL_ATTR_FAMILY_ID);
    if (attribute != nullptr) id = mnl_attr_get_u16(attribute);
  });
  return status ? id : std::nullopt;
}

// XDP features by the kernel's word; nothing if it cannot tell.
std::optional<std::uint64_t> xdp_features(std::uint32_t ifindex) {
  Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_GENERIC);
  if (!socket) return std::nullopt;
  const std::optional<std::uint16_t> family = netdev_family(*socket);
  if (!family) return std::nullopt;
  Message message(*family, 0);
  auto& header = message.header<genlmsghdr>();
  header.cmd = kNetdevGet;
  header.version = 1;
  message.put(kNetdevIfindex, ifindex);
  std::optional<std::uint64_t> features;
  const Status status = socket->query(message, "XDP features", [&](const nlmsghdr* answer) {
    const nlattr* attribute = Attributes(answer, sizeof(genlmsghdr)).find(kNetdevXdpFeatures);
    if (attribute != nullptr && mnl_attr_get_payload_len(attribute) >= 8) features = mnl_attr_get_u64(attribute);
  });
  return status ? features : std::nullopt;
}

// Drivers with native XDP and redirect in Linux 6.1, the oldest kernel we start on.
constexpr std::array<std::string_view, 22> kXdpDrivers = {
    "atlantic", "bnxt_en", "bonding", "ena",    "enetc",      "fsl_dpaa2_eth", "gve",     "hv_netvsc",
    "i40e",     "ice",     "igb",     "igc",    "ixgbe",      "ixgbevf",       "mlx4_en", "mlx5_core",
    "mvneta",   "nfp",     "qede",    "stmmac", "virtio_net", "veth"};

}  // namespace

Result<bool> read_gro(const std::string& interface) {
  ethtool_value value{.cmd = ETHTOOL_GGRO, .data = 0};
  TRY(ethtool(interface, &value));
  return value.data != 0;
}

Status set_gro(const std::string& interface) {
  // Off first: what is on already changes nothing, and the driver would not tell the other end again.
  for (const std::uint32_t on : {0U, 1U}) {
    ethtool_value value{.cmd = ETHTOOL_SGRO, .data = on};
    TRY(ethtool(interface, &value));
  }
  return {};
}

std::string driver_name(const std::string& interface) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (!ethtool(interface, &info)) return {};
  return std::string(info.driver, strnlen(info.driver, sizeof info.driver));
}

bool has_native_xdp(std::uint32_t ifindex, const std::string& driver) {
  if (const auto features = xdp_features(ifindex))
    return (*features & kXdpBasic) != 0 && (*features & kXdpRedirect) != 0;
  return std::ranges::find(kXdpDrivers, driver) != kXdpDrivers.end();
}

}  // namespace mesh::vxlan
