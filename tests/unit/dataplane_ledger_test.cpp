// Ledger against its slow twin: a whole plan of the same Desired.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/layout.h"
#include "dataplane/ledger.h"
#include "dataplane/plan.h"
#include "dataplane/wanted.h"
#include "tests/unit/dataplane_samples.h"

namespace mesh::dataplane {
namespace {

using testing::IsEmpty;
using namespace samples;

HostFacts facts() {
  HostFacts facts{.netns_cookie = 1, .flow_seed = 42, .flow_mask = MESH_FLOW_SETS - 1, .cgroup_id = 99};
  facts.program_ids[kEndpointTcProgram] = 10;
  return facts;
}

std::string describe(const std::vector<Action>& actions) {
  std::string text;
  for (const Action& action : actions) text += to_string(action) + "\n";
  return text;
}

void carry_out(Observed& kernel, const std::vector<Action>& actions) {
  for (const Action& action : actions) track(kernel, action);
}

std::string row_of(const Observed& kernel, MapId map, std::uint32_t row) {
  const auto found = kernel[map].find(bytes_of(row));
  return found == kernel[map].end() ? std::string("-") : found->second;
}

// What programs find, wherever it lies: rows by key, with what a service or virtual IP points at in its place.
std::map<std::string, std::string> seen(const Observed& kernel) {
  std::map<std::string, std::string> rows;
  for (std::size_t i = 0; i < kMapCount; ++i) {
    const auto map = static_cast<MapId>(i);
    if (map == MapId::kRings || map == MapId::kBackends || map == MapId::kVipBackends) continue;
    if (map == MapId::kFormers) continue;  // says what was, not what is
    for (const auto& [key, value] : kernel[map]) {
      std::string text = value;
      if (map == MapId::kServices) {
        const auto service = value_of<mesh_service>(value);
        text = bytes_of(service.options) + bytes_of(MESH_RING_VERSION(service.ring)) + ring_slots(kernel, service.ring);
        const std::string slots = ring_slots(kernel, service.ring);
        for (const char c : slots) {
          const std::uint32_t owner = static_cast<unsigned char>(c) & MESH_SLOT_OWNER;
          if (owner != MESH_SLOT_NONE) text += row_of(kernel, MapId::kBackends, service.backends + owner);
        }
      }
      if (map == MapId::kVips) {
        auto vip = value_of<mesh_vip>(value);
        text.clear();
        for (std::uint32_t j = 0; j < vip.count; ++j) text += row_of(kernel, MapId::kVipBackends, vip.first + j);
        vip.first = 0;
        text += bytes_of(vip);
      }
      rows[map_info(map).name + key] = text;
    }
  }
  for (const auto& [hook, attached] : kernel.hooks) rows[to_string(hook)] = std::to_string(attached.program_id);
  return rows;
}

// Some of what makes `after` of `before`.
template <class Row, class Name, class Same>
void differ(const std::vector<Row>& before, const std::vector<Row>& after, std::mt19937& random, std::vector<Row>& put,
            std::vector<Name>& gone, Same name_of) {
  for (const Row& row : after) {
    const auto is = std::ranges::find(before, name_of(row), name_of);
    if ((is == before.end() || *is != row) && random() % 4 != 0) put.push_back(row);
  }
  for (const Row& row : before) {
    if (std::ranges::find(after, name_of(row), name_of) == after.end() && random() % 4 != 0) {
      gone.push_back(name_of(row));
    }
  }
}

Change random_part(const Desired& before, const Desired& after, std::mt19937& random) {
  Change change;
  differ(before.endpoints, after.endpoints, random, change.endpoints, change.endpoints_gone,
         [](const Endpoint& one) { return one.task_id; });
  differ(before.ports, after.ports, random, change.ports, change.ports_gone,
         [](const PublishedPort& one) { return std::pair(one.protocol, one.port); });
  differ(before.bindings, after.bindings, random, change.bindings, change.bindings_gone,
         [](const Binding& one) { return one.index; });
  differ(before.virtual_ips, after.virtual_ips, random, change.virtual_ips, change.virtual_ips_gone,
         [](const VirtualIp& one) { return one.address; });
  return change;
}

template <class Row, class Name, class Same>
void amend(std::vector<Row>& rows, const std::vector<Row>& put, const std::vector<Name>& gone, Same name_of) {
  std::erase_if(rows, [&](const Row& row) { return std::ranges::find(gone, name_of(row)) != gone.end(); });
  for (const Row& row : put) {
    std::erase_if(rows, [&](const Row& old) { return name_of(old) == name_of(row); });
    rows.push_back(row);
  }
}

void amend(Desired& desired, const Change& change) {
  amend(desired.endpoints, change.endpoints, change.endpoints_gone, [](const Endpoint& one) { return one.task_id; });
  amend(desired.ports, change.ports, change.ports_gone,
        [](const PublishedPort& one) { return std::pair(one.protocol, one.port); });
  amend(desired.bindings, change.bindings, change.bindings_gone, [](const Binding& one) { return one.index; });
  amend(desired.virtual_ips, change.virtual_ips, change.virtual_ips_gone,
        [](const VirtualIp& one) { return one.address; });
}

Desired random_pieces(std::mt19937& random) {
  Desired desired = cluster(3);  // host, nodes and networks stay
  Desired other = random_change(random);
  desired.endpoints = std::move(other.endpoints);
  desired.ports = std::move(other.ports);
  desired.bindings = std::move(other.bindings);
  desired.virtual_ips = std::move(other.virtual_ips);
  if (random() % 3 != 0 && !desired.ports.empty()) {
    PublishedPort& port = desired.ports[random() % desired.ports.size()];
    port.prefer_local = random() % 2 == 0;
    if (random() % 2 == 0) port.addresses = {ip("192.168.7.11")};
    if (random() % 2 == 0) port.allow = {cidr("192.0.2.0/24"), cidr("2001:db8::/32")};
  }
  return desired;
}

// The kernel and its ledger after a whole plan.
struct Host {
  Ledger ledger;
  Observed kernel;
  void plan_all() {
    Room room;
    carry_out(kernel, plan(ledger.desired(), facts(), kernel, room).actions);
    ledger.settle(std::move(room), kernel);
  }
};

TEST(DataplaneLedger, ChangesLeadToTheSameKernelAsAWholePlan) {
  int whole = 0, steps = 0;
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    Desired twin = random_pieces(random);
    Host host{.ledger = Ledger(twin), .kernel = {}};
    host.plan_all();
    for (int step = 0; step < 20; ++step, ++steps) {
      const Change change = random_part(twin, random_pieces(random), random);
      amend(twin, change);
      if (const auto some = host.ledger.plan(change, facts(), host.kernel)) {
        EXPECT_THAT(some->problems, IsEmpty());
        carry_out(host.kernel, some->actions);
      } else {
        host.plan_all();
        ++whole;
      }
      ASSERT_EQ(describe(plan(twin, facts(), host.kernel).actions), "") << "seed " << seed << " step " << step;
      Observed fresh;
      carry_out(fresh, plan(twin, facts(), fresh).actions);
      ASSERT_TRUE(seen(host.kernel) == seen(fresh)) << "seed " << seed << " step " << step;
    }
  }
  EXPECT_LT(whole, steps / 20) << "of " << steps << " changes were planned as a whole";
}

TEST(DataplaneLedger, TheDifferenceOfTwoDesiredLeadsFromOneToTheOther) {
  int known = 0;
  for (std::uint32_t seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    Host host{.ledger = Ledger(random_pieces(random)), .kernel = {}};
    host.plan_all();
    for (int step = 0; step < 6; ++step) {
      Desired next = random_pieces(random);
      std::ranges::shuffle(next.endpoints, random);
      const auto change = host.ledger.difference(next);
      ASSERT_TRUE(change);
      ++known;
      if (const auto some = host.ledger.plan(*change, facts(), host.kernel)) {
        carry_out(host.kernel, some->actions);
      } else {
        host.plan_all();
      }
      ASSERT_EQ(describe(plan(next, facts(), host.kernel).actions), "") << "seed " << seed << " step " << step;
    }
  }
  EXPECT_EQ(known, 600);
}

TEST(DataplaneLedger, WhatIsNotAPieceOrIsThereTwiceMakesNoDifference) {
  const Desired desired = cluster(3);
  struct Case {
    const char* what;
    void (*spoil)(Desired&);
  };
  const Case cases[] = {{"a node", [](Desired& d) { d.nodes[1].next_hop = {}; }},
                        {"the gateway", [](Desired& d) { d.gateway_v4 = ip("10.0.0.9"); }},
                        {"an uplink", [](Desired& d) { d.uplinks.clear(); }},
                        {"a task twice", [](Desired& d) { d.endpoints.push_back(d.endpoints[0]); }},
                        {"a task instead of another", [](Desired& d) { d.endpoints[1] = d.endpoints[0]; }},
                        {"a port twice", [](Desired& d) { d.ports.push_back(d.ports[0]); }}};
  for (const Case& c : cases) {
    Host host{.ledger = Ledger(desired), .kernel = {}};
    host.plan_all();
    Desired next = desired;
    c.spoil(next);
    EXPECT_FALSE(host.ledger.difference(next)) << c.what;
  }
}

TEST(DataplaneLedger, AChangeTouchesNothingElse) {
  Desired desired = cluster(9);
  for (std::uint16_t number = 1; number < 50; ++number) {
    desired.ports.push_back(desired.ports[0]);
    desired.ports.back().port = static_cast<std::uint16_t>(9000 + number);
  }
  Host host{.ledger = Ledger(desired), .kernel = {}};
  host.plan_all();
  Change change;
  change.ports = {desired.ports[7]};
  change.ports[0].ring = round_ring(2, {0, 1, 2});
  const auto some = host.ledger.plan(change, facts(), host.kernel);
  ASSERT_TRUE(some);
  EXPECT_EQ(describe(some->actions),
            "write mesh_rings\nwrite mesh_rings\nwrite mesh_rings\nwrite mesh_rings\nwrite mesh_services\n");
}

// 16,384 rings fit.
TEST(DataplaneLedger, WhatChangesAgainAndAgainTakesNoMoreRoom) {
  Desired desired = cluster(9);
  Host host{.ledger = Ledger(desired), .kernel = {}};
  host.plan_all();
  Change change;
  change.ports = desired.ports;
  change.virtual_ips = desired.virtual_ips;
  for (std::uint32_t version = 2; version < 40000; ++version) {
    const std::size_t backends = 1 + version * 7 % 100;
    change.ports[0].ring = round_ring(version, {0});
    change.ports[0].backends.assign(backends, desired.ports[0].backends[0]);
    std::ranges::reverse(change.virtual_ips[0].backends);
    const auto some = host.ledger.plan(change, facts(), host.kernel);
    ASSERT_TRUE(some);
    ASSERT_THAT(some->problems, IsEmpty()) << version;
    carry_out(host.kernel, some->actions);
  }
  EXPECT_EQ(describe(plan(host.ledger.desired(), facts(), host.kernel).actions), "");
}

TEST(DataplaneLedger, WhoLeavesAVirtualIpIsRememberedUntilAnotherTaskHasItsAddress) {
  Host host{.ledger = Ledger(cluster(6)), .kernel = {}};
  host.plan_all();
  const auto become = [&](const Change& change) {
    const auto some = host.ledger.plan(change, facts(), host.kernel);
    ASSERT_TRUE(some);
    carry_out(host.kernel, some->actions);
  };
  const Endpoint gone = host.ledger.desired().endpoints[1];
  const std::string former = bytes_of(mesh_former_key{kUserVni, to_abi(gone.addresses[2].address)});
  VirtualIp vip = host.ledger.desired().virtual_ips[0];
  std::erase(vip.backends, gone.addresses[2].address);
  become({.virtual_ips = {vip}, .endpoints_gone = {gone.task_id}});
  EXPECT_TRUE(host.kernel[MapId::kFormers].contains(former));
  Endpoint next = gone;
  next.task_id = "another";
  become({.endpoints = {next}});
  EXPECT_FALSE(host.kernel[MapId::kFormers].contains(former));
}

TEST(DataplaneLedger, TasksThatShareAnAddressArePlannedTogether) {
  Desired desired = cluster(3);
  Host host{.ledger = Ledger(desired), .kernel = {}};
  host.plan_all();
  Change change;
  change.endpoints = {desired.endpoints[1]};
  change.endpoints[0].task_id = "another";
  EXPECT_FALSE(host.ledger.plan(change, facts(), host.kernel)) << "its address is task1's too";
  EXPECT_EQ(host.ledger.desired().endpoints.size(), 4U) << "it is desired nevertheless";
  host.plan_all();
  Change gone;
  gone.endpoints_gone = {"another"};
  EXPECT_FALSE(host.ledger.plan(gone, facts(), host.kernel)) << "the row is task1's from now on";
  host.plan_all();
  EXPECT_TRUE(host.ledger.plan(change, facts(), host.kernel) == std::nullopt);
  EXPECT_EQ(host.kernel[MapId::kEndpoints].size(), 3U);
  EXPECT_EQ(host.kernel[MapId::kEndpoints4].size(), 6U);
}

}  // namespace
}  // namespace mesh::dataplane
