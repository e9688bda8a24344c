// What a user sees of the manager, one scenario each, in virtual time: services, restarts, nodes, sessions, refusals.
#include "control/manager/manager.h"

#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/manager/liveness.h"
#include "tests/unit/manager_scenario.h"

namespace mesh::manager::lab {
namespace {

// ---- creating, scaling, removing

TEST_F(ManagerTest, SpreadsReplicasOverNodes) {
  const std::string web = lab_.create("web", 6);
  converge(web);
  std::map<std::string, int> per_node;
  for (const model::Task* task : lab_.running(web)) ++per_node[task->node_id];
  EXPECT_THAT(per_node, testing::UnorderedElementsAre(testing::Pair("node1", 2), testing::Pair("node2", 2),
                                                      testing::Pair("node3", 2)));
  const model::Task& task = *lab_.running(web).front();
  EXPECT_EQ(task.mesh.name, fmt::format("web.{}", task.slot));
  EXPECT_EQ(task.mesh.container_name, fmt::format("web.{}.{}", task.slot, task.id));
  EXPECT_TRUE(Cidr::parse("10.0.0.0/16")->contains(task.mesh.ingress_v4));
  EXPECT_FALSE(task.mesh.ingress_v6.is_unset());
}

TEST_F(ManagerTest, ScalesUpAndDownWithoutTouchingTheOthers) {
  const std::string web = lab_.create("web", 3);
  converge(web);
  const auto before = ids(web);
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { spec.mode.replicated->replicas = 6; }));
  converge(web);
  EXPECT_THAT(ids(web), testing::IsSupersetOf(before));
  EXPECT_EQ(update_state(web), std::nullopt) << "scaling is no update";
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { spec.mode.replicated->replicas = 2; }));
  ASSERT_TRUE(lab_.run_until([&] { return lab_.view().tasks_of_service(web).size() == 2; })) << lab_.describe(web);
  std::set<std::uint64_t> slots;
  std::set<std::string> nodes;
  for (const model::Task* task : lab_.running(web)) {
    slots.insert(task->slot);
    nodes.insert(task->node_id);
  }
  EXPECT_EQ(nodes.size(), 2U) << "the nodes with most copies give theirs up first";
}

TEST_F(ManagerTest, RemovingAServiceRemovesItsTasks) {
  const std::string web = lab_.create("web", 3, [](auto& spec) { publish(spec, 8010); });
  converge(web);
  ASSERT_TRUE(lab_.manager().remove_service(web, lab_.now()));
  lab_.tick();
  EXPECT_TRUE(lab_.manager().tables().services.empty());
  EXPECT_TRUE(lab_.view().ports().empty());
  ASSERT_TRUE(lab_.run_until([&] { return lab_.view().tasks().empty(); })) << lab_.describe(web);
  EXPECT_TRUE(lab_.run_until([&] { return lab_.running_on_hosts(web).empty(); }));
  EXPECT_EQ(lab_.manager().remove_service(web, lab_.now()).error().kind, ErrorKind::kNotFound);
}

TEST_F(ManagerTest, GlobalServicesHaveOneTaskPerNode) {
  const std::string agent = lab_.create("agent", 0, [](auto& spec) {
    spec.mode.replicated.reset();
    spec.mode.global.emplace();
  });
  const auto nodes = [&] {
    std::multiset<std::string> result;
    for (const model::Task* task : lab_.running(agent)) result.insert(task->node_id);
    return result;
  };
  const auto are = [&](std::multiset<std::string> expected) {
    return lab_.run_until([&] { return nodes() == expected; });
  };
  EXPECT_TRUE(are({"node1", "node2", "node3"})) << lab_.describe(agent);
  lab_.add_host("node4");
  EXPECT_TRUE(are({"node1", "node2", "node3", "node4"})) << lab_.describe(agent);
  ASSERT_TRUE(lab_.set_availability("node2", model::Availability::kDrain));
  EXPECT_TRUE(are({"node1", "node3", "node4"})) << lab_.describe(agent);
  ASSERT_TRUE(lab_.set_availability("node2", model::Availability::kActive));
  EXPECT_TRUE(are({"node1", "node2", "node3", "node4"})) << lab_.describe(agent);
  lab_.crash_task(lab_.running(agent).front()->id);
  EXPECT_TRUE(lab_.run_until([&] { return nodes().size() == 3; }));
  EXPECT_TRUE(are({"node1", "node2", "node3", "node4"})) << lab_.describe(agent);
}

