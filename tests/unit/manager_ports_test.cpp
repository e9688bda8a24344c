// Published ports, rings and draining, one scenario each, in virtual time.
#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/manager/backend_limit.h"
#include "control/manager/drain.h"
#include "control/manager/manager.h"
#include "control/manager/rings.h"
#include "tests/unit/manager_scenario.h"

namespace mesh::manager::lab {
namespace {

TEST_F(ManagerTest, PublishingReplacesNoTask) {
  const std::string web = lab_.create("web", 3);
  converge(web);
  const auto before = ids(web);
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { publish(spec, 8010); }));
  ASSERT_TRUE(lab_.run_until([&] { return lab_.view().ports().size() == 1 && port(web).owners.size() == 256; }));
  for (const model::Task* task : lab_.running(web)) {
    ASSERT_EQ(task->mesh.bindings.size(), 1U);
    EXPECT_NE(task->mesh.bindings[0].index, 0);
    EXPECT_EQ(lab_.hosts().at(task->node_id).tasks.at(task->id).told.mesh.bindings, task->mesh.bindings);
  }
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { spec.endpoint_spec->ports[0].target_port = 8080; }));
  lab_.run_for(seconds(2));
  EXPECT_EQ(port(web).target, 8080);
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { spec.endpoint_spec->ports.clear(); }));
  lab_.run_for(seconds(2));
  EXPECT_TRUE(lab_.view().ports().empty());
  EXPECT_TRUE(lab_.running(web)[0]->mesh.bindings.empty());
  EXPECT_EQ(ids(web), before);
  EXPECT_EQ(update_state(web), std::nullopt);
}

TEST_F(ManagerTest, ABackendOwnsSlotsOnlyWhenEveryHostKnowsIt) {
  lab_.acknowledge_min = lab_.acknowledge_max = milliseconds(700);
  const std::string web = lab_.create("web", 1, [](auto& spec) { publish(spec, 8010); });
  ASSERT_TRUE(lab_.run_until([&] { return lab_.running(web).size() == 1; }));
  const Time running = lab_.now();
  ASSERT_TRUE(lab_.run_until([&] { return !port(web).backends.empty(); }));
  EXPECT_TRUE(port(web).owners.empty());
  ASSERT_TRUE(lab_.run_until([&] { return !port(web).owners.empty(); }));
  EXPECT_GE(lab_.now() - running, milliseconds(700));
  EXPECT_LE(lab_.now() - running, seconds(3));
  EXPECT_EQ(port(web).ring_version, 1U);
}

TEST_F(ManagerTest, AMuteHostHoldsUpForFiveSecondsOnly) {
  const std::string web = lab_.create("web", 2, [](auto& spec) { publish(spec, 8010); });
  converge(web);
  ASSERT_TRUE(lab_.run_until([&] { return port(web).ring_version > 0; }));
  lab_.run_for(seconds(10));
  lab_.hosts().at("node3").mute = true;
  const std::string victim = lab_.running(web)[1]->id;
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { spec.mode.replicated->replicas = 1; }));
  lab_.tick();
  const Time asked = lab_.now();
  const std::string gone = lab_.running(web)[0]->id == victim ? "" : victim;
  const auto told_to_stop = [&] {
    return std::ranges::any_of(lab_.view().tasks_of_service(web), [](const auto* t) {
      return t->desired_state == TaskState::kRemove && t->mesh.stop_allowed;
    });
  };
  ASSERT_TRUE(lab_.run_until(told_to_stop)) << lab_.describe(web) << gone;
  EXPECT_GE(lab_.now() - asked, seconds(5));
  EXPECT_LE(lab_.now() - asked, seconds(6));
}

