// XDP or tc on an uplink, and why.
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/uplink_mode.h"

namespace mesh::dataplane {
namespace {

using testing::HasSubstr;

struct ModeCase {
  ModeRequest request;
  UplinkFacts facts;
  std::optional<UplinkMode> mode;
  const char* why;  // or why not
};
UplinkFacts uplink_facts(const char* driver, bool native, bool vlans = false, const char* other_xdp = "") {
  return {.interface = "eth0", .driver = driver, .native_xdp = native, .carries_vlans = vlans, .other_xdp = other_xdp};
}

TEST(UplinkMode, IsChosenByDriverAndRequest) {
  constexpr auto kAuto = ModeRequest::kAuto;
  const ModeCase cases[] = {
      {kAuto, uplink_facts("ixgbe", true), UplinkMode::kXdp,
       "chosen because its driver ixgbe runs XDP programs itself"},
      {kAuto, uplink_facts("veth", true), UplinkMode::kTc,
       "chosen because XDP on veth copies every packet and loses segmentation offload"},
      {kAuto, uplink_facts("e1000", false), UplinkMode::kTc,
       "chosen because its driver e1000 runs no XDP programs itself"},
      {kAuto, uplink_facts("", false), UplinkMode::kTc, "chosen because its driver runs no XDP programs itself"},
      {kAuto, uplink_facts("802.1Q VLAN Support", false), UplinkMode::kTc,
       "chosen because a VLAN device has no native XDP: its frames are the parent's"},
      {kAuto, uplink_facts("bonding", true), UplinkMode::kTc,
       "chosen because a bond that runs XDP takes no port whose driver does not"},
      {kAuto, uplink_facts("tun", true), UplinkMode::kTc,
       "chosen because tun hands XDP packets whose checksum is not finished"},
      {kAuto, uplink_facts("ixgbe", true, true), UplinkMode::kTc,
       "chosen because VLAN devices sit on it, and a card may take the tag off before XDP sees the frame"},
      {kAuto, uplink_facts("ixgbe", true, false, "guard (id 17)"), UplinkMode::kTc,
       "chosen because another XDP program is attached there: guard (id 17)"},
      {ModeRequest::kTc, uplink_facts("ixgbe", true), UplinkMode::kTc, "as uplink-mode=tc asks for"},
      {ModeRequest::kXdp, uplink_facts("veth", true), UplinkMode::kXdp, "as uplink-mode=xdp asks for"},
      {ModeRequest::kXdp, uplink_facts("bonding", true), UplinkMode::kXdp, "as uplink-mode=xdp asks for"},
      {ModeRequest::kXdp, uplink_facts("e1000", false), std::nullopt,
       "uplink eth0: its driver e1000 does not run XDP programs; use --uplink-mode tc (or auto)"},
  };
  for (const ModeCase& c : cases) {
    const Result<ModeChoice> choice = choose_mode(c.request, c.facts);
    ASSERT_EQ(choice.has_value(), c.mode.has_value()) << c.facts.driver;
    EXPECT_EQ(choice ? choice->why : choice.error().message, c.why);
    if (choice) EXPECT_EQ(choice->mode, *c.mode) << c.facts.driver;
  }
  EXPECT_THAT(parse_mode("fast").error().message, HasSubstr("auto, xdp or tc"));
  EXPECT_EQ(parse_mode("xdp").value(), ModeRequest::kXdp);
}

}  // namespace
}  // namespace mesh::dataplane
