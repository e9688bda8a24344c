// plan() against a model of the kernel: whatever was there before, one pass of actions leads to what is desired, and a
// second pass finds nothing to do.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vxlan/notes.h"
#include "vxlan/overlay.h"
#include "vxlan/plan.h"
#include "vxlan/wanted.h"

namespace mesh::vxlan {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

IpAddress ip(const std::string& text) { return IpAddress::parse(text).value(); }
Cidr cidr(const std::string& text) { return Cidr::parse(text).value(); }

// A kernel of values. It does what the real one does by itself: addresses, routes and neighbours go with their
// interface, a veth's end with the other end, routes with the address that is their source.
class ModelKernel {
 public:
  Observed observed;

  void run(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      std::visit([&](const auto& operation) { run(action.netns, operation); }, action.operation);
    }
  }

  void erase_link(const std::string& netns, const std::string& name) {
    NamespaceState& state = at(netns);
    const auto link = state.links.find(name);
    ASSERT_NE(link, state.links.end()) << "deletes " << name << ", which is not there";
    const Link gone = link->second;
    forget(state, name);
    for (NamespaceState* other : all()) {
      for (const auto& [peer, value] : std::map(other->links)) {
        if (value.ifindex == gone.peer_ifindex && value.peer_ifindex == gone.ifindex) forget(*other, peer);
      }
    }
  }

  std::vector<NamespaceState*> all() {
    std::vector<NamespaceState*> states{&observed.host};
    for (auto& [path, state] : observed.namespaces) states.push_back(&state);
    return states;
  }

 private:
  NamespaceState& at(const std::string& netns) {
    if (netns.empty()) return observed.host;
    const auto found = observed.namespaces.find(netns);
    if (found == observed.namespaces.end()) throw std::runtime_error("no namespace " + netns);
    return found->second;
  }
  static void forget(NamespaceState& state, const std::string& name) {
    state.links.erase(name);
    std::erase_if(state.addresses, [&](const Address& row) { return row.interface == name; });
    std::erase_if(state.routes, [&](const Route& row) { return row.interface == name; });
    std::erase_if(state.neighbours, [&](const Neighbour& row) { return row.interface == name; });
  }
  Link& link(const std::string& netns, const std::string& name) {
    const auto found = at(netns).links.find(name);
    if (found == at(netns).links.end()) throw std::runtime_error("no interface " + name);
    return found->second;
  }