TEST_F(ManagerTest, DrainsBeforeStopping) {
  lab_.acknowledge_min = lab_.acknowledge_max = milliseconds(500);
  const std::string web = lab_.create("web", 2, [](auto& spec) { publish(spec, 8010); });
  converge(web);
  lab_.run_for(seconds(5));
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { spec.mode.replicated->replicas = 1; }));
  lab_.tick();
  const auto tasks = lab_.view().tasks_of_service(web);
  const auto leaving =
      std::ranges::find_if(tasks, [](const auto* t) { return t->desired_state == TaskState::kRemove; });
  ASSERT_NE(leaving, tasks.end());
  const model::Task task = **leaving;
  EXPECT_EQ(task.mesh.endpoint, EndpointState::kDraining);
  EXPECT_EQ(told_state(task), TaskState::kRunning) << "its host is told later";
  for (const model::EndpointRow& row : lab_.manager().tables().endpoints) {
    EXPECT_EQ(row.serving, row.task_id != task.id);
  }
  const auto& backends = port(web).backends;
  const auto index = std::ranges::find(backends, task.id, &model::BackendRow::task_id) - backends.begin();
  EXPECT_EQ(std::ranges::count(port(web).owners, static_cast<std::uint8_t>(index)), 0);
  EXPECT_FALSE(ring_of(port(web)).foreign.empty()) << "its flows live on";
  ASSERT_TRUE(lab_.run_until([&] { return told_state(*lab_.view().task(task.id)) == TaskState::kRemove; }));
  ASSERT_TRUE(lab_.run_until([&] { return lab_.view().task(task.id) == nullptr; }));
  lab_.run_for(seconds(12));
  EXPECT_TRUE(ring_of(port(web)).foreign.empty()) << "hosts said that they hold nothing there";
}

// ---- what is given back passes to another owner only when no live host holds it for the old one

class PassingOn : public ManagerTest {
 protected:
  // "web" publishes 8010 on network "net"; hosts take 700 ms for every table.
  void SetUp() override {
    lab_.on_step = [this](const Step&) { EXPECT_EQ(lab_.passed_on_early(), ""); };
    ASSERT_TRUE(lab_.manager().create_network({.name = "net"}, lab_.now()));
    web_ = create("web");
    converge(web_);
    lab_.run_for(seconds(10));
    lab_.acknowledge_min = lab_.acknowledge_max = milliseconds(700);
  }
  std::string create(const std::string& name) {
    return lab_.create(name, 2, [](auto& spec) {
      publish(spec, 8010);
      spec.task_template.networks.push_back({.target = "net"});
    });
  }
  std::string vip(const std::string& service) { return lab_.view().service(service)->endpoint.virtual_ips.at(0).addr; }
  bool is_published(const std::string& service) {
    const auto& rows = lab_.manager().tables().services;
    const auto row = std::ranges::find(rows, service, &model::ServiceRow::id);
    return row != rows.end() && !row->ports.empty();
  }
  std::string web_;
};

TEST_F(PassingOn, APortAndAVirtualIp) {
  const std::string old_vip = vip(web_);
  ASSERT_TRUE(lab_.manager().remove_service(web_, lab_.now()));
  const Time removed = lab_.now();
  const std::string other = create("other");
  EXPECT_EQ(lab_.view().service(other)->endpoint.ports.at(0).published_port, 8010) << "promised at once";
  EXPECT_NE(vip(other), old_vip);
  lab_.tick();
  EXPECT_FALSE(is_published(other));
  ASSERT_TRUE(lab_.run_until([&] { return is_published(other); }, seconds(10)));
  EXPECT_GE(lab_.now() - removed, milliseconds(700));
  EXPECT_LE(lab_.now() - removed, seconds(1));
  converge(other);
  EXPECT_TRUE(lab_.run_until([&] { return lab_.view().withdrawn().empty(); }));
}

TEST_F(PassingOn, AMuteHostIsWaitedForFiveSeconds) {
  lab_.hosts().at("node3").mute = true;
  ASSERT_TRUE(lab_.manager().remove_service(web_, lab_.now()));
  const Time removed = lab_.now();
  const std::string other = create("other");
  ASSERT_TRUE(lab_.run_until([&] { return is_published(other); }, seconds(20)));
  EXPECT_GE(lab_.now() - removed, seconds(5));
  EXPECT_LE(lab_.now() - removed, seconds(6));
}

TEST_F(PassingOn, AManagerThatStartsKnowsWhatHostsMayHold) {
  ASSERT_TRUE(lab_.manager().remove_service(web_, lab_.now()));
  const Time removed = lab_.now();
  lab_.restart_manager();
  const std::string other = create("other");
  lab_.tick();
  EXPECT_FALSE(is_published(other));
  ASSERT_TRUE(lab_.run_until([&] { return is_published(other); }, seconds(10)));
  EXPECT_GE(lab_.now() - removed, milliseconds(700));
  converge(other);
}

