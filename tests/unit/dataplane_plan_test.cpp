// plan() against a model of the kernel, and what a program would see between any two actions.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/layout.h"
#include "dataplane/plan.h"
#include "dataplane/wanted.h"
#include "tests/unit/dataplane_samples.h"

namespace mesh::dataplane {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace samples;

HostFacts facts() {
  HostFacts facts{.netns_cookie = 1, .flow_seed = 42, .flow_mask = MESH_FLOW_SETS - 1, .cgroup_id = 99};
  std::uint32_t id = 10;
  for (const char* name : {kUplinkXdpProgram, kUplinkTcProgram, kEndpointTcProgram, kEntryTcProgram}) {
    facts.program_ids[name] = id++;
  }
  for (const CgroupProgram& cgroup : cgroup_programs()) facts.program_ids[cgroup.program] = id++;
  return facts;
}

std::string describe(const std::vector<Action>& actions) {
  std::string text;
  for (const Action& action : actions) text += to_string(action) + "\n";
  return text;
}

// What the entry program finds for a slot: the backend's record, or nothing.
std::optional<mesh_backend> backend_of(const Observed& kernel, std::uint32_t service_key, std::uint32_t slot) {
  const auto row = kernel[MapId::kServices].find(bytes_of(service_key));
  if (row == kernel[MapId::kServices].end()) return std::nullopt;
  const auto service = value_of<mesh_service>(row->second);
  const std::string slots = ring_slots(kernel, service.ring);
  const std::uint32_t owner = static_cast<std::uint8_t>(slots.at(slot)) & MESH_SLOT_OWNER;
  const auto backend = kernel[MapId::kBackends].find(bytes_of(service.backends + owner));
  if (backend == kernel[MapId::kBackends].end()) return mesh_backend{};
  return value_of<mesh_backend>(backend->second);
}

TEST(DataplanePlan, OnePassLeadsToWhatIsDesiredFromAnywhere) {
  for (std::uint32_t seed = 0; seed < 150; ++seed) {
    std::mt19937 random(seed);
    Observed kernel;
    for (int step = 0; step < 6; ++step) {
      const Desired desired = random_change(random);
      for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
      EXPECT_EQ(describe(plan(desired, facts(), kernel).actions), "") << "seed " << seed << " step " << step;
      // Someone else loses and spoils rows.
      for (Table& table : kernel.tables) {
        std::erase_if(table, [&](const auto&) { return random() % 20 == 0; });
      }
      std::erase_if(kernel.hooks, [&](const auto&) { return random() % 8 == 0; });
      for (auto& [hook, attached] : kernel.hooks) {
        if (random() % 8 == 0) attached.program_id = 7;
      }
    }
  }
}

TEST(DataplanePlan, TheKernelHoldsTheRingsAndBackendsThatAreDesired) {
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    Observed kernel;
    for (int step = 0; step < 4; ++step) {
      const Desired desired = random_change(random);
      for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
      EXPECT_EQ(kernel[MapId::kServices].size(), desired.ports.size());
      for (const PublishedPort& port : desired.ports) {
        const std::uint32_t index = service_index(port.protocol, port.port);
        for (std::uint16_t slot = 0; slot < port.ring.owners.size(); ++slot) {
          const Backend& wanted = port.backends[port.ring.owners[slot]];
          const auto is = backend_of(kernel, index, slot);
          ASSERT_TRUE(is) << "seed " << seed << " port " << port.port << " slot " << slot;
          ASSERT_EQ(is->node, wanted.node);
          ASSERT_EQ(is->binding, wanted.binding);
          const mesh_row_key key{.service = index, .version = port.ring.version, .slot = slot};
          const bool remembered = port.ring.previous.contains(slot) || port.ring.foreign.contains(slot);
          ASSERT_EQ(kernel[MapId::kRows].contains(bytes_of(key)), remembered);
        }
      }
      // Pieces of different ports never share a row.
      std::map<std::uint32_t, std::uint32_t> chunk_owner;
      for (const auto& [key, value] : kernel[MapId::kServices]) {
        const auto service = value_of<mesh_service>(value);
        const auto index = value_of<std::uint32_t>(key);
        for (std::uint32_t i = 0; i < ring_chunks(service.ring); ++i) {
          const auto [owner, is_new] = chunk_owner.try_emplace(MESH_RING_CHUNK(service.ring) + i, index);
          EXPECT_TRUE(is_new) << "chunk of ports " << owner->second << " and " << index;
        }
      }
    }
  }
}

