// What a service asks of the mesh by labels, through the manager: what reaches the hosts' tables, and how rings follow
// weights. Virtual time.
#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/manager/manager.h"
#include "control/manager/port_options.h"
#include "control/manager/rings.h"
#include "tests/unit/manager_scenario.h"

namespace mesh::manager::lab {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class MeshOptionsTest : public ManagerTest {
 protected:
  std::string create(const model::Labels& labels, std::uint64_t replicas = 3) {
    const std::string id = lab_.create("web", replicas, [&](auto& spec) {
      publish(spec, 8010);
      spec.labels = labels;
    });
    converge(id);
    settle();
    return id;
  }
  void settle() { lab_.run_for(seconds(10)); }
  Status set_labels(const std::string& service, const model::Labels& labels) {
    return lab_.update(service, [&](auto& spec) { spec.labels = labels; });
  }
  // As the kernel of a host was told it.
  const model::PortRow& held(const std::string& service, const std::string& host = "node2") {
    const auto& rows = lab_.hosts().at(host).tables.services;
    return std::ranges::find(rows, service, &model::ServiceRow::id)->ports.at(0);
  }
  std::uint16_t number(const std::string& node) { return lab_.view().node(node)->mesh->number; }
  // Node -> slots that its backends own.
  std::map<std::string, std::size_t> shares(const std::string& service) {
    std::map<std::string, std::size_t> count;
    const model::PortRow& row = port(service);
    for (const std::uint8_t owner : row.owners) {
      for (const auto& [id, node] : lab_.view().nodes()) {
        if (node->mesh->number == row.backends.at(owner).node) ++count[id];
      }
    }
    return count;
  }
};

std::size_t slots_of(const Bytes& owners, std::uint8_t owner) {
  return static_cast<std::size_t>(std::ranges::count(owners, owner));
}

// No slot moved but from backends that own fewer now, and of theirs only the difference.
void expect_minimal_movement(const Bytes& before, const Bytes& after) {
  ASSERT_EQ(before.size(), after.size());
  std::size_t moved = 0, given_up = 0;
  for (std::size_t i = 0; i < before.size(); ++i) moved += before[i] != after[i] ? 1 : 0;
  for (unsigned int owner = 0; owner < dataplane::kBackendsMax; ++owner) {
    const std::size_t had = slots_of(before, static_cast<std::uint8_t>(owner));
    given_up += had - std::min(had, slots_of(after, static_cast<std::uint8_t>(owner)));
  }
  EXPECT_EQ(moved, given_up);
}

TEST_F(MeshOptionsTest, ReachTheHostsAndReplaceNoTask) {
  const std::string web = create({});
  const auto before = ids(web);
  const Bytes owners = port(web).owners;
  const model::PortRow plain = held(web);
  ASSERT_TRUE(set_labels(web, {{"mesh.return", "dsr"},
                               {"mesh.affinity", "client-ip:10m"},
                               {"mesh.port.8010/tcp.allow", "192.0.2.0/24"},
                               {"mesh.port.8010/tcp.address", "192.168.0.1"},
                               {"mesh.port.8020/tcp.allow", "10.0.0.1"}}));
  settle();
  EXPECT_EQ(held(web).return_mode, model::ReturnMode::kDsr);
  EXPECT_EQ(held(web).affinity_seconds, 600U);
  EXPECT_THAT(held(web).allow, ElementsAre(*Cidr::parse("192.0.2.0/24")));
  EXPECT_THAT(held(web).addresses, ElementsAre(*IpAddress::parse("192.168.0.1")));
  EXPECT_FALSE(held(web).entry_nodes);
  ASSERT_TRUE(set_labels(web, {{"mesh.prefer", "local"}}));
  settle();
  EXPECT_TRUE(held(web).prefer_local);
  EXPECT_THAT(held(web).allow, IsEmpty());
  ASSERT_TRUE(set_labels(web, {}));
  settle();
  EXPECT_EQ(held(web), plain);
  EXPECT_EQ(port(web).owners, owners);
  EXPECT_EQ(ids(web), before);
  EXPECT_EQ(update_state(web), std::nullopt);
}

TEST_F(MeshOptionsTest, NodesThatAnswerFollowTheirLabels) {
  const std::string web = create({{"mesh.port.8010/tcp.on", "node.labels.edge==true,node.hostname!=node1"}});
  const auto before = ids(web);
  EXPECT_EQ(held(web).entry_nodes, std::vector<std::uint16_t>{}) << "nobody has the label";
  EXPECT_THAT(option_problems(lab_.view()), ElementsAre(HasSubstr("8010/tcp of service web is answered nowhere")));
  for (const char* node : {"node1", "node3"}) ASSERT_TRUE(lab_.set_label(node, "edge", "true"));
  settle();
  EXPECT_EQ(held(web).entry_nodes, std::vector{number("node3")});
  EXPECT_THAT(option_problems(lab_.view()), IsEmpty());
  EXPECT_TRUE(answers(*lab_.view().node("node3"), port(web)));
  EXPECT_FALSE(answers(*lab_.view().node("node1"), port(web)));
  EXPECT_EQ(shares(web).size(), 3U) << "the others still hold backends";
  ASSERT_TRUE(lab_.set_label("node3", "edge", "false"));
  settle();
  EXPECT_EQ(held(web).entry_nodes, std::vector<std::uint16_t>{});
  EXPECT_EQ(ids(web), before);
}

TEST_F(MeshOptionsTest, HostModeIsAnsweredWhereItsTasksRun) {
  const auto on_host = [&](const char* name, std::uint64_t replicas) {
    const std::string id = lab_.create(name, replicas, [&](auto& spec) {
      spec.endpoint_spec.emplace().ports = {
          {.target_port = 80, .published_port = 8080, .publish_mode = model::PublishMode::kHost}};
    });
    converge(id);
    settle();
    return id;
  };
  const auto hosts_of = [&](const std::string& service) {
    std::vector<std::uint16_t> numbers;
    for (const model::Task* task : lab_.view().tasks_of_service(service)) numbers.push_back(number(task->node_id));
    std::ranges::sort(numbers);
    return numbers;
  };
  const std::string two = on_host("two", 2);
  EXPECT_TRUE(held(two).host_mode);
  EXPECT_TRUE(held(two).prefer_local);
  EXPECT_EQ(hosts_of(two).size(), 2U);
  EXPECT_EQ(held(two).entry_nodes, hosts_of(two));

  const std::string one = on_host("one", 1);
  ASSERT_EQ(hosts_of(one).size(), 1U);
  EXPECT_EQ(held(one).entry_nodes, hosts_of(one));
  EXPECT_THAT(hosts_of(two), testing::Not(testing::Contains(hosts_of(one).front()))) << "the port is taken there";
  EXPECT_THAT(option_problems(lab_.view()), IsEmpty());

  ASSERT_TRUE(lab_.update(two, [](auto& spec) { spec.mode.replicated->replicas = 1; }));
  settle();
  EXPECT_EQ(held(two).entry_nodes->size(), 1U);
}

TEST_F(MeshOptionsTest, AWeightMovesOnlyWhatItMust) {
  const std::string web = create({{"mesh.weight", "capacity"}});
  const Bytes even = port(web).owners;
  const std::uint32_t version = port(web).ring_version;
  for (const auto& [node, slots] : shares(web)) EXPECT_NEAR(static_cast<double>(slots), 256.0 / 3, 1) << node;
  ASSERT_TRUE(lab_.set_label("node1", "capacity", "2"));
  settle();
  EXPECT_EQ(shares(web), (std::map<std::string, std::size_t>{{"node1", 128}, {"node2", 64}, {"node3", 64}}));
  EXPECT_EQ(held(web).owners, port(web).owners);
  expect_minimal_movement(even, port(web).owners);
  const std::uint32_t weighted = port(web).ring_version;
  EXPECT_GT(weighted, version);

  // What changes no weight changes no ring: other labels, the same proportions, a new manager.
  ASSERT_TRUE(lab_.set_label("node2", "zone", "a"));
  for (const auto& [node, weight] : {std::pair{"node1", "100"}, std::pair{"node2", "50"}, std::pair{"node3", "50"}}) {
    ASSERT_TRUE(lab_.set_label(node, "capacity", weight));
  }
  settle();
  lab_.restart_manager();
  settle();
  EXPECT_EQ(shares(web).at("node1"), 128U);
  EXPECT_EQ(port(web).owners.size(), 256U);
  EXPECT_EQ(port(web).ring_version, weighted);

  const Bytes before = port(web).owners;
  ASSERT_TRUE(set_labels(web, {}));
  settle();
  for (const auto& [node, slots] : shares(web)) EXPECT_NEAR(static_cast<double>(slots), 256.0 / 3, 1) << node;
  expect_minimal_movement(before, port(web).owners);
}

TEST_F(MeshOptionsTest, AWeightThatIsNoneCountsAsOneAndIsTold) {
  const std::string web = create({{"mesh.weight", "capacity"}});
  const std::uint32_t version = port(web).ring_version;
  EXPECT_THAT(option_problems(lab_.view()), IsEmpty());
  ASSERT_TRUE(lab_.set_label("node2", "capacity", "heavy"));
  settle();
  EXPECT_EQ(port(web).ring_version, version);
  EXPECT_THAT(
      option_problems(lab_.view()),
      ElementsAre("label capacity=\"heavy\" of node node2 counts as 1 for service web: a weight is a number from "
                  "1 to 100"));
}

// Random weights, backends that come and go: every ring has the shares of its weights and moved no more than it had to.
TEST_F(MeshOptionsTest, RingsFollowRandomWeights) {
  const std::string web = create({{"mesh.weight", "capacity"}}, 6);
  for (int round = 0; round < 20; ++round) {
    const std::string node = fmt::format("node{}", 1 + lab_.roll(3));
    ASSERT_TRUE(lab_.set_label(node, "capacity", std::to_string(1 + lab_.roll(9))));
    const Bytes before = port(web).owners;
    settle();
    const Bytes& after = port(web).owners;
    if (after.size() == before.size()) expect_minimal_movement(before, after);
    const auto weights = node_weights(lab_.view(), "capacity");
    const auto weight_of = [&](std::uint16_t host) { return weights.contains(host) ? weights.at(host) : 1.0; };
    double sum = 0;
    for (const model::BackendRow& backend : port(web).backends) sum += weight_of(backend.node);
    for (std::size_t i = 0; i < port(web).backends.size(); ++i) {
      const double share = static_cast<double>(after.size()) * weight_of(port(web).backends[i].node) / sum;
      EXPECT_NEAR(static_cast<double>(slots_of(after, static_cast<std::uint8_t>(i))), share, 1) << round;
    }
  }
}

TEST_F(MeshOptionsTest, RefusedWithTheLabelAndTheReason) {
  const std::string web = create({});
  const std::pair<model::Labels, const char*> table[] = {
      {{{"mesh.return", "both"}}, "label mesh.return=\"both\": write tunnel or dsr"},
      {{{"mesh.port.8010/tcp.on", "edge"}}, "label mesh.port.8010/tcp.on: constraint \"edge\" is not KEY==VALUE"},
      {{{"mesh.port.8010/tcp.on", "node.lables.edge==true"}}, "no node has node.lables.edge"},
  };
  for (const auto& [labels, says] : table) {
    const Status refused = set_labels(web, labels);
    ASSERT_FALSE(refused) << says;
    EXPECT_EQ(refused.error().kind, ErrorKind::kInvalid);
    EXPECT_THAT(refused.error().message, HasSubstr(says));
    model::ServiceSpec spec = lab_.view().service(web)->spec;
    spec.name = "other";
    spec.endpoint_spec.reset();
    spec.labels = labels;
    EXPECT_FALSE(lab_.manager().create_service(spec, lab_.now()));
  }
}

TEST_F(MeshOptionsTest, LocalPreferenceExcludesAnAddressOfSeveralHosts) {
  const std::string web = create({});
  const model::Labels labels{{"mesh.prefer", "local"}, {"mesh.port.8010/tcp.address", "192.168.0.1"}};
  EXPECT_TRUE(set_labels(web, labels)) << "an address of one host";
  ASSERT_TRUE(set_labels(web, {}));
  SessionStart start;
  start.description.hostname = "node3";
  start.address = *IpAddress::parse("192.168.0.2");
  start.addresses = {start.address, *IpAddress::parse("192.168.0.1")};
  ASSERT_TRUE(lab_.manager().session_opened("node3", start, lab_.now()));
  const Status refused = set_labels(web, labels);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("192.168.0.1 is an address of node2 and node3"));
}