TEST_F(PassingOn, AHostWithoutASessionMayComeBackWithOldTables) {
  lab_.disconnect("node3");
  ASSERT_TRUE(lab_.manager().remove_service(web_, lab_.now()));
  const Time removed = lab_.now();
  const std::string other = create("other");
  lab_.run_for(seconds(2));
  EXPECT_FALSE(is_published(other));
  lab_.connect("node3");
  ASSERT_TRUE(lab_.run_until([&] { return is_published(other); }, seconds(10)));
  EXPECT_GE(lab_.now() - removed, milliseconds(2700));
  EXPECT_LE(lab_.now() - removed, seconds(3));
}

TEST_F(PassingOn, APortThatComesBackToItsService) {
  const model::PortRow before = port(web_);
  ASSERT_TRUE(lab_.update(web_, [](auto& spec) { spec.endpoint_spec->ports.clear(); }));
  ASSERT_TRUE(lab_.update(web_, [](auto& spec) { publish(spec, 8010); }));
  lab_.tick();
  EXPECT_EQ(port(web_).owners, before.owners) << "no host was told that it had gone";
  EXPECT_TRUE(lab_.view().withdrawn().empty());
  ASSERT_TRUE(lab_.update(web_, [](auto& spec) { spec.endpoint_spec->ports.clear(); }));
  lab_.tick();
  ASSERT_TRUE(lab_.update(web_, [](auto& spec) { publish(spec, 8010); }));
  lab_.tick();
  EXPECT_FALSE(is_published(web_));
  EXPECT_TRUE(lab_.run_until([&] { return is_published(web_); }, seconds(1)));
}

TEST_F(PassingOn, AddressesOfANodeThatWasRemoved) {
  lab_.cut("node2");
  ASSERT_TRUE(lab_.run_until([&] { return lab_.view().node("node2")->status.state == model::NodeState::kDown; }));
  lab_.hosts().at("node2").up = false;
  std::set<std::string> old;
  for (const model::Task* task : lab_.view().tasks_of_node("node2")) {
    if (!task->mesh.ingress_v4.is_unset()) old.insert(task->mesh.ingress_v4.to_string());
  }
  ASSERT_FALSE(old.empty());
  ASSERT_TRUE(lab_.manager().remove_node("node2", true, lab_.now()));
  lab_.tick();
  for (const std::string& address : old) EXPECT_NE(lab_.view().withdrawn("address/" + address), nullptr) << address;
  EXPECT_TRUE(lab_.run_until([&] { return lab_.view().withdrawn().empty(); }, seconds(10)));
}

TEST_F(PassingOn, TheLastAddressAndTheNumberOfANetwork) {
  Manager& manager = lab_.manager();
  model::Network small{.name = "small"};
  small.ipam.config.push_back({.subnet = "10.9.0.0/29"});
  ASSERT_TRUE(manager.create_network(small, lab_.now()));
  std::vector<std::string> services;
  const auto spec_of = [](const std::string& name) {
    model::ServiceSpec spec;
    spec.name = name;
    spec.task_template.container_spec.emplace().image = "image:1";
    spec.task_template.networks.push_back({.target = "small"});
    spec.mode.replicated.emplace().replicas = 0;
    return spec;
  };
  for (const char* name : {"a", "b", "c", "d"}) {
    const auto made = manager.create_service(spec_of(name), lab_.now());
    ASSERT_TRUE(made) << made.error().message;
    services.push_back(*made);
  }
  lab_.tick();
  lab_.run_for(seconds(2));
  const std::string last = vip(services[3]);
  ASSERT_TRUE(manager.remove_service(services[3], lab_.now()));
  EXPECT_EQ(manager.create_service(spec_of("e"), lab_.now()).error().kind, ErrorKind::kExhausted);
  lab_.tick();
  lab_.run_for(seconds(1));
  const auto made = manager.create_service(spec_of("e"), lab_.now());
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(vip(*made), last);

  const auto vni = [&](const std::string& id) { return lab_.view().network(id)->mesh->vni; };
  const auto first = manager.create_network({.name = "first"}, lab_.now());
  ASSERT_TRUE(first);
  lab_.tick();
  const std::uint32_t number = vni(*first);
  ASSERT_TRUE(manager.remove_network(*first, lab_.now()));
  const auto second = manager.create_network({.name = "second"}, lab_.now());
  ASSERT_TRUE(second);
  EXPECT_NE(vni(*second), number);
  lab_.tick();
  EXPECT_TRUE(lab_.run_until([&] { return lab_.view().withdrawn().empty(); }, seconds(10)));
}