TEST_F(ManagerTest, PendingTasksExplainAndGoWhenTheyCan) {
  const std::string web = lab_.create(
      "web", 1, [](auto& spec) { spec.task_template.placement.emplace().constraints = {"node.labels.disk==ssd"}; });
  lab_.run_for(seconds(1));
  ASSERT_EQ(lab_.view().tasks_of_service(web).size(), 1U);
  EXPECT_EQ(lab_.view().tasks_of_service(web)[0]->status.state, TaskState::kPending);
  EXPECT_EQ(lab_.view().tasks_of_service(web)[0]->status.err,
            "no suitable node (scheduling constraints not satisfied on 3 nodes)");
  model::NodeSpec spec = lab_.view().node("node2")->spec;
  spec.labels["disk"] = "ssd";
  ASSERT_TRUE(lab_.manager().update_node("node2", lab_.view().node("node2")->version.index, spec, lab_.now()));
  lab_.tick();
  converge(web);
  EXPECT_EQ(lab_.running(web)[0]->node_id, "node2");
  // The label goes, and so does the task.
  spec.labels.clear();
  ASSERT_TRUE(lab_.manager().update_node("node2", lab_.view().node("node2")->version.index, spec, lab_.now()));
  lab_.tick();
  EXPECT_TRUE(lab_.run_until([&] { return lab_.running(web).empty() && lab_.running_on_hosts(web).empty(); }));
}

// ---- restarts

TEST_F(ManagerTest, RestartsAfterTheDelay) {
  const std::string web = lab_.create("web", 1);
  converge(web);
  const std::string old = lab_.running(web)[0]->id;
  lab_.crash_task(old);
  lab_.tick();
  const Time crashed = lab_.now();
  ASSERT_TRUE(lab_.run_until([&] { return lab_.view().tasks_of_service(web).size() == 2; }));
  converge(web);
  EXPECT_GE(lab_.now() - crashed, seconds(5));
  EXPECT_LE(lab_.now() - crashed, seconds(8));
  EXPECT_EQ(lab_.view().task(old)->status.state, TaskState::kFailed);
  EXPECT_EQ(lab_.view().task(old)->status.err, "task: non-zero exit (137)");
  EXPECT_EQ(lab_.view().task(old)->desired_state, TaskState::kShutdown);
  EXPECT_EQ(lab_.running(web)[0]->slot, 1U);
}

// The replacement's image is pulled while the delay runs, so it may be rejected long before its turn: the delay holds
// for what comes after it too.
TEST_F(ManagerTest, RejectedTasksAreReplacedOncePerDelay) {
  bool missing = true;
  lab_.rejects = [&](const model::Task&) { return missing; };
  const std::string web = lab_.create("web", 1);
  std::map<std::string, Time> made;
  const auto look = [&] {
    for (const model::Task* task : lab_.view().tasks_of_service(web)) made.emplace(task->id, task->created_at);
    return false;
  };
  lab_.run_until(look, seconds(61));
  std::vector<Time> times;
  for (const auto& [id, time] : made) times.push_back(time);
  std::ranges::sort(times);
  ASSERT_GE(times.size(), 11U) << lab_.describe(web);
  // The second is made when the first is rejected; it may run after the delay, and so may each one after it.
  for (std::size_t i = 2; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 1], seconds(5)) << i;
  missing = false;
  converge(web);
  EXPECT_LE(lab_.now() - times.back(), seconds(12)) << "tried again without an end";
  EXPECT_EQ(lab_.view().tasks_of_service(web).front()->status.err, "image not found");
}

struct RestartCase {
  const char* name;
  model::RestartCondition condition;
  std::uint64_t max_attempts;
  Duration window;
  std::int64_t exit_code;
  std::size_t tasks;  // ever made
};
class RestartPolicy : public testing::TestWithParam<RestartCase> {};

