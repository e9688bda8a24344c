// Addresses, subnets, ports and numbers: against slow twins, at their ends, and in the words of their refusals.
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/manager/address_book.h"
#include "control/manager/allocator.h"

namespace mesh::manager {
namespace {

using testing::HasSubstr;

Cidr cidr(const char* text) { return Cidr::parse(text).value(); }
IpAddress ip(const char* text) { return IpAddress::parse(text).value(); }

model::Network network_of(const std::string& id, const char* subnet, std::uint32_t vni) {
  model::Network network;
  network.id = network.name = id;
  network.mesh.emplace().subnet_v4 = cidr(subnet);
  network.mesh->vni = vni;
  return network;
}

class Allocator : public testing::Test {
 protected:
  Allocator() {
    model::Cluster cluster;
    cluster.id = "c";
    view_.put(cluster);
  }
  model::Network create(const std::string& name, const std::function<void(model::Network&)>& adjust = {}) {
    model::Network network;
    network.id = network.name = name;
    if (adjust) adjust(network);
    const Status done = allocate_network(view_, {}, network);
    EXPECT_TRUE(done) << (done ? "" : done.error().message);
    view_.put(network);
    return network;
  }
  Status refused(const char* subnet, const std::vector<Cidr>& routes = {}) {
    model::Network network;
    network.id = network.name = "new";
    network.ipam.config.push_back({.subnet = subnet});
    return allocate_network(view_, routes, network);
  }
  store::View view_;
};

TEST_F(Allocator, NetworksFollowTheIngress) {
  const auto ingress = create("ingress", [](model::Network& n) { n.ingress = true; });
  EXPECT_EQ(ingress.mesh->subnet_v4, cidr("10.0.0.0/16"));
  EXPECT_EQ(ingress.mesh->vni, 4096U);
  ASSERT_TRUE(ingress.mesh->subnet_v6);
  EXPECT_EQ(ingress.mesh->subnet_v6->length, 64);
  EXPECT_EQ(ingress.mesh->subnet_v6->network.bytes()[0], 0xfd);
  const auto first = create("a");
  EXPECT_EQ(first.mesh->subnet_v4, cidr("10.1.0.0/24"));
  EXPECT_EQ(first.mesh->vni, 4097U);
  EXPECT_FALSE(first.mesh->subnet_v6);
  EXPECT_EQ(first.ipam.config.at(0).gateway, "10.1.0.1");
  const auto second = create("b", [](model::Network& n) { n.enable_ipv6 = true; });
  EXPECT_EQ(second.mesh->subnet_v4, cidr("10.1.1.0/24"));
  ASSERT_TRUE(second.mesh->subnet_v6);
  EXPECT_FALSE(second.mesh->subnet_v6->overlaps(*ingress.mesh->subnet_v6));
}

TEST_F(Allocator, AvoidsWhatHostsReachThemselves) {
  model::Node node;
  node.id = "n";
  node.description.hostname = "alpha";
  node.mesh.emplace().address = ip("10.0.200.7");
  node.mesh->connected_routes = {cidr("10.1.0.0/23"), cidr("0.0.0.0/0"), cidr("169.254.0.0/16"), cidr("fe80::/64")};
  view_.put(node);
  EXPECT_EQ(create("ingress", [](model::Network& n) { n.ingress = true; }).mesh->subnet_v4, cidr("10.2.0.0/16"));
  EXPECT_EQ(create("a").mesh->subnet_v4, cidr("10.0.0.0/24"));
  const Status route = refused("10.1.1.0/24");
  ASSERT_FALSE(route);
  EXPECT_EQ(route.error().kind, ErrorKind::kConflict);
  EXPECT_THAT(route.error().message,
              testing::AllOf(HasSubstr("10.1.0.0/23"), HasSubstr("alpha"), HasSubstr("--subnet")));
  EXPECT_THAT(refused("10.0.200.0/24").error().message, HasSubstr("alpha"));
  EXPECT_THAT(refused("192.168.0.0/24", {cidr("192.168.0.0/16")}).error().message, HasSubstr("192.168.0.0/16"));
  EXPECT_TRUE(refused("192.168.0.0/24"));
  // A route inside one of our networks is one that we made for a container.
  node.mesh->connected_routes.push_back(cidr("10.2.0.5/32"));
  view_.put(node);
  EXPECT_TRUE(refused("192.168.0.0/24"));
}

TEST_F(Allocator, RefusesOverlapsAndBadSizes) {
  create("a", [](model::Network& n) { n.ipam.config.push_back({.subnet = "10.7.0.0/16"}); });
  EXPECT_THAT(refused("10.7.3.0/24").error().message, HasSubstr("network a"));
  EXPECT_THAT(refused("10.0.0.0/8").error().message, HasSubstr("Pool overlaps with other one on this address space"));
  EXPECT_THAT(refused("10.9.0.0/30").error().message, HasSubstr("too small"));
  EXPECT_THAT(refused("8.0.0.0/7").error().message, HasSubstr("larger than /8"));
}

TEST_F(Allocator, NamesThePoolThatIsUsedUp) {
  model::Cluster cluster = *view_.cluster();
  cluster.default_addr_pool = {"172.20.0.0/22"};
  view_.put(cluster);
  for (int i = 0; i < 4; ++i) create(std::to_string(i));
  model::Network network;
  network.id = network.name = "new";
  const Status full = allocate_network(view_, {}, network);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().kind, ErrorKind::kExhausted);
  EXPECT_THAT(full.error().message, testing::AllOf(HasSubstr("172.20.0.0/22"), HasSubstr("/24")));
  view_.erase(store::Kind::kNetwork, "2");
  EXPECT_EQ(create("again").mesh->subnet_v4, cidr("172.20.2.0/24")) << "given back with its network";
}

// The twin: tries every subnet of the pool, one after the other.
TEST_F(Allocator, FirstFreeSubnetAgreesWithItsSlowTwin) {
  std::mt19937 random(2);
  for (int round = 0; round < 100; ++round) {
    store::View view;
    model::Cluster cluster;
    cluster.id = "c";
    cluster.default_addr_pool = {"10.64.0.0/20"};
    cluster.subnet_size = 24 + random() % 4;
    view.put(cluster);
    std::vector<Cidr> routes;
    for (std::uint32_t i = 0; i < random() % 12; ++i) {
      const auto length = static_cast<std::uint8_t>(21 + random() % 8);
      const std::uint32_t at = 0x0a400000U + (random() % 4096U & ~((1U << (32U - length)) - 1U));
      routes.push_back({IpAddress::v4(at), length});
    }
    std::optional<Cidr> expected;
    for (std::uint32_t at = 0; at < 4096 && !expected; at += 1U << (32U - cluster.subnet_size)) {
      const Cidr candidate{IpAddress::v4(0x0a400000U + at), static_cast<std::uint8_t>(cluster.subnet_size)};
      if (std::ranges::none_of(routes, [&](const Cidr& r) { return r.overlaps(candidate); })) expected = candidate;
    }
    model::Network network;
    network.id = network.name = "new";
    const Status done = allocate_network(view, routes, network);
    ASSERT_EQ(done.has_value(), expected.has_value()) << round;
    if (expected) ASSERT_EQ(network.mesh->subnet_v4, *expected) << round;
  }
}

TEST_F(Allocator, AddressesGoRoundAndRunOut) {
  view_.put(network_of("net", "10.1.0.0/29", 4097));  // .3 to .6 are usable
  std::vector<std::string> held;
  const auto take = [&]() -> Result<IpAddress> {
    AddressBook book(view_);
    return book.take(*view_.network("net"));
  };
  const auto hold = [&](const IpAddress& address) {
    model::Task task;
    task.id = address.to_string();
    task.mesh.networks.push_back({"net", address, {}, {}});
    view_.put(task);
  };
  for (const char* expected : {"10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"}) {
    const auto address = take();
    ASSERT_TRUE(address);
    EXPECT_EQ(address->to_string(), expected);
    hold(*address);
  }
  const auto full = take();
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().kind, ErrorKind::kExhausted);
  EXPECT_THAT(full.error().message, testing::AllOf(HasSubstr("net"), HasSubstr("10.1.0.0/29")));
  view_.erase(store::Kind::kTask, "10.1.0.4");
  EXPECT_EQ(take()->to_string(), "10.1.0.4");
}

