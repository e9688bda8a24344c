// How the programs are attached to an uplink, and why so.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "dataplane/desired.h"

namespace mesh::dataplane {

enum class ModeRequest : std::uint8_t { kAuto, kXdp, kTc };
[[nodiscard]] Result<ModeRequest> parse_mode(std::string_view text);  // "auto", "xdp", "tc"

// What the choice depends on.
struct UplinkFacts {
  std::string interface;
  std::string driver;          // "" if it does not say
  bool native_xdp = false;     // the driver runs XDP programs itself
  bool carries_vlans = false;  // VLAN devices sit on it
  std::string other_xdp;       // what other_xdp_program() says
};
struct ModeChoice {
  UplinkMode mode = UplinkMode::kTc;
  std::string why;  // "chosen because …", "as uplink-mode=tc asks for"
};
// auto: XDP where the driver runs it on the frames of a card, tc where that loses something or takes another's place.
// kXdp without native XDP is kUnsupported and the message names interface and driver. Pure.
[[nodiscard]] Result<ModeChoice> choose_mode(ModeRequest request, const UplinkFacts& facts);

// An XDP program that is attached there and is none of ours, for people: "guard (id 17)"; "" if there is none.
[[nodiscard]] std::string other_xdp_program(std::uint32_t ifindex);

}  // namespace mesh::dataplane