// At every moment of a change, every slot of a port that stays published leads to the old owner or to the new one.
TEST(DataplanePlan, NoMomentInBetweenShowsAnythingButTheOldOrTheNewRing) {
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const int before_tasks = 1 + static_cast<int>(random() % 30);
    const int after_tasks = 1 + static_cast<int>(random() % 30);
    const Desired before = cluster(before_tasks);
    Desired after = cluster(after_tasks);
    after.ports[0].ring.version = 2;
    Observed kernel;
    for (const Action& action : plan(before, facts(), kernel).actions) track(kernel, action);
    const std::uint32_t index = service_index(Protocol::kTcp, 8010);
    for (const Action& action : plan(after, facts(), kernel).actions) {
      track(kernel, action);
      const auto service = value_of<mesh_service>(kernel[MapId::kServices].at(bytes_of(index)));
      const Ring& ring = MESH_RING_VERSION(service.ring) == 1 ? before.ports[0].ring : after.ports[0].ring;
      const auto& backends = MESH_RING_VERSION(service.ring) == 1 ? before.ports[0].backends : after.ports[0].backends;
      for (std::uint32_t slot = 0; slot < 256; ++slot) {
        const auto is = backend_of(kernel, index, slot);
        ASSERT_TRUE(is);
        const Backend& wanted = backends[ring.owners[slot]];
        ASSERT_EQ(is->node, wanted.node) << "seed " << seed << " after: " << to_string(action);
        ASSERT_EQ(is->binding, wanted.binding);
      }
    }
  }
}

TEST(DataplanePlan, ARestartedMeshdMovesNothing) {
  Observed kernel;
  Desired desired = cluster(5);
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  const Observed before = kernel;
  // What a new process sees: only what is pointed at, and program ids as they are.
  EXPECT_THAT(plan(desired, facts(), kernel).actions, IsEmpty());

  // A second port does not disturb the first.
  desired.ports.push_back(desired.ports[0]);
  desired.ports[1].port = 80;
  desired.ports[1].service_id = "service2";
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  const std::string key = bytes_of(service_index(Protocol::kTcp, 8010));
  EXPECT_EQ(kernel[MapId::kServices].at(key), before[MapId::kServices].at(key));
  EXPECT_EQ(kernel[MapId::kServices].size(), 2U);
}

TEST(DataplanePlan, OtherProgramsReplaceTheOldOnesInPlace) {
  Observed kernel;
  const Desired desired = cluster(3);
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  HostFacts upgraded = facts();
  for (auto& [name, id] : upgraded.program_ids) id += 100;
  const Plan upgrade = plan(desired, upgraded, kernel);
  for (const Action& action : upgrade.actions) {
    EXPECT_TRUE(std::holds_alternative<Attach>(action)) << to_string(action);
  }
  // One uplink, one local endpoint, mesh1 and the cgroup hooks.
  EXPECT_EQ(upgrade.actions.size(), 3U + cgroup_programs().size());
}