// The twin: a set of all usable addresses.
TEST_F(Allocator, AddressBookAgreesWithASet) {
  std::mt19937 random(9);
  view_.put(network_of("net", "10.1.0.0/26", 4097));
  std::set<IpAddress> taken;
  for (int step = 0; step < 2000; ++step) {
    if (random() % 2 == 0 && !taken.empty()) {
      const IpAddress gone = *std::next(taken.begin(), static_cast<std::ptrdiff_t>(random() % taken.size()));
      taken.erase(gone);
      view_.erase(store::Kind::kTask, gone.to_string());
      continue;
    }
    AddressBook book(view_);
    const auto address = book.take(*view_.network("net"));
    ASSERT_EQ(address.has_value(), taken.size() < 60) << "64 less network, gateway, mesh address and broadcast";
    if (!address) continue;
    ASSERT_TRUE(taken.insert(*address).second);
    ASSERT_GE(address->v4_host_order() & 63U, kFirstOffset);
    ASSERT_LT(address->v4_host_order() & 63U, 63U);
    model::Task task;
    task.id = address->to_string();
    task.mesh.networks.push_back({"net", *address, {}, {}});
    view_.put(task);
  }
}

model::Service service_of(const std::string& id, std::vector<model::PortConfig> ports) {
  model::Service service;
  service.id = id;
  service.spec.name = "name-" + id;
  service.spec.endpoint_spec.emplace().ports = std::move(ports);
  return service;
}

