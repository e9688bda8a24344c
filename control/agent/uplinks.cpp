#include "control/agent/uplinks.h"

#include <algorithm>
#include <array>
#include <net/if.h>

#include "base/log.h"

namespace mesh::agent {
namespace {

Result<dataplane::ModeChoice> choose(dataplane::ModeRequest mode, const vxlan::UplinkInfo& info) {
  return dataplane::choose_mode(mode, {.interface = info.name,
                                       .driver = info.driver,
                                       .native_xdp = info.native_xdp,
                                       .carries_vlans = info.carries_vlans,
                                       .other_xdp = dataplane::other_xdp_program(info.ifindex)});
}

const char* mode_name(dataplane::UplinkMode mode) { return mode == dataplane::UplinkMode::kXdp ? "xdp" : "tc"; }

}  // namespace

bool Uplinks::Found::has(std::uint32_t ifindex) const {
  return std::ranges::find(uplinks, ifindex, &dataplane::Uplink::ifindex) != uplinks.end();
}

std::vector<Uplinks::Wanted> Uplinks::wanted(const std::set<std::uint32_t>& routed) const {
  std::vector<Wanted> wanted;
  for (const std::string& name : options_.named) wanted.push_back({name, true});
  if (!wanted.empty()) return wanted;
  wanted.push_back({options_.main, true});
  // Many a host's default route leaves by what cannot carry the mesh, or there is none.
  if (!options_.main.empty()) wanted.push_back({"", false});
  for (const std::uint32_t ifindex : routed) {
    std::array<char, IF_NAMESIZE> name{};
    if (if_indextoname(ifindex, name.data()) != nullptr) wanted.push_back({name.data(), true});
  }
  return wanted;
}

void Uplinks::look_at(const Wanted& wanted, Found& found) const {
  const auto info = vxlan::find_uplink(wanted.name);
  if (info && found.has(info->ifindex)) return;
  const auto choice = info ? choose(options_.mode, *info) : std::unexpected(info.error());
  if (choice) {
    found.uplinks.push_back({info->name, info->ifindex, info->mac, choice->mode, info->addresses, info->mtu});
    found.reasons.push_back(choice->why);
    return;
  }
  if (wanted.needed) found.problems.push_back(choice.error().message);
}

Status Uplinks::refresh(const std::set<std::uint32_t>& routed) {
  Found found;
  for (const Wanted& one : wanted(routed)) look_at(one, found);
  problems_ = std::move(found.problems);
  if (found.uplinks.empty()) {
    // What is said by the error is not said once more.
    std::string first = problems_.empty() ? "no uplink" : problems_.front();
    if (!problems_.empty()) problems_.erase(problems_.begin());
    return fail(ErrorKind::kNotFound, std::move(first));
  }
  for (std::size_t i = 0; i < found.uplinks.size(); ++i) {
    const dataplane::Uplink& now = found.uplinks[i];
    const auto last = std::ranges::find(uplinks_, now.ifindex, &dataplane::Uplink::ifindex);
    const bool same =
        last != uplinks_.end() && reasons_[static_cast<std::size_t>(last - uplinks_.begin())] == found.reasons[i];
    if (!same) spdlog::info("uplink name={} mode={} why=\"{}\"", now.name, mode_name(now.mode), found.reasons[i]);
  }
  for (const dataplane::Uplink& last : uplinks_) {
    if (!found.has(last.ifindex)) spdlog::warn("uplink is gone name={}", last.name);
  }
  uplinks_ = std::move(found.uplinks);
  reasons_ = std::move(found.reasons);
  return {};
}

std::vector<api::UplinkState> Uplinks::states() const {
  std::vector<api::UplinkState> states;
  for (std::size_t i = 0; i < uplinks_.size(); ++i) {
    states.push_back(
        {uplinks_[i].name, mode_name(uplinks_[i].mode), reasons_[i], uplinks_[i].addresses, uplinks_[i].mtu});
  }
  return states;
}

std::vector<IpAddress> addresses_of(const std::vector<dataplane::Uplink>& uplinks) {
  std::vector<IpAddress> all;
  for (const dataplane::Uplink& uplink : uplinks) {
    for (const IpAddress& address : uplink.addresses) {
      if (std::ranges::find(all, address) == all.end()) all.push_back(address);
    }
  }
  return all;
}

}  // namespace mesh::agent