TEST(DataplanePlan, ABindingThatPassesToAnotherTaskLosesItsRecordsInBetween) {
  Observed kernel;
  Desired desired = cluster(1);
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  desired.endpoints[0] = endpoint(5, 1, 1);
  desired.bindings[0].task_id = "task5";
  std::vector<std::string> steps;
  for (const Action& action : plan(desired, facts(), kernel).actions) {
    const std::string text = to_string(action);
    if (text.find("mesh_bindings") != std::string::npos || text.find("flow records") != std::string::npos) {
      steps.push_back(text);
    }
  }
  EXPECT_EQ(steps, (std::vector<std::string>{"delete from mesh_bindings", "remove flow records of 1 bindings",
                                             "write mesh_bindings"}));
}

// What a port's options point at is there before they are, and goes after them: nobody is let in meanwhile who should
// not be, and nobody kept out.
TEST(DataplanePlan, OptionsOfAPortComeAfterWhatTheyPointAtAndGoBefore) {
  Observed kernel;
  Desired desired = cluster(3);
  const auto steps = [&] {
    std::vector<std::string> texts;
    for (const Action& action : plan(desired, facts(), kernel).actions) {
      texts.push_back(to_string(action));
      track(kernel, action);
    }
    return texts;
  };
  const auto options = [&] {
    const std::string key = bytes_of(service_index(Protocol::kTcp, 8010));
    return value_of<mesh_service>(kernel[MapId::kServices].at(key)).options;
  };
  steps();
  EXPECT_EQ(options(), MESH_OPTIONS(MESH_SERVICE_READY, 0));
  PublishedPort& port = desired.ports[0];
  port.return_mode = ReturnMode::kDirect;
  port.affinity_seconds = 300;
  port.prefer_local = true;
  port.entry = false;
  port.addresses = {ip("192.168.7.11")};
  port.allow = {cidr("192.0.2.0/24"), cidr("2001:db8::/32")};
  EXPECT_EQ(steps(), (std::vector<std::string>{"write mesh_bound", "write mesh_allowed", "write mesh_allowed",
                                               "write mesh_locals", "write mesh_services"}));
  EXPECT_EQ(options(), MESH_OPTIONS(MESH_SERVICE_DIRECT | MESH_SERVICE_LOCAL | MESH_SERVICE_BOUND | MESH_SERVICE_ALLOW |
                                        MESH_SERVICE_NO_ENTRY | MESH_SERVICE_READY,
                                    300));
  const auto local = value_of<mesh_local>(kernel[MapId::kLocals].begin()->second);
  EXPECT_EQ(local.count, 1U) << "backends of other hosts are not preferred";
  EXPECT_EQ(local.binding[0], port.backends[0].binding);
  port.backends[0].state = EndpointState::kDraining;
  EXPECT_EQ(steps(), (std::vector<std::string>{"write mesh_backends", "delete from mesh_locals"}));
  desired.ports = cluster(3).ports;
  EXPECT_EQ(steps(), (std::vector<std::string>{"write mesh_backends", "write mesh_services", "delete from mesh_bound",
                                               "delete from mesh_allowed", "delete from mesh_allowed"}));
  EXPECT_EQ(options(), MESH_OPTIONS(MESH_SERVICE_READY, 0));
}

TEST(DataplanePlan, TooManyPrefixesOfClientsAreRefusedAndNobodyIsLetIn) {
  Desired desired = cluster(3);
  desired.ports[0].allow.assign(kAllowMax + 1, cidr("192.0.2.0/24"));
  const Plan refused = plan(desired, facts(), Observed());
  ASSERT_EQ(refused.problems.size(), 1U);
  EXPECT_THAT(refused.problems[0].message, HasSubstr("65 prefixes of clients are more than the 64"));
}