TEST_F(Allocator, PublishedPorts) {
  model::Service a = service_of("a", {{.target_port = 80, .published_port = 8010}, {.target_port = 81}});
  ASSERT_TRUE(allocate_service(view_, a));
  EXPECT_EQ(a.endpoint.ports[0].published_port, 8010);
  EXPECT_EQ(a.endpoint.ports[0].protocol, model::PortProtocol::kTcp);
  EXPECT_EQ(a.endpoint.ports[1].published_port, 30000);
  view_.put(a);

  model::Service b = service_of("b", {{.target_port = 80, .published_port = 8010}});
  const Status taken = allocate_service(view_, b);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().kind, ErrorKind::kConflict);
  EXPECT_EQ(taken.error().message, "port '8010' is already in use by service 'name-a' (a) as an ingress port");
  b = service_of("b", {{.protocol = model::PortProtocol::kUdp, .target_port = 80, .published_port = 8010},
                       {.target_port = 1},
                       {.target_port = 2, .published_port = 30001}});
  ASSERT_TRUE(allocate_service(view_, b));
  EXPECT_EQ(b.endpoint.ports[1].published_port, 30002) << "30000 is a's, 30001 is asked for beside it";

  model::Service again = a;
  again.spec.endpoint_spec->ports.insert(again.spec.endpoint_spec->ports.begin(), {.target_port = 82});
  ASSERT_TRUE(allocate_service(view_, again));
  EXPECT_EQ(again.endpoint.ports[2].published_port, 30000) << "a port without a number keeps what it has";
}

