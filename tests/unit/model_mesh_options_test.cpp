// Options of the mesh in a service's labels, as a table: labels, and what they mean or what the refusal says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/model/mesh_options.h"
#include "control/model/service.h"

namespace mesh::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr PublishedPort kPort{PortProtocol::kTcp, 8010};

MeshOptions with(void (*change)(MeshOptions&)) {
  MeshOptions options;
  change(options);
  return options;
}

TEST(MeshOptions, Read) {
  const std::pair<Labels, MeshOptions> table[] = {
      {{}, {}},
      {{{"tier", "front"}, {"meshes", "x"}, {"mesh", "x"}, {"nesh.x", "y"}}, {}},
      {{{"mesh.return", "tunnel"}}, {}},
      {{{"mesh.return", "dsr"}}, with([](auto& o) { o.return_mode = ReturnMode::kDsr; })},
      {{{"mesh.affinity", "client-ip"}}, with([](auto& o) { o.affinity_seconds = 10800; })},
      {{{"mesh.affinity", "client-ip:1s"}}, with([](auto& o) { o.affinity_seconds = 1; })},
      {{{"mesh.affinity", "client-ip:1m30s"}}, with([](auto& o) { o.affinity_seconds = 90; })},
      {{{"mesh.affinity", "client-ip:24h"}}, with([](auto& o) { o.affinity_seconds = 86400; })},
      {{{"mesh.prefer", "local"}}, with([](auto& o) { o.prefer_local = true; })},
      {{{"mesh.prefer", "local"}, {"mesh.return", "dsr"}, {"mesh.weight", "capacity"}}, with([](auto& o) {
         o.prefer_local = true;
         o.return_mode = ReturnMode::kDsr;
         o.weight_label = "capacity";
       })},
      {{{"mesh.port.8010/tcp.allow", "192.0.2.0/24, 2001:db8::7,192.0.2.0/24,10.0.0.1"}}, with([](auto& o) {
         o.ports[kPort].allow = {*Cidr::parse("10.0.0.1/32"), *Cidr::parse("192.0.2.0/24"),
                                 *Cidr::parse("2001:db8::7/128")};
       })},
      {{{"mesh.port.8010/tcp.address", "10.0.0.6,10.0.0.5"}, {"mesh.port.8010/tcp.on", "node.labels.edge==true"}},
       with([](auto& o) {
         o.ports[kPort].addresses = {*IpAddress::parse("10.0.0.5"), *IpAddress::parse("10.0.0.6")};
         o.ports[kPort].on = {"node.labels.edge==true"};
       })},
      {{{"mesh.port.8010/tcp.interface", "eth1,bond0.5,eth1"}},
       with([](auto& o) { o.ports[kPort].interfaces = {"bond0.5", "eth1"}; })},
      {{{"mesh.port.53/udp.on", "node.role == worker , node.hostname!=n1"}},
       with([](auto& o) { o.ports[{PortProtocol::kUdp, 53}].on = {"node.role == worker", "node.hostname!=n1"}; })},
  };
  for (const auto& [labels, expected] : table) {
    const auto options = parse_mesh_options(labels);
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(*options, expected) << to_text(encode(labels));
  }
}

std::string prefixes(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "10.0.0." : ",10.0.0.") + std::to_string(i);
  return text;
}

// Each refusal names the label, and what to write instead.
TEST(MeshOptions, Refused) {
  struct Case {
    const char* label;
    std::string value;
    const char* says;
  };
  const Case table[] = {
      {"mesh.return", "direct", "write tunnel or dsr"},
      {"mesh.return", "", "write tunnel or dsr"},
      {"mesh.affinity", "cookie", "client-ip:DURATION such as client-ip:30m"},
      {"mesh.affinity", "client-ips", "write client-ip"},
      {"mesh.affinity", "client-ip:", "duration"},
      {"mesh.affinity", "client-ip:30", "duration"},
      {"mesh.affinity", "client-ip:0s", "from 1s to 24h"},
      {"mesh.affinity", "client-ip:-5s", "1s to 24h"},
      {"mesh.affinity", "client-ip:24h1s", "from 1s to 24h"},
      {"mesh.affinity", "client-ip:1500ms", "whole seconds"},
      {"mesh.prefer", "remote", "write local, or remove the label"},
      {"mesh.weight", "", "name of a node label"},
      {"mesh.weight", "a b", "name of a node label"},
      {"mesh.weight", "capacity=3", "name of a node label"},
      {"mesh.weight", "node.labels.capacity", "alone: capacity"},
      {"mesh.retrun", "dsr", "not known"},
      {"mesh.", "x", "not known"},
      {"mesh.port.8010/tcp.alow", "10.0.0.1", "mesh.port.PORT/PROTOCOL.allow, .address, .interface and .on"},
      {"mesh.port.8010.allow", "10.0.0.1", "not known"},
      {"mesh.port.8010/icmp.allow", "10.0.0.1", "not known"},
      {"mesh.port./tcp.allow", "10.0.0.1", "not known"},
      {"mesh.port.0/tcp.allow", "10.0.0.1", "not known"},
      {"mesh.port.08010/tcp.allow", "10.0.0.1", "not known"},
      {"mesh.port.70000/tcp.allow", "10.0.0.1", "not known"},
      {"mesh.port.8010/.allow", "10.0.0.1", "not known"},
      {"mesh.port.8010/tcp.allow", "", "or remove the label"},
      {"mesh.port.8010/tcp.allow", "10.0.0.1,,10.0.0.2", "separated by commas"},
      {"mesh.port.8010/tcp.allow", "10.0.0.1/24", "the prefix is 10.0.0.0/24"},
      {"mesh.port.8010/tcp.allow", "everybody", "not an IP address"},
      {"mesh.port.8010/tcp.allow", prefixes(65), "limit of 64"},
      {"mesh.port.8010/tcp.address", "eth0", "not an IP address"},
      {"mesh.port.8010/tcp.address", "10.0.0.0/24", "not an IP address"},
      {"mesh.port.8010/tcp.address", "0.0.0.0", "remove the label"},
      {"mesh.port.8010/tcp.interface", "10.0.0.5", "no interface's name"},
      {"mesh.port.8010/tcp.interface", "eth0,", "interfaces of hosts such as eth1"},
      {"mesh.port.8010/tcp.interface", "sixteencharacter", "no interface's name"},
      {"mesh.port.8010/tcp.address", "::", "remove the label"},
      {"mesh.port.8010/tcp.address", "127.0.0.1", "uplinks"},
      {"mesh.port.8010/tcp.address", prefixes(66).substr(9), "limit of 64"},
      {"mesh.port.8010/tcp.address", prefixes(65).substr(9), ""},
      {"mesh.port.8010/tcp.on", "", "node.labels.edge==true"},
  };
  for (const auto& [label, value, says] : table) {
    const auto options = parse_mesh_options({{label, value}});
    if (*says == '\0') {
      EXPECT_TRUE(options) << label << "=" << value;
      continue;
    }
    ASSERT_FALSE(options) << label << "=" << value;
    EXPECT_EQ(options.error().kind, ErrorKind::kInvalid);
    EXPECT_THAT(options.error().message, HasSubstr(says));
    EXPECT_THAT(options.error().message, HasSubstr(label));
  }
  EXPECT_TRUE(parse_mesh_options({{"mesh.port.8010/tcp.allow", prefixes(64)}}));
}