  void run(const std::string& netns, const CreateNetns&) { observed.namespaces[netns]; }
  void run(const std::string& netns, const DeleteNetns&) {
    for (const auto& [name, value] : std::map(at(netns).links)) erase_link(netns, name);
    observed.namespaces.erase(netns);
  }
  void run(const std::string&, const CreateVeth& veth) {
    ASSERT_FALSE(at("").links.contains(veth.name));
    ASSERT_FALSE(at(veth.peer_netns).links.contains(veth.peer));
    const std::uint32_t a = ++ifindex_;
    const std::uint32_t b = ++ifindex_;
    at("").links[veth.name] = {.ifindex = a, .peer_ifindex = b, .mac = veth.mac, .mtu = veth.mtu, .link_local = true};
    at(veth.peer_netns).links[veth.peer] = {
        .ifindex = b, .peer_ifindex = a, .mac = veth.peer_mac, .mtu = veth.mtu, .link_local = true};
  }
  void run(const std::string& netns, const DeleteLink& a) {
    // The other end may have taken it along.
    if (at(netns).links.contains(a.name)) erase_link(netns, a.name);
  }
  void run(const std::string& netns, const SetMac& a) { link(netns, a.name).mac = a.mac; }
  void run(const std::string& netns, const SetMtu& a) { link(netns, a.name).mtu = a.mtu; }
  void run(const std::string& netns, const SetGro& a) { link(netns, a.name).gro = true; }
  void run(const std::string& netns, const StopLinkLocal& a) { link(netns, a.name).link_local = false; }
  void run(const std::string& netns, const SetUp& a) { link(netns, a.name).up = true; }
  void run(const std::string& netns, const AddAddress& a) {
    link(netns, a.address.interface);
    at(netns).addresses.insert(a.address);
  }
  void run(const std::string& netns, const DeleteAddress& a) {
    at(netns).addresses.erase(a.address);
    std::erase_if(at(netns).routes, [&](const Route& row) { return row.source == a.address.ip; });
  }
  void run(const std::string& netns, const AddRoute& a) {
    ASSERT_TRUE(link(netns, a.route.interface).up) << "a route on an interface that is down";
    if (!netns.empty() && !a.route.source.is_unset()) {
      ASSERT_TRUE(at(netns).addresses.contains({a.route.interface, a.route.source})) << "a source that is not there";
    }
    // One route per destination: adding replaces.
    std::erase_if(at(netns).routes, [&](const Route& row) {
      return row.destination == a.route.destination && row.interface == a.route.interface;
    });
    at(netns).routes.insert(a.route);
  }
  void run(const std::string& netns, const DeleteRoute& a) { at(netns).routes.erase(a.route); }
  void run(const std::string& netns, const AddNeighbour& a) {
    std::erase_if(at(netns).neighbours, [&](const Neighbour& row) {
      return row.ip == a.neighbour.ip && row.interface == a.neighbour.interface;
    });
    at(netns).neighbours.insert(a.neighbour);
  }
  void run(const std::string& netns, const DeleteNeighbour& a) { at(netns).neighbours.erase(a.neighbour); }
  void run(const std::string& netns, const SetSysctl& a) { at(netns).sysctls[a.path] = a.value; }
  void run(const std::string&, const SetReservedPorts& a) {
    observed.reserved_ports = a.all;
    observed.reserved_by_us = a.ours;
  }
  void run(const std::string&, const SetFirewall& a) { observed.firewall = a.firewall.state; }

  std::uint32_t ifindex_ = 10;
};

Gateway gateway() {
  return {.gateway_v4 = ip("10.0.0.1"),
          .gateway_v6 = ip("fd00:6d65::1"),
          .mesh_v4 = ip("10.0.0.2"),
          .mesh_v6 = ip("fd00:6d65::2"),
          .host_source_v4 = ip("192.168.7.11"),
          .host_source_v6 = {}};
}

TaskLink task(int number, bool dual_stack = true) {
  const std::string id = "task" + std::to_string(number);
  TaskLink link{.task_id = id,
                .netns_path = "/run/meshd/netns/" + id,
                .host_name = host_interface_name(id),
                .ingress_v4 = ip("10.0.0." + std::to_string(10 + number))};
  if (dual_stack) link.ingress_v6 = ip("fd00:6d65::" + std::to_string(10 + number));
  return link;
}

Desired random_desired(std::mt19937& random) {
  Desired desired;
  if (random() % 10 != 0) desired.gateway = gateway();
  if (desired.gateway && random() % 2 == 0) desired.gateway->mtu = 1430;
  if (desired.gateway && random() % 3 == 0) desired.gateway->host_source_v4 = ip("192.168.7.12");
  for (int number = 0; number < 5; ++number) {
    if (random() % 2 == 0) continue;
    TaskLink link = task(number, random() % 4 != 0);
    if (random() % 2 == 0) link.networks.push_back({cidr("10.1.0.0/24"), ip("10.1.0." + std::to_string(10 + number))});
    if (random() % 3 == 0) link.networks.push_back({cidr("fd00:1::/64"), ip("fd00:1::" + std::to_string(10 + number))});
    desired.masquerade.sources.push_back(link.ingress_v4);
    desired.links.push_back(std::move(link));
  }
  desired.masquerade.cluster = {cidr("10.0.0.0/16"), cidr("10.1.0.0/24")};
  for (const std::uint16_t port : std::vector<std::uint16_t>{80, 8010, 8011}) {
    if (random() % 2 == 0) desired.reserved_ports.push_back(port);
  }
  return desired;
}