TEST(DataplanePlan, AWithdrawnTaskGoesFromEveryTable) {
  Observed kernel;
  Desired desired = cluster(1);
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  EXPECT_EQ(kernel[MapId::kEndpoints].size(), 1U);
  EXPECT_EQ(kernel[MapId::kEndpoints4].size(), 2U);
  EXPECT_EQ(kernel[MapId::kSources].size(), 3U);
  EXPECT_EQ(kernel[MapId::kMembers].size(), 2U);
  EXPECT_EQ(kernel[MapId::kNamespaces].size(), 1U);
  const Desired empty = cluster(0);
  for (const Action& action : plan(empty, facts(), kernel).actions) track(kernel, action);
  for (const MapId map : {MapId::kEndpoints, MapId::kEndpoints4, MapId::kSources, MapId::kMembers, MapId::kNamespaces,
                          MapId::kBindings, MapId::kBackends}) {
    EXPECT_THAT(kernel[map], IsEmpty()) << map_info(map).name;
  }
  // The port is still published, with nobody behind it: connections are refused, not lost.
  const auto service =
      value_of<mesh_service>(kernel[MapId::kServices].at(bytes_of(service_index(Protocol::kTcp, 8010))));
  EXPECT_TRUE(MESH_RING_IS_VALID(service.ring));
  EXPECT_EQ(ring_slots(kernel, service.ring), std::string(64, '\x7f'));
}

std::optional<mesh_former> former_of(const Observed& kernel, const IpAddress& address) {
  const auto row = kernel[MapId::kFormers].find(bytes_of(mesh_former_key{kUserVni, to_abi(address)}));
  if (row == kernel[MapId::kFormers].end()) return std::nullopt;
  return value_of<mesh_former>(row->second);
}

// Sockets that are connected to it are led on by its virtual IP, from the moment that its endpoint is gone.
TEST(DataplanePlan, WhoLeavesAVirtualIpIsRememberedUntilAnotherTaskHasItsAddress) {
  Observed kernel;
  Desired desired = cluster(4);
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  EXPECT_TRUE(kernel[MapId::kFormers].empty());
  const Endpoint gone = desired.endpoints[1];
  const IpAddress address = gone.addresses[2].address;
  const auto is_endpoint = [&](const IpAddress& one) {
    return kernel[MapId::kEndpoints4].contains(bytes_of(mesh_endpoint4_key{kUserVni, to_abi(one).word[3]}));
  };

  std::erase(desired.virtual_ips[0].backends, address);  // it drains
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  ASSERT_TRUE(former_of(kernel, address));
  EXPECT_EQ(from_abi(former_of(kernel, address)->vip), desired.virtual_ips[0].address);
  EXPECT_TRUE(is_endpoint(address));
  desired.endpoints.erase(desired.endpoints.begin() + 1);
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  EXPECT_TRUE(former_of(kernel, address));
  EXPECT_FALSE(is_endpoint(address));

  // The table of endpoints is made anew, larger: it is empty, and nobody in it is new.
  Observed anew = kernel;
  anew[MapId::kEndpoints4].clear();
  for (const Action& action : plan(desired, facts(), anew).actions) track(anew, action);
  EXPECT_TRUE(former_of(anew, address));

  // In one step, or after a restart: before its endpoint is gone.
  const IpAddress second = desired.endpoints[1].addresses[2].address;
  std::erase(desired.virtual_ips[0].backends, second);
  desired.endpoints.erase(desired.endpoints.begin() + 1);
  for (const Action& action : plan(desired, facts(), kernel).actions) {
    track(kernel, action);
    EXPECT_TRUE(is_endpoint(second) || former_of(kernel, second));
  }
  EXPECT_TRUE(former_of(kernel, second));

  Endpoint next = gone;
  next.task_id = "another";
  desired.endpoints.push_back(next);
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  EXPECT_FALSE(former_of(kernel, address));
  EXPECT_TRUE(former_of(kernel, second));
}

TEST(DataplanePlan, TheStateOfATaskIsInItsBindingsAndBackends) {
  Desired desired = cluster(1);
  desired.endpoints[0].state = EndpointState::kDraining;
  desired.ports[0].backends[0].state = EndpointState::kDraining;
  Observed kernel;
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  const auto binding = value_of<mesh_binding>(kernel[MapId::kBindings].at(bytes_of(std::uint32_t{1})));
  EXPECT_EQ(binding.state, MESH_STATE_DRAINING);
  EXPECT_EQ(binding.target_port, __builtin_bswap16(80));
  EXPECT_EQ(binding.published_port, __builtin_bswap16(8010));
  EXPECT_EQ(value_of<mesh_backend>(kernel[MapId::kBackends].begin()->second).state, MESH_STATE_DRAINING);
  EXPECT_EQ(kernel[MapId::kEndpoints4].size(), 2U) << "a draining task still answers";
}