TEST_P(RestartPolicy, CountsAttempts) {
  Lab lab(1);
  const RestartCase& given = GetParam();
  const std::string web = lab.create("web", 1, [&](auto& spec) {
    auto& policy = spec.task_template.restart_policy.emplace();
    policy.condition = given.condition;
    policy.delay = seconds(1);
    if (given.max_attempts != 0) policy.max_attempts = given.max_attempts;
    if (given.window != Duration{}) policy.window = given.window;
  });
  std::set<std::string> made;
  for (int i = 0; i < 5; ++i) {
    lab.run_until([&] { return lab.converged(web); }, seconds(20));
    for (const model::Task* task : lab.view().tasks_of_service(web)) made.insert(task->id);
    if (!lab.running(web).empty()) lab.crash_task(lab.running(web)[0]->id, given.exit_code);
    lab.run_for(seconds(1));
  }
  EXPECT_EQ(made.size(), given.tasks) << lab.describe(web);
}
INSTANTIATE_TEST_SUITE_P(
    Table, RestartPolicy,
    testing::Values(RestartCase{"Any", model::RestartCondition::kAny, 0, {}, 0, 5},
                    RestartCase{"OnFailureAfterSuccess", model::RestartCondition::kOnFailure, 0, {}, 0, 1},
                    RestartCase{"OnFailureAfterFailure", model::RestartCondition::kOnFailure, 0, {}, 1, 5},
                    RestartCase{"None", model::RestartCondition::kNone, 0, {}, 1, 1},
                    RestartCase{"TwoAttempts", model::RestartCondition::kAny, 2, {}, 1, 3},
                    RestartCase{"TwoAttemptsInAnHour", model::RestartCondition::kAny, 2, std::chrono::hours(1), 1, 3},
                    RestartCase{"TwoAttemptsInASecond", model::RestartCondition::kAny, 2, seconds(1), 1, 5}),
    [](const auto& info) { return info.param.name; });

TEST_F(ManagerTest, KeepsFiveTasksPerSlot) {
  const std::string web =
      lab_.create("web", 1, [](auto& spec) { spec.task_template.restart_policy.emplace().delay = milliseconds(100); });
  for (int i = 0; i < 9; ++i) {
    converge(web);
    lab_.crash_task(lab_.running(web)[0]->id);
    lab_.tick();
  }
  converge(web);
  lab_.run_for(seconds(10));
  EXPECT_EQ(lab_.view().tasks_of_service(web).size(), 5U) << lab_.describe(web);
}

// ---- nodes

TEST_F(ManagerTest, ALostNodesTasksAreReplaced) {
  const std::string web = lab_.create("web", 3, [](auto& spec) { publish(spec, 8010); });
  converge(web);
  const Time lost = lab_.now();
  lab_.cut("node2");
  ASSERT_TRUE(lab_.run_until([&] { return lab_.view().node("node2")->status.state == model::NodeState::kDown; }));
  EXPECT_GE(lab_.now() - lost, seconds(10));
  EXPECT_LE(lab_.now() - lost, seconds(15));
  EXPECT_EQ(lab_.view().node("node2")->status.message, "heartbeat failure");
  ASSERT_TRUE(lab_.run_until([&] { return lab_.running(web).size() == 3; })) << lab_.describe(web);
  EXPECT_LE(lab_.now() - lost, seconds(23));
  for (const model::Task* task : lab_.running(web)) EXPECT_NE(task->node_id, "node2");
  for (const model::NodeRow& row : lab_.manager().tables().nodes) EXPECT_EQ(row.live, row.id != "node2");
  // The cut host runs on with its copy until it is back; then it is told to stop, and its addresses are free.
  EXPECT_EQ(lab_.running_on_hosts(web).size(), 4U);
  lab_.heal("node2");
  EXPECT_TRUE(lab_.run_until([&] { return lab_.converged(web); })) << lab_.describe(web);
  EXPECT_TRUE(lab_.run_until([&] { return lab_.manager().tables().endpoints.size() == 3; }));
}