TEST(MeshOptions, LocalPreferenceExcludesAffinity) {
  const auto options = parse_mesh_options({{"mesh.prefer", "local"}, {"mesh.affinity", "client-ip"}});
  ASSERT_FALSE(options);
  EXPECT_THAT(options.error().message, HasSubstr("mesh.prefer and mesh.affinity exclude each other: a client keeps"));
}

TEST(MeshOptions, LabelsOfOnePortAreRemoved) {
  Labels labels{{port_label(kPort, "allow"), "10.0.0.1"},
                {port_label(kPort, "on"), "node.role==worker"},
                {"mesh.port.8010/udp.allow", "10.0.0.1"},
                {"mesh.port.80/tcp.allow", "10.0.0.1"},
                {"mesh.return", "dsr"},
                {"tier", "front"}};
  EXPECT_TRUE(labels.contains("mesh.port.8010/tcp.allow"));
  remove_port_labels(labels, kPort);
  std::vector<std::string> left;
  for (const auto& [key, value] : labels) left.push_back(key);
  EXPECT_THAT(left, ElementsAre("mesh.port.80/tcp.allow", "mesh.port.8010/udp.allow", "mesh.return", "tier"));
}

TEST(MeshOptions, Weights) {
  const std::pair<const char*, std::optional<std::uint16_t>> table[] = {{"1", 1},
                                                                        {"100", 100},
                                                                        {"7", 7},
                                                                        {"0", std::nullopt},
                                                                        {"101", std::nullopt},
                                                                        {"", std::nullopt},
                                                                        {"x", std::nullopt},
                                                                        {"-1", std::nullopt},
                                                                        {"1.5", std::nullopt}};
  for (const auto& [value, weight] : table) EXPECT_EQ(weight_of({{"capacity", value}}, "capacity"), weight) << value;
  EXPECT_EQ(weight_of({}, "capacity"), 1);
  EXPECT_EQ(weight_of({{"", "5"}}, ""), 1);
}

// A table of an older version means the same, and defaults do not make tables longer.
TEST(MeshOptions, RowsWithoutOptionsAreAsBefore) {
  const char* const old =
      R"({"Protocol":"tcp","Published":80,"Target":8080,"RingVersion":5,"Owners":"AAE=","Backends":[]})";
  const auto row = decode_text<PortRow>(old);
  ASSERT_TRUE(row) << row.error().message;
  EXPECT_EQ(row->return_mode, ReturnMode::kTunnel);
  EXPECT_FALSE(row->entry_nodes);
  EXPECT_EQ(to_text(encode(*row)), old);
  PortRow full = *row;
  full.return_mode = ReturnMode::kDsr;
  full.affinity_seconds = 60;
  full.prefer_local = true;
  full.entry_nodes.emplace();  // nobody answers: not the same as everybody
  full.addresses = {*IpAddress::parse("10.0.0.5")};
  full.interfaces = {"eth1"};
  full.allow = {*Cidr::parse("192.0.2.0/24")};
  EXPECT_EQ(*decode<PortRow>(encode(full)), full);
  full.entry_nodes = {1, 3};
  EXPECT_EQ(*decode<PortRow>(encode(full)), full);
  EXPECT_THAT(
      to_text(encode(full)),
      HasSubstr(R"("Return":"dsr","AffinitySeconds":60,"PreferLocal":true,)"
                R"("EntryNodes":[1,3],"Addresses":["10.0.0.5"],"Interfaces":["eth1"],"Allow":["192.0.2.0/24"])"));
}

}  // namespace
}  // namespace mesh::model