// What others do to our kernel state behind our back.
void disturb(ModelKernel& kernel, std::mt19937& random) {
  for (NamespaceState* state : kernel.all()) {
    for (auto& [name, link] : state->links) {
      if (random() % 8 == 0) link.up = false;
      if (random() % 8 == 0) link.gro = false;
      if (random() % 8 == 0) link.mtu = 9000;
    }
    std::erase_if(state->addresses, [&](const auto&) { return random() % 8 == 0; });
    std::erase_if(state->routes, [&](const auto&) { return random() % 8 == 0; });
    std::erase_if(state->neighbours, [&](const auto&) { return random() % 8 == 0; });
    for (auto& [path, value] : state->sysctls) {
      if (random() % 8 == 0) value = "7";
    }
  }
  if (random() % 4 == 0) kernel.observed.firewall.reset();
  if (random() % 4 == 0) kernel.observed.reserved_ports.insert(12345);
  const auto links = kernel.observed.host.links;
  for (const auto& [name, link] : links) {
    if (random() % 8 == 0 && kernel.observed.host.links.contains(name)) kernel.erase_link("", name);
  }
}

std::string describe(const std::vector<Action>& actions) {
  std::string text;
  for (const Action& action : actions) text += to_string(action) + "\n";
  return text;
}

TEST(OverlayPlan, OnePassLeadsToWhatIsDesiredFromAnywhere) {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    ModelKernel kernel;
    kernel.observed.host.sysctls["net/ipv4/ip_forward"] = "0";
    for (int step = 0; step < 5; ++step) {
      const Desired desired = random_desired(random);
      kernel.run(plan(desired, kernel.observed));
      ASSERT_FALSE(HasFatalFailure()) << "seed " << seed << " step " << step;
      EXPECT_EQ(describe(plan(desired, kernel.observed)), "") << "seed " << seed << " step " << step;

      for (const TaskLink& link : desired.links) {
        if (!desired.gateway) continue;
        const NamespaceState wanted = wanted_task(*desired.gateway, link, true);
        const NamespaceState& is = kernel.observed.namespaces.at(link.netns_path);
        EXPECT_EQ(is.addresses, wanted.addresses);
        EXPECT_EQ(is.routes, wanted.routes);
      }
      EXPECT_LE(kernel.observed.namespaces.size(), desired.links.size());
      disturb(kernel, random);
    }
  }
}

TEST(OverlayPlan, EmptyDesiredRemovesEverythingButTheUsersPorts) {
  ModelKernel kernel;
  kernel.observed.reserved_ports = {30000, 8010};
  Desired desired;
  desired.gateway = gateway();
  desired.links = {task(1), task(2)};
  desired.reserved_ports = {8010, 8020};
  kernel.run(plan(desired, kernel.observed));
  EXPECT_EQ(kernel.observed.reserved_ports, (std::set<std::uint16_t>{8010, 8020, 30000}));
  EXPECT_EQ(kernel.observed.reserved_by_us, (std::set<std::uint16_t>{8020})) << "8010 was the user's before";
  EXPECT_EQ(kernel.observed.host.links.size(), 4U);

  kernel.run(plan({}, kernel.observed));
  EXPECT_THAT(kernel.observed.host.links, IsEmpty());
  EXPECT_THAT(kernel.observed.namespaces, IsEmpty());
  EXPECT_EQ(kernel.observed.reserved_ports, (std::set<std::uint16_t>{8010, 30000}));
}