TEST_F(ManagerTest, DrainMovesTasksPauseKeepsThem) {
  const std::string web = lab_.create("web", 3);
  converge(web);
  ASSERT_TRUE(lab_.set_availability("node1", model::Availability::kPause));
  lab_.run_for(seconds(10));
  EXPECT_TRUE(std::ranges::any_of(lab_.running(web), [](const auto* t) { return t->node_id == "node1"; }));
  ASSERT_TRUE(lab_.set_availability("node1", model::Availability::kDrain));
  EXPECT_TRUE(lab_.run_until(
      [&] {
        return lab_.converged(web) &&
               std::ranges::none_of(lab_.running(web), [](const auto* t) { return t->node_id == "node1"; });
      },
      seconds(4)))
      << "without the restart delay\n"
      << lab_.describe(web);
}

TEST_F(ManagerTest, RemovingNodes) {
  EXPECT_THAT(lab_.manager().remove_node("node1", true, lab_.now()).error().message, HasSubstr("is a cluster manager"));
  EXPECT_THAT(lab_.manager().remove_node("node2", false, lab_.now()).error().message,
              HasSubstr("is not down and can't be removed"));
  const std::string web = lab_.create("web", 3);
  converge(web);
  lab_.cut("node2");
  ASSERT_TRUE(lab_.manager().remove_node("node2", true, lab_.now()));
  lab_.tick();
  EXPECT_EQ(lab_.view().node("node2"), nullptr);
  EXPECT_THAT(lab_.view().cluster()->mesh->revoked_nodes, testing::ElementsAre("node2"));
  ASSERT_TRUE(lab_.run_until([&] { return lab_.running(web).size() == 3; })) << lab_.describe(web);
  EXPECT_TRUE(std::ranges::any_of(lab_.view().tasks_of_service(web),
                                  [](const auto* t) { return t->status.state == TaskState::kOrphaned; }));
  EXPECT_EQ(lab_.manager().session_opened("node2", {}, lab_.now()).error().kind, ErrorKind::kNotFound);
  model::NodeSpec spec = lab_.view().node("node1")->spec;
  spec.role = model::NodeRole::kWorker;
  EXPECT_EQ(
      lab_.manager().update_node("node1", lab_.view().node("node1")->version.index, spec, lab_.now()).error().message,
      "attempting to demote the last manager of the swarm");
}

