#include "dataplane/uplink_mode.h"

#include <array>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "base/fd.h"
#include "dataplane/wanted.h"

namespace mesh::dataplane {
namespace {

// Drivers that run XDP programs themselves, and why tc is the right one there all the same. Names are those that
// ethtool shows.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kBetterWithTc = {{
    {"veth", "XDP on veth copies every packet and loses segmentation offload"},
    {"bonding", "a bond that runs XDP takes no port whose driver does not"},
    {"tun", "tun hands XDP packets whose checksum is not finished"},
    {"vif", "Xen's network hands XDP packets whose checksum is not finished"},
}};
constexpr std::string_view kVlanDriver = "802.1Q VLAN Support";

// Why it is not XDP; "" if it is.
std::string reason_for_tc(const UplinkFacts& facts) {
  if (!facts.other_xdp.empty()) return fmt::format("another XDP program is attached there: {}", facts.other_xdp);
  if (facts.driver == kVlanDriver) return "a VLAN device has no native XDP: its frames are the parent's";
  const std::string name = facts.driver.empty() ? "its driver" : "its driver " + facts.driver;
  if (!facts.native_xdp) return name + " runs no XDP programs itself";
  for (const auto& [driver, reason] : kBetterWithTc) {
    if (facts.driver == driver) return std::string(reason);
  }
  if (facts.carries_vlans) return "VLAN devices sit on it, and a card may take the tag off before XDP sees the frame";
  return {};
}

}  // namespace

Result<ModeRequest> parse_mode(std::string_view text) {
  if (text == "auto") return ModeRequest::kAuto;
  if (text == "xdp") return ModeRequest::kXdp;
  if (text == "tc") return ModeRequest::kTc;
  return fail(ErrorKind::kInvalid, fmt::format("uplink mode \"{}\": must be auto, xdp or tc", text));
}

Result<ModeChoice> choose_mode(ModeRequest request, const UplinkFacts& facts) {
  if (request == ModeRequest::kTc) return ModeChoice{UplinkMode::kTc, "as uplink-mode=tc asks for"};
  if (request == ModeRequest::kAuto) {
    const std::string reason = reason_for_tc(facts);
    if (!reason.empty()) return ModeChoice{UplinkMode::kTc, "chosen because " + reason};
    return ModeChoice{UplinkMode::kXdp, fmt::format("chosen because its driver {} runs XDP programs itself",
                                                    facts.driver.empty() ? "(unnamed)" : facts.driver)};
  }
  if (facts.native_xdp) return ModeChoice{UplinkMode::kXdp, "as uplink-mode=xdp asks for"};
  return fail(ErrorKind::kUnsupported,
              fmt::format("uplink {}: its driver {} does not run XDP programs; use --uplink-mode tc (or auto)",
                          facts.interface, facts.driver.empty() ? "(unnamed)" : facts.driver));
}

std::string other_xdp_program(std::uint32_t ifindex) {
  bpf_xdp_query_opts options{};
  options.sz = sizeof options;
  if (bpf_xdp_query(static_cast<int>(ifindex), 0, &options) != 0) return {};
  // Attached in two modes at once, there is no single one: the driver's is the first that frames meet.
  for (const std::uint32_t id : {options.prog_id, options.drv_prog_id, options.skb_prog_id, options.hw_prog_id}) {
    if (id == 0) continue;
    const Fd fd(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) continue;
    const std::string name = info.name;
    if (name == kUplinkXdpProgram || name == kUplinkXdpStandIn) continue;
    return fmt::format("{} (id {})", name.empty() ? "one without a name" : name, id);
  }
  return {};
}

}  // namespace mesh::dataplane