TEST(OverlayPlan, ATaskSeesOneGatewayAndSpeaksWithTheAddressOfEachNetwork) {
  TaskLink link = task(1);
  link.networks = {{cidr("10.1.0.0/24"), ip("10.1.0.5")}};
  const NamespaceState state = wanted_task(gateway(), link, true);
  const std::set<Route> routes = {
      {"eth0", cidr("10.0.0.1/32"), {}, ip("10.0.0.11")},
      {"eth0", cidr("0.0.0.0/0"), ip("10.0.0.1"), ip("10.0.0.11")},
      {"eth0", cidr("10.1.0.0/24"), ip("10.0.0.1"), ip("10.1.0.5")},
      {"eth0", cidr("fd00:6d65::1/128"), {}, ip("fd00:6d65::11")},
      {"eth0", cidr("::/0"), ip("fd00:6d65::1"), ip("fd00:6d65::11")},
  };
  EXPECT_EQ(state.routes, routes);
  EXPECT_EQ(state.links.at("eth0").mac.to_string(), "02:42:0a:00:00:0b");

  const NamespaceState without_ipv6 = wanted_task(gateway(), link, false);
  EXPECT_EQ(without_ipv6.routes.size(), 3U);
  EXPECT_EQ(without_ipv6.addresses.size(), 2U);
}

TEST(OverlayPlan, AStrangeInterfaceInTheTasksPlaceIsReplaced) {
  ModelKernel kernel;
  Desired desired;
  desired.gateway = gateway();
  desired.links = {task(1)};
  kernel.run(plan(desired, kernel.observed));
  // The host's end was deleted by hand and another pair put in its place.
  NamespaceState& inside = kernel.observed.namespaces.at(desired.links[0].netns_path);
  inside.links.at("eth0").peer_ifindex = 999;
  const std::string actions = describe(plan(desired, kernel.observed));
  EXPECT_THAT(actions, HasSubstr("delete interface " + desired.links[0].host_name));
  EXPECT_THAT(actions, HasSubstr("create veth pair"));
}

TEST(OverlayPlan, RoutersKeepTheirAdvertisedRoute) {
  ModelKernel kernel;
  kernel.observed.accept_ra_interfaces = {"eth0"};
  Desired desired;
  desired.gateway = gateway();
  kernel.run(plan(desired, kernel.observed));
  EXPECT_EQ(kernel.observed.host.sysctls.at("net/ipv6/conf/eth0/accept_ra"), "2");
  EXPECT_EQ(kernel.observed.host.sysctls.at("net/ipv4/ip_forward"), "1");
}

TEST(OverlayPlan, RefusesWhatCannotBeMadeAndMakesTheRest) {
  struct Case {
    const char* name;
    void (*spoil)(Desired&);
    const char* message;
  };
  const Case cases[] = {
      {"no gateway", [](Desired& d) { d.gateway.reset(); }, "no gateway addresses"},
      {"no ingress address", [](Desired& d) { d.links[0].ingress_v4 = {}; }, "no IPv4 address"},
      {"long name", [](Desired& d) { d.links[0].host_name = "mv0123456789abcdef"; }, "1 to 15 characters"},
      {"no path", [](Desired& d) { d.links[0].netns_path.clear(); }, "no path"},
      {"name twice", [](Desired& d) { d.links[1].host_name = d.links[0].host_name; }, "belongs to task task1"},
      {"path twice", [](Desired& d) { d.links[1].netns_path = d.links[0].netns_path; }, "belongs to task task1"},
  };
  for (const Case& c : cases) {
    Desired desired;
    desired.gateway = gateway();
    desired.links = {task(1), task(2)};
    c.spoil(desired);
    const std::vector<Refusal> refused = refusals(desired);
    ASSERT_FALSE(refused.empty()) << c.name;
    EXPECT_THAT(refused[0].message, HasSubstr(c.message));
    ModelKernel kernel;
    kernel.run(plan(desired, kernel.observed));
    EXPECT_EQ(kernel.observed.namespaces.size(), 2 - refused.size()) << c.name;
  }
}

}  // namespace
}  // namespace mesh::vxlan