TEST(Liveness, Table) {
  using model::NodeState;
  const Time start{seconds(1000)};
  const Duration period = seconds(5);
  const auto state = [&](NodeState before, Time last, Duration after) {
    return liveness(before, {last, start}, period, start + after).state;
  };
  const Time never{};
  EXPECT_EQ(state(NodeState::kReady, never, seconds(0)), NodeState::kUnknown);
  EXPECT_EQ(state(NodeState::kUnknown, never, milliseconds(29'999)), NodeState::kUnknown);
  EXPECT_EQ(state(NodeState::kUnknown, never, seconds(30)), NodeState::kDown);
  EXPECT_EQ(state(NodeState::kDown, never, seconds(0)), NodeState::kDown);
  EXPECT_EQ(state(NodeState::kDown, start, seconds(1)), NodeState::kReady);
  EXPECT_EQ(state(NodeState::kReady, start, milliseconds(14'999)), NodeState::kReady);
  EXPECT_EQ(state(NodeState::kReady, start, seconds(15)), NodeState::kDown);
  EXPECT_EQ(liveness(NodeState::kReady, {start, start}, period, start).until, start + seconds(15));
}

// ---- sessions

TEST_F(ManagerTest, ARepeatedSessionGetsOnlyWhatIsNew) {
  const std::string web = lab_.create("web", 3);
  converge(web);
  lab_.run_for(seconds(5));
  std::vector<Delivery> seen;
  lab_.on_step = [&](const Step& step) { seen.insert(seen.end(), step.deliveries.begin(), step.deliveries.end()); };
  lab_.disconnect("node2");
  lab_.connect("node2");
  lab_.tick();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].node_id, "node2");
  EXPECT_FALSE(seen[0].tables) << "it has the newest";
  ASSERT_TRUE(seen[0].assignments);
  EXPECT_EQ(seen[0].assignments->size(), 1U);
  seen.clear();
  lab_.tick();
  EXPECT_TRUE(seen.empty());
}

TEST_F(ManagerTest, ReportsNeverMoveATaskBack) {
  const std::string web = lab_.create("web", 1);
  converge(web);
  const std::string id = lab_.running(web)[0]->id;
  const std::string node = lab_.running(web)[0]->node_id;
  const auto say = [&](const std::string& from, TaskState state) {
    TaskReport report{id, {}};
    report.status.state = state;
    lab_.manager().report(from, {report}, lab_.now());
    lab_.tick();
    return lab_.view().task(id)->status.state;
  };
  EXPECT_EQ(say(node, TaskState::kPreparing), TaskState::kRunning);
  EXPECT_EQ(say(node, TaskState::kOrphaned), TaskState::kRunning) << "not for hosts to say";
  EXPECT_EQ(say(node == "node1" ? "node2" : "node1", TaskState::kFailed), TaskState::kRunning) << "not its host";
  EXPECT_EQ(say(node, TaskState::kFailed), TaskState::kFailed);
  EXPECT_EQ(say(node, TaskState::kRunning), TaskState::kFailed);
}

TEST_F(ManagerTest, NewNetworksKeepOffRoutesThatCameLater) {
  model::Network network;
  network.name = "back";
  network.driver = "overlay";
  network.ipam.config = {{.subnet = "10.77.0.0/24"}};
  lab_.manager().network("node2", {.connected = {*Cidr::parse("10.77.0.0/16")}}, lab_.now());
  const auto refused = lab_.manager().create_network(network, lab_.now());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("10.77.0.0/16"));
  const auto addresses = lab_.view().node("node2")->mesh->addresses;
  lab_.manager().network("node2", {}, lab_.now());
  EXPECT_TRUE(lab_.manager().create_network(network, lab_.now()));
  EXPECT_EQ(lab_.view().node("node2")->mesh->addresses, addresses) << "they were not told";
}

// As Swarm takes it out of the balancer before it stops it.
TEST_F(ManagerTest, UnhealthyTasksAreDrainedBeforeTheirHostMayStopThem) {
  const std::string web = lab_.create("web", 2, [](auto& spec) { publish(spec, 8010); });
  converge(web);
  const std::string id = lab_.running(web)[0]->id;
  const std::string node = lab_.running(web)[0]->node_id;
  const auto told = [&]() -> const model::Task& { return lab_.hosts().at(node).tasks.at(id).told; };
  const auto row = [&](const model::EndpointTables& tables) {
    return *std::ranges::find(tables.endpoints, id, &model::EndpointRow::task_id);
  };
  const auto slots = [&](const model::EndpointTables& tables) {
    const model::PortRow& port = tables.services.at(0).ports.at(0);
    const auto backend = std::ranges::find(port.backends, id, &model::BackendRow::task_id);
    return std::ranges::count(port.owners, static_cast<std::uint8_t>(backend - port.backends.begin()));
  };
  ASSERT_TRUE(lab_.run_until([&] {
    return std::ranges::all_of(lab_.hosts(), [&](const auto& host) { return slots(host.second.tables) > 0; });
  })) << "it serves";
  TaskReport report{id, lab_.view().task(id)->status, true};
  lab_.manager().report(node, {report}, lab_.now());
  lab_.tick();
  EXPECT_FALSE(told().mesh.stop_allowed) << "nobody knows yet that it drains";
  ASSERT_TRUE(lab_.run_until([&] { return told().mesh.stop_allowed; })) << lab_.describe(web);
  EXPECT_EQ(told().desired_state, TaskState::kRunning) << "its host reports why it ends";
  for (const auto& [host_id, host] : lab_.hosts()) {
    EXPECT_EQ(row(host.tables).state, model::EndpointState::kDraining) << host_id;
    EXPECT_FALSE(row(host.tables).serving) << host_id;
    EXPECT_EQ(slots(host.tables), 0) << host_id << " still sends new flows";
  }
  lab_.crash_task(id);
  converge(web);
  EXPECT_EQ(std::ranges::count(ids(web), id), 0);
}

// ---- what users get wrong

TEST_F(ManagerTest, RefusalsSayWhy) {
  Manager& manager = lab_.manager();
  const std::string web = lab_.create("web", 1, [](auto& spec) { publish(spec, 8010); });
  model::ServiceSpec spec = lab_.view().service(web)->spec;
  const auto refused = [&](const std::function<void(model::ServiceSpec&)>& adjust) {
    model::ServiceSpec other = spec;
    other.name = "other";
    adjust(other);
    const auto result = manager.create_service(other, lab_.now());
    return result ? "accepted" : result.error().message;
  };
  EXPECT_EQ(refused([](auto& s) { s.name = "web"; }),
            "name conflicts with an existing object: service web already exists");
  EXPECT_EQ(refused([](auto&) {}),
            fmt::format("port '8010' is already in use by service 'web' ({}) as an ingress port", web));
  EXPECT_EQ(refused([](auto& s) { s.task_template.networks = {{.target = "none"}}; }), "network none not found");
  EXPECT_THAT(refused([](auto& s) { s.task_template.networks = {{.target = "ingress"}}; }),
              HasSubstr("cannot be explicitly"));
  EXPECT_EQ(lab_.view().services().size(), 1U);

  const std::uint64_t version = lab_.view().service(web)->version.index;
  spec.mode.replicated->replicas = 2;
  EXPECT_EQ(manager.update_service(web, version - 1, spec, ServiceRollback::kNo, lab_.now()).error().kind,
            ErrorKind::kConflict);
  EXPECT_TRUE(manager.update_service(web, version, spec, ServiceRollback::kNo, lab_.now()));
  EXPECT_THAT(manager.update_service(web, version, spec, ServiceRollback::kNo, lab_.now()).error().message,
              HasSubstr("update out of sequence"));
  EXPECT_EQ(manager.init_cluster({}, {}, lab_.now()).error().kind, ErrorKind::kConflict);
}

TEST_F(ManagerTest, NetworksInUseStay) {
  Manager& manager = lab_.manager();
  const auto net = manager.create_network({.name = "net"}, lab_.now());
  ASSERT_TRUE(net);
  EXPECT_EQ(manager.create_network({.name = "net"}, lab_.now()).error().message,
            "network with name net already exists");
  const std::string web =
      lab_.create("web", 2, [](auto& spec) { spec.networks = {{.target = "net", .aliases = {"www"}}}; });
  converge(web);
  EXPECT_EQ(lab_.view().service(web)->spec.task_template.networks.at(0).target, *net) << "names become ids";
  EXPECT_THAT(manager.remove_network(*net, lab_.now()).error().message, HasSubstr("in use by service web"));
  const model::ServiceRow& row = manager.tables().services.at(0);
  ASSERT_EQ(row.virtual_ips.size(), 1U);
  EXPECT_THAT(row.virtual_ips[0].aliases, testing::ElementsAre("www"));
  EXPECT_EQ(row.virtual_ips[0].v4.to_string(), "10.1.0.3");
  EXPECT_EQ(lab_.running(web)[0]->mesh.networks.at(0).network_id, *net);
  ASSERT_TRUE(manager.remove_service(web, lab_.now()));
  EXPECT_TRUE(manager.remove_network(*net, lab_.now()));
  EXPECT_EQ(manager.remove_network(lab_.view().ingress_network()->id, lab_.now()).error().kind, ErrorKind::kForbidden);
  EXPECT_TRUE(lab_.run_until([&] { return lab_.view().tasks().empty(); }));
}

TEST_F(ManagerTest, AFullNetworkIsNamedAndTriedAgain) {
  model::Network small{.name = "small"};
  small.ipam.config.push_back({.subnet = "10.9.0.0/29"});  // four addresses: a virtual IP and three tasks
  ASSERT_TRUE(lab_.manager().create_network(small, lab_.now()));
  const std::string web =
      lab_.create("web", 5, [](auto& spec) { spec.task_template.networks = {{.target = "small"}}; });
  ASSERT_TRUE(lab_.run_until([&] { return lab_.running(web).size() == 3; }));
  std::size_t waiting = 0;
  for (const model::Task* task : lab_.view().tasks_of_service(web)) {
    if (task->status.state != TaskState::kNew) continue;
    ++waiting;
    EXPECT_THAT(task->status.err, testing::AllOf(HasSubstr("small"), HasSubstr("10.9.0.0/29")));
  }
  EXPECT_EQ(waiting, 2U);
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { spec.mode.replicated->replicas = 3; }));
  converge(web);
}

}  // namespace
}  // namespace mesh::manager::lab
