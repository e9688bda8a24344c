// The small pure parts of vxlan/: port lists, the free range, overlap of pools, interface names, the firewall's text.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vxlan/firewall.h"
#include "vxlan/notes.h"
#include "vxlan/observe.h"
#include "vxlan/overlay.h"
#include "vxlan/uplink.h"

namespace mesh::vxlan {
namespace {

using testing::HasSubstr;
using testing::Not;

IpAddress ip(const char* text) { return IpAddress::parse(text).value(); }
Cidr cidr(const char* text) { return Cidr::parse(text).value(); }

TEST(ReservedPorts, ParsesWhatTheKernelWrites) {
  EXPECT_EQ(parse_ports("\n"), std::set<std::uint16_t>{});
  EXPECT_EQ(parse_ports("80\n"), (std::set<std::uint16_t>{80}));
  EXPECT_EQ(parse_ports("80,1000-1002,65535\n"), (std::set<std::uint16_t>{80, 1000, 1001, 1002, 65535}));
  EXPECT_EQ(parse_ports("garbage,7-x,9"), (std::set<std::uint16_t>{9}));
}

TEST(ReservedPorts, FormatAndParseAreInverse) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::set<std::uint16_t> ports;
    const std::size_t count = random() % 40;
    // A narrow range makes neighbours, a wide one makes gaps.
    const std::uint32_t width = round % 2 == 0 ? 50 : 65536;
    while (ports.size() < count) ports.insert(static_cast<std::uint16_t>(random() % width));
    EXPECT_EQ(parse_ports(format_ports(ports)), ports);
  }
  EXPECT_EQ(format_ports({80, 1000, 1001, 1002}), "80,1000-1002");
}

TEST(FreeRange, IsTheWidestWithoutAPublishedPort) {
  struct Case {
    std::set<std::uint16_t> ports;
    PortRange range;
  };
  const Case cases[] = {
      {{}, {1024, 65535}},
      {{80, 443}, {1024, 65535}},
      {{8010}, {8011, 65535}},
      {{65535}, {1024, 65534}},
      {{1024}, {1025, 65535}},
      {{60000}, {1024, 59999}},
      {{20000, 40000}, {40001, 65535}},
      {{20000, 50000}, {20001, 49999}},
  };
  for (const Case& c : cases) EXPECT_EQ(widest_free_range(c.ports), c.range) << format_ports(c.ports);
}

TEST(FreeRange, AgreesWithCounting) {
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    std::set<std::uint16_t> ports;
    for (int i = 0; i < 1 + round; ++i) ports.insert(static_cast<std::uint16_t>(random()));
    int best = 0;
    int run = 0;
    for (int port = 1024; port <= 65535; ++port) {
      run = ports.contains(static_cast<std::uint16_t>(port)) ? 0 : run + 1;
      best = std::max(best, run);
    }
    const PortRange range = widest_free_range(ports);
    EXPECT_EQ(range.last - range.first + 1, best);
    EXPECT_EQ(ports.lower_bound(range.first), ports.upper_bound(range.last));
  }
}

TEST(Overlap, NamesTheRouteAndWhatToDo) {
  const std::vector<HostRoute> routes = {{cidr("192.168.7.0/24"), "eth0"}, {cidr("fd00:7::/64"), "eth1"}};
  EXPECT_EQ(overlap_problem(cidr("10.0.0.0/8"), routes), "");
  EXPECT_EQ(overlap_problem(cidr("fd00:8::/64"), routes), "");
  EXPECT_THAT(overlap_problem(cidr("192.168.0.0/16"), routes), HasSubstr("192.168.7.0/24"));
  EXPECT_THAT(overlap_problem(cidr("192.168.7.128/25"), routes), HasSubstr("eth0"));
  EXPECT_THAT(overlap_problem(cidr("fd00:7::/48"), routes), HasSubstr("--subnet"));
}

TEST(InterfaceNames, AreOursByFormAndFitTheKernel) {
  const std::string name = host_interface_name("4bjqd0o6r0pbsgolz40sdgu8w");
  EXPECT_EQ(name.size(), 10U);
  EXPECT_TRUE(is_our_interface(name));
  EXPECT_NE(name, host_interface_name("4bjqd0o6r0pbsgolz40sdgu8x"));
  EXPECT_TRUE(is_our_interface("mesh0"));
  EXPECT_TRUE(is_our_interface("mesh1"));
  for (const char* other : {"mesh2", "mv", "mvlan0", "mv0123456", "mv0123456g", "mv012345678", "eth0"}) {
    EXPECT_FALSE(is_our_interface(other)) << other;
  }
}

TEST(Firewall, ListsSourcesByFamilyAndAvoidsPublishedPorts) {
  const Masquerade masquerade{.sources = {ip("10.0.0.5"), ip("fd00::5")},
                              .cluster = {cidr("10.0.0.0/16"), cidr("fd00::/64")}};
  const Gateway gateway{.gateway_v4 = ip("10.0.0.1"), .mesh_v4 = ip("10.0.0.2")};
  const Firewall firewall = make_firewall({.gateway = gateway, .masquerade = masquerade, .reserved_ports = {8010}});
  EXPECT_THAT(firewall.ruleset, HasSubstr("set sources4 { type ipv4_addr; elements = { 10.0.0.5 } }"));
  EXPECT_THAT(firewall.ruleset, HasSubstr("set sources6 { type ipv6_addr; elements = { fd00::5 } }"));
  EXPECT_THAT(firewall.ruleset, HasSubstr("masquerade to :8011-65535"));
  EXPECT_EQ(firewall.state.elements, (std::set<std::string>{"10.0.0.5", "fd00::5"}));

  EXPECT_THAT(firewall.ruleset, HasSubstr("ip saddr 10.0.0.2 notrack"));
  EXPECT_THAT(firewall.ruleset, HasSubstr("ip daddr 10.0.0.1 notrack"));
  EXPECT_THAT(firewall.ruleset, Not(HasSubstr(":: notrack")));

  const Firewall other = make_firewall({.reserved_ports = {8010}});
  EXPECT_NE(other.state.digest, firewall.state.digest);
  EXPECT_THAT(other.ruleset, Not(HasSubstr("elements")));
}

}  // namespace
}  // namespace mesh::vxlan