TEST_F(MeshOptionsTest, WhatHasNoEffectIsWarnedOf) {
  model::ServiceSpec spec;
  publish(spec, 8010);
  const std::pair<model::Labels, const char*> table[] = {
      {{{"mesh.return", "dsr"}}, ""},
      {{{"mesh.port.8010/tcp.allow", "10.0.0.1"}}, ""},
      {{{"mesh.port.8010/tcp.address", "192.168.0.1"}}, ""},
      {{{"mesh.port.8010/tcp.on", "node.hostname==node2"}}, ""},
      {{{"mesh.port.8011/tcp.allow", "10.0.0.1"}}, "labels mesh.port.8011/tcp.* have no effect"},
      {{{"mesh.port.8010/udp.allow", "10.0.0.1"}}, "does not publish 8010/udp"},
      {{{"mesh.port.8010/tcp.address", "192.0.2.77"}}, "no node has the address 192.0.2.77 now"},
      {{{"mesh.port.8010/tcp.interface", "eth7"}}, "no node has the uplink eth7 now"},
      {{{"mesh.port.8010/tcp.on", "node.labels.edge==true"}}, "no node meets node.labels.edge==true now"},
  };
  for (const auto& [labels, says] : table) {
    spec.labels = labels;
    const auto warnings = port_option_warnings(lab_.view(), spec);
    if (*says == '\0') {
      EXPECT_THAT(warnings, IsEmpty());
    } else {
      EXPECT_THAT(warnings, ElementsAre(HasSubstr(says)));
    }
  }
  spec.endpoint_spec->ports[0].published_port = 0;
  spec.labels = {{"mesh.port.30000/tcp.allow", "10.0.0.1"}};
  EXPECT_THAT(port_option_warnings(lab_.view(), spec), IsEmpty()) << "the cluster may choose this number";
}

}  // namespace
}  // namespace mesh::manager::lab