// Several services may publish a port with mode=host, on different nodes; not beside one that is on every node.
TEST_F(Allocator, HostModePorts) {
  const auto host = model::PublishMode::kHost;
  model::Service a = service_of("a", {{.target_port = 80, .published_port = 30000, .publish_mode = host}});
  ASSERT_TRUE(allocate_service(view_, a));
  view_.put(a);
  model::Service b = service_of("b", {{.target_port = 81, .published_port = 30000, .publish_mode = host}});
  EXPECT_TRUE(allocate_service(view_, b));
  b = service_of("b", {{.target_port = 80, .published_port = 30000}});
  EXPECT_EQ(allocate_service(view_, b).error().message,
            "port '30000' is already in use by service 'name-a' (a) as a host-mode port");
  b = service_of("b", {{.target_port = 80}});
  ASSERT_TRUE(allocate_service(view_, b));
  EXPECT_EQ(b.endpoint.ports[0].published_port, 30001) << "a number that the cluster chooses is free everywhere";
  view_.put(b);
  model::Service c = service_of("c", {{.target_port = 80, .published_port = 30001, .publish_mode = host}});
  EXPECT_EQ(allocate_service(view_, c).error().message,
            "port '30001' is already in use by service 'name-b' (b) as an ingress port");
}

TEST_F(Allocator, PublishedPortsRunOut) {
  std::vector<model::PortConfig> all;
  for (std::uint16_t port = kPublishedFirst; port <= kPublishedLast; ++port) {
    all.push_back({.target_port = port, .published_port = port});
  }
  model::Service a = service_of("a", all);
  ASSERT_TRUE(allocate_service(view_, a));
  view_.put(a);
  model::Service b = service_of("b", {{.target_port = 80}});
  EXPECT_THAT(allocate_service(view_, b).error().message, testing::AllOf(HasSubstr("30000"), HasSubstr("32767")));
  b = service_of("b", {{.protocol = model::PortProtocol::kUdp, .target_port = 80}});
  EXPECT_TRUE(allocate_service(view_, b)) << "per protocol";
}

TEST_F(Allocator, VirtualIps) {
  view_.put(network_of("net", "10.1.0.0/24", 4097));
  model::Service a = service_of("a", {});
  a.spec.task_template.networks = {{.target = "net"}};
  ASSERT_TRUE(allocate_service(view_, a));
  ASSERT_EQ(a.endpoint.virtual_ips.size(), 1U);
  EXPECT_EQ(a.endpoint.virtual_ips[0].addr, "10.1.0.3/24");
  view_.put(a);
  model::Service b = service_of("b", {});
  b.spec.task_template.networks = {{.target = "net"}};
  ASSERT_TRUE(allocate_service(view_, b));
  EXPECT_EQ(b.endpoint.virtual_ips[0].addr, "10.1.0.4/24");
  ASSERT_TRUE(allocate_service(view_, a));
  EXPECT_EQ(a.endpoint.virtual_ips[0].addr, "10.1.0.3/24") << "kept";
  a.spec.endpoint_spec->mode = model::ResolutionMode::kDnsrr;
  ASSERT_TRUE(allocate_service(view_, a));
  EXPECT_TRUE(a.endpoint.virtual_ips.empty());
}

TEST_F(Allocator, NodeNumbers) {
  EXPECT_EQ(allocate_node_number(view_).value(), 1);
  for (std::uint16_t n = 1; n <= kNodeNumberMax; ++n) {
    model::Node node;
    node.id = std::to_string(n);
    node.mesh.emplace().number = n;
    view_.put(node);
  }
  EXPECT_EQ(allocate_node_number(view_).error().kind, ErrorKind::kExhausted);
  view_.erase(store::Kind::kNode, "17");
  EXPECT_EQ(allocate_node_number(view_).value(), 17);
}

TEST(Addresses, V6FollowsV4) {
  model::Network network = network_of("net", "10.1.0.0/24", 4097);
  EXPECT_TRUE(v6_of(network, ip("10.1.0.9")).is_unset());
  network.mesh->subnet_v6 = cidr("fd00:1::/64");
  EXPECT_EQ(v6_of(network, ip("10.1.0.9")), ip("fd00:1::9"));
  EXPECT_EQ(with_prefix(ip("10.1.0.9"), network.mesh->subnet_v4), "10.1.0.9/24");
  EXPECT_EQ(without_prefix("10.1.0.9/24"), ip("10.1.0.9"));
  EXPECT_TRUE(without_prefix("nonsense").is_unset());
}

}  // namespace
}  // namespace mesh::manager