TEST(DataplanePlan, OnlyTasksOfInternalNetworksMayNotLeave) {
  struct Case {
    const char* name;
    std::vector<std::uint32_t> networks;
    bool may_leave;
  };
  const Case cases[] = {{"no network of its own", {}, true},
                        {"an ordinary one", {kUserVni}, true},
                        {"an internal one", {kInternalVni}, false},
                        {"both", {kInternalVni, kUserVni}, true}};
  for (const Case& c : cases) {
    Desired desired = cluster(1);
    desired.networks.push_back({kInternalVni, cidr("10.2.0.0/24"), {}, true, false});
    desired.endpoints[0].addresses.resize(2);
    for (const std::uint32_t vni : c.networks) {
      desired.endpoints[0].addresses.push_back({vni, ip("10." + std::to_string(vni - 4096) + ".0.10")});
    }
    const Observed wanted = wanted_tables(desired, facts());
    for (const auto& [key, value] : wanted[MapId::kSources]) {
      const bool no_exit = (value_of<mesh_source>(value).flags & MESH_SOURCE_NO_EXIT) != 0;
      EXPECT_EQ(no_exit, !c.may_leave) << c.name;
    }
  }
}

TEST(DataplanePlan, NodesAreResolvedSelfOrNotReachable) {
  Desired desired = cluster(0);
  desired.nodes[2].next_hop = {};
  desired.nodes[2].mtu = 1400;
  const Observed wanted = wanted_tables(desired, facts());
  const auto node = [&](std::uint32_t number) {
    return value_of<mesh_node>(wanted[MapId::kNodes].at(bytes_of(number)));
  };
  EXPECT_EQ(node(1).flags, MESH_NODE_VALID | MESH_NODE_SELF);
  EXPECT_EQ(node(2).ifindex, 7U);
  EXPECT_EQ(node(2).inner_mtu, 1450);
  EXPECT_EQ(node(3).inner_mtu, 1350) << "the way there is narrower than the uplink";
  EXPECT_EQ(node(3).ifindex, 0U) << "without a next hop there is no way to it";
  const auto role = [&](const char* address) {
    return value_of<mesh_address_role>(wanted[MapId::kAddresses].at(bytes_of(to_abi(ip(address)))));
  };
  EXPECT_EQ(role("192.168.7.11").flags, MESH_ROLE_NODE | MESH_ROLE_SELF);
  EXPECT_EQ(role("fd07::11").flags, MESH_ROLE_NODE | MESH_ROLE_SELF);
  EXPECT_EQ(role("192.168.7.12").flags, MESH_ROLE_NODE);
  EXPECT_EQ(role("192.168.7.12").node, 2);
  EXPECT_EQ(role("10.0.0.1").flags, MESH_ROLE_GATEWAY);
  EXPECT_EQ(role("10.0.0.2").flags, MESH_ROLE_MESH);
}

TEST(DataplanePlan, WhatDoesNotFitIsNamedAndTheRestIsDone) {
  struct Case {
    const char* message;
    void (*spoil)(PublishedPort&);
  };
  const Case cases[] = {
      {"more than the 127", [](PublishedPort& p) { p.backends.resize(128); }},
      {"power of two", [](PublishedPort& p) { p.ring.owners.resize(100); }},
      {"at most 13", [](PublishedPort& p) { p.ring.foreign[3].resize(14); }},
  };
  for (const Case& c : cases) {
    Desired desired = cluster(3);
    desired.ports.push_back(desired.ports[0]);
    desired.ports[1].port = 80;
    c.spoil(desired.ports[1]);
    Observed kernel;
    const Plan first = plan(desired, facts(), kernel);
    ASSERT_EQ(first.problems.size(), 1U) << c.message;
    EXPECT_THAT(first.problems[0].message, HasSubstr(c.message));
    EXPECT_EQ(first.problems[0].port, 80);
    for (const Action& action : first.actions) track(kernel, action);
    EXPECT_EQ(kernel[MapId::kServices].size(), 1U);
  }
}