TEST_F(ManagerTest, RingsOutliveTheManager) {
  const std::string web = lab_.create("web", 3, [](auto& spec) { publish(spec, 8010); });
  converge(web);
  lab_.run_for(seconds(10));
  const model::PortRow before = port(web);
  const auto tables = lab_.manager().tables();
  const auto tasks = ids(web);
  lab_.restart_manager();
  lab_.run_for(seconds(60));
  EXPECT_EQ(port(web).owners, before.owners);
  EXPECT_EQ(port(web).ring_version, before.ring_version);
  EXPECT_EQ(ids(web), tasks);
  EXPECT_GT(lab_.manager().tables().version.epoch, tables.version.epoch);
}

TEST_F(ManagerTest, NodesAreUnknownUntilHeardAgain) {
  const std::string web = lab_.create("web", 3);
  converge(web);
  for (auto& [id, host] : lab_.hosts()) lab_.disconnect(id);
  lab_.restart_manager();
  lab_.run_for(seconds(29));
  EXPECT_EQ(lab_.view().node("node2")->status.state, model::NodeState::kUnknown);
  EXPECT_EQ(lab_.running(web).size(), 3U) << "they keep their tasks";
  lab_.connect("node2");
  lab_.run_for(seconds(3));
  EXPECT_EQ(lab_.view().node("node1")->status.state, model::NodeState::kDown);
  EXPECT_EQ(lab_.view().node("node2")->status.state, model::NodeState::kReady);
}

// ---- more tasks than a published port has places for

TEST_F(ManagerTest, TasksBeyondTheBackendsOfAPortAreNamed) {
  const std::string web = lab_.create("web", 130, [](auto& spec) { publish(spec, 8010); });
  EXPECT_THAT(backend_limit_warnings(lab_.view(), lab_.view().service(web)->spec),
              testing::ElementsAre(testing::AllOf(HasSubstr("8010/tcp"), HasSubstr("127"), HasSubstr("the other 3"))));
  converge(web);
  ASSERT_TRUE(lab_.run_until([&] { return port(web).backends.size() == 127; }));
  EXPECT_THAT(backend_limit_problems(lab_.view()),
              testing::ElementsAre(testing::AllOf(HasSubstr("8010/tcp"), HasSubstr("3 running tasks of service web"))));
  // Places that become free are taken by those who had none.
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { spec.mode.replicated->replicas = 126; }));
  ASSERT_TRUE(lab_.run_until([&] {
    const auto& backends = port(web).backends;
    const auto all = lab_.running(web);
    return all.size() == 126 && std::ranges::all_of(all, [&](const model::Task* task) {
             return std::ranges::find(backends, task->id, &model::BackendRow::task_id) != backends.end();
           });
  }));
  EXPECT_TRUE(backend_limit_problems(lab_.view()).empty());
  EXPECT_TRUE(backend_limit_warnings(lab_.view(), lab_.view().service(web)->spec).empty());
}

// A clock that jumps, or a manager that was stopped for a while, is no reason to give up nodes.
TEST_F(ManagerTest, ClockJumpsAreForgiven) {
  lab_.run_for(seconds(12));
  const Time later = lab_.now() + std::chrono::hours(3);
  ASSERT_TRUE(lab_.manager().tick(later));
  for (const auto& [id, node] : lab_.view().nodes()) EXPECT_EQ(node->status.state, model::NodeState::kReady) << id;
  ASSERT_TRUE(lab_.manager().tick(later - std::chrono::hours(9)));
  for (const auto& [id, node] : lab_.view().nodes()) EXPECT_EQ(node->status.state, model::NodeState::kReady) << id;
}

}  // namespace
}  // namespace mesh::manager::lab