TEST(DataplanePlan, ANodeBehindAnIPv6UnderlayIsNamed) {
  Desired desired = cluster(1);
  desired.nodes[1].address = ip("fd07::12");
  const Plan first = plan(desired, facts(), {});
  ASSERT_EQ(first.problems.size(), 1U);
  EXPECT_EQ(first.problems[0].subject, "node 2");
  EXPECT_THAT(first.problems[0].message, HasSubstr("--advertise-addr"));
}

TEST(DataplaneLayout, ManyPortsFillTheTablesAndSayWhenTheyAreFull) {
  struct Case {
    int backends;
    std::uint32_t ports;  // that fit
    const char* limit;
  };
  const Case cases[] = {
      {10, MESH_RING_CHUNKS_MAX / 4, "MESH_RING_CHUNKS_MAX"},
      {20, MESH_BACKENDS_MAX / 20, "MESH_BACKENDS_MAX"},
  };
  EXPECT_GE(cases[0].ports, 10000U);
  for (const Case& c : cases) {
    Desired desired = cluster(c.backends);
    const PublishedPort first = desired.ports[0];
    desired.ports.clear();
    for (std::uint32_t number = 0; number < c.ports + 100; ++number) {
      PublishedPort port = first;
      port.port = static_cast<std::uint16_t>(1000 + number);
      desired.ports.push_back(port);
    }
    const Layout layout = lay_out(desired, {});
    EXPECT_EQ(layout.tables[MapId::kServices].size(), c.ports);
    ASSERT_EQ(layout.problems.size(), 100U);
    EXPECT_THAT(layout.problems[0].message, HasSubstr(c.limit));
  }
}

// Two rings of a port at once need twice the room.
TEST(DataplaneLayout, WithoutRoomForNewRingsThePortsKeepTheirOldOnesUntilThereIs) {
  Desired desired = cluster(3);
  const PublishedPort first = desired.ports[0];
  desired.ports.clear();
  constexpr std::uint32_t kPorts = 9000, kRings = MESH_RING_CHUNKS_MAX / 4;
  for (std::uint32_t number = 0; number < kPorts; ++number) {
    desired.ports.push_back(first);
    desired.ports.back().port = static_cast<std::uint16_t>(1000 + number);
    desired.ports.back().ring.foreign[7] = {2};
    desired.ports.back().ring.previous[7] = 1;
  }
  Observed kernel;
  for (const Action& action : plan(desired, facts(), kernel).actions) track(kernel, action);
  for (PublishedPort& port : desired.ports) port.ring = round_ring(2, {2, 1, 0});
  const std::size_t waiting[] = {kPorts - (kRings - kPorts), kPorts - 2 * (kRings - kPorts), 0};
  for (const std::size_t count : waiting) {
    const Plan some = plan(desired, facts(), kernel);
    EXPECT_THAT(some.problems, IsEmpty());
    ASSERT_EQ(some.waiting.size(), count);
    for (const Action& action : some.actions) track(kernel, action);
    const std::size_t rows = kernel[MapId::kRows].size();
    EXPECT_EQ(rows, count) << "an old ring's memory stays with it";
    EXPECT_EQ(kernel[MapId::kServices].size(), kPorts);
  }
  EXPECT_EQ(describe(plan(desired, facts(), kernel).actions), "");
}

}  // namespace
}  // namespace mesh::dataplane
