// Filters and their words as a table; the choice against a slow twin that tries every node.
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/manager/constraint.h"
#include "control/manager/scheduler.h"

namespace mesh::manager {
namespace {

using model::TaskState;

constexpr Time kNow{std::chrono::seconds(1000)};

model::Node node_of(const std::string& id) {
  model::Node node;
  node.id = id;
  node.status.state = model::NodeState::kReady;
  node.description.hostname = "host-" + id;
  node.description.platform = {"x86_64", "linux"};
  node.description.resources = {2'000'000'000, 1 << 30, {}};
  node.mesh.emplace().address = IpAddress::v4(0xc0a80105);
  return node;
}

model::Task task_of(const std::string& id, const std::string& service, const std::string& node = {}) {
  model::Task task;
  task.id = id;
  task.service_id = service;
  task.slot = 1;
  task.node_id = node;
  task.status.state = node.empty() ? TaskState::kPending : TaskState::kRunning;
  task.spec.container_spec.emplace().image = "x";
  return task;
}

Placed place_in(const store::View& view, const model::Task& task) { return place(candidates_of(view, kNow), task); }

struct FilterCase {
  const char* name;
  std::function<void(model::Node&, model::Task&, store::View&)> change;
  std::string why;
};

class SchedulerFilter : public testing::TestWithParam<FilterCase> {};

TEST_P(SchedulerFilter, Explains) {
  store::View view;
  model::Node node = node_of("n1");
  model::Task task = task_of("t", "s");
  GetParam().change(node, task, view);
  view.put(node);
  const Placed placed = place_in(view, task);
  EXPECT_EQ(placed.why_not, GetParam().why);
  EXPECT_EQ(placed.node_id, GetParam().why.empty() ? "n1" : "");
}

std::vector<FilterCase> filter_cases() {
  using model::Availability;
  using model::NodeState;
  const auto reserve = [](model::Task& t) -> model::ResourceReservations& {
    return t.spec.resources.emplace().reservations.emplace();
  };
  const std::string unavailable = "no suitable node (1 node not available for new tasks)";
  return {
      {"Fits", [](auto&, auto&, auto&) {}, ""},
      {"Down", [](auto& n, auto&, auto&) { n.status.state = NodeState::kDown; }, unavailable},
      {"Unknown", [](auto& n, auto&, auto&) { n.status.state = NodeState::kUnknown; }, unavailable},
      {"Paused", [](auto& n, auto&, auto&) { n.spec.availability = Availability::kPause; }, unavailable},
      {"Drained", [](auto& n, auto&, auto&) { n.spec.availability = Availability::kDrain; }, unavailable},
      {"AllItsMemory", [=](auto&, auto& t, auto&) { reserve(t).memory_bytes = 1 << 30; }, ""},
      {"TooMuchMemory", [=](auto&, auto& t, auto&) { reserve(t).memory_bytes = (1 << 30) + 1; },
       "no suitable node (insufficient resources on 1 node)"},
      {"CpuTakenByOthers",
       [=](auto&, auto& t, auto& v) {
         model::Task other = task_of("o", "other", "n1");
         reserve(other).nano_cpus = 1'500'000'000;
         v.put(other);
         reserve(t).nano_cpus = 600'000'000;
       },
       "no suitable node (insufficient resources on 1 node)"},
      {"CpuGivenBackByTheDead",
       [=](auto&, auto& t, auto& v) {
         model::Task other = task_of("o", "other", "n1");
         reserve(other).nano_cpus = 1'500'000'000;
         other.status.state = TaskState::kFailed;
         v.put(other);
         reserve(t).nano_cpus = 600'000'000;
       },
       ""},
      {"LimitsDoNotCount",
       [](auto&, auto& t, auto&) { t.spec.resources.emplace().limits.emplace().memory_bytes = 1LL << 40; }, ""},
      {"Constraint", [](auto&, auto& t, auto&) { t.spec.placement.emplace().constraints = {"node.labels.disk==ssd"}; },
       "no suitable node (scheduling constraints not satisfied on 1 node)"},
      {"Platform", [](auto&, auto& t, auto&) { t.spec.placement.emplace().platforms = {{"arm64", "linux"}}; },
       "no suitable node (unsupported platform on 1 node)"},
      {"SamePlatformByAnotherName",
       [](auto&, auto& t, auto&) { t.spec.placement.emplace().platforms = {{"amd64", "linux"}}; }, ""},
      {"HostPort",
       [](auto&, auto& t, auto& v) {
         model::Task other = task_of("o", "other", "n1");
         other.mesh.host_ports = {
             {.target_port = 80, .published_port = 8080, .publish_mode = model::PublishMode::kHost}};
         v.put(other);
         t.mesh.host_ports = other.mesh.host_ports;
       },
       "no suitable node (host-mode port already in use on 1 node)"},
      {"MaxReplicas",
       [](auto&, auto& t, auto& v) {
         v.put(task_of("o", "s", "n1"));
         t.spec.placement.emplace().max_replicas = 1;
       },
       "no suitable node (max replicas per node limit exceed)"},
      {"MissingLogDriver",
       [](auto& n, auto& t, auto&) {
         n.description.engine.plugins = {{"Log", "json-file"}};
         t.spec.log_driver.emplace().name = "gelf";
       },
       "no suitable node (missing plugin on 1 node)"},
  };
}
INSTANTIATE_TEST_SUITE_P(Table, SchedulerFilter, testing::ValuesIn(filter_cases()),
                         [](const auto& info) { return info.param.name; });

TEST(Scheduler, NamesTheCommonestReasonFirst) {
  store::View view;
  model::Node drained = node_of("n1");
  drained.spec.availability = model::Availability::kDrain;
  view.put(drained);
  view.put(node_of("n2"));
  view.put(node_of("n3"));
  model::Task task = task_of("t", "s");
  task.spec.placement.emplace().constraints = {"node.role==manager"};
  EXPECT_EQ(place_in(view, task).why_not,
            "no suitable node (scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks)");
  EXPECT_EQ(place_in(store::View{}, task).why_not, "no suitable node");
}

TEST(Scheduler, SpreadsByServiceThenByLoad) {
  store::View view;
  for (const char* id : {"n1", "n2", "n3"}) view.put(node_of(id));
  view.put(task_of("a", "other", "n1"));
  view.put(task_of("b", "s", "n2"));
  EXPECT_EQ(place_in(view, task_of("t", "s")).node_id, "n3");
  view.put(task_of("c", "s", "n3"));
  view.put(task_of("d", "s", "n1"));
  EXPECT_EQ(place_in(view, task_of("t", "s")).node_id, "n2") << "n1 also runs another service";
}

TEST(Scheduler, AvoidsNodesThatKeepFailing) {
  store::View view;
  view.put(node_of("n1"));
  view.put(node_of("n2"));
  view.put(task_of("busy", "s", "n2"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(place_in(view, task_of("t", "s")).node_id, "n1") << i;
    model::Task failed = task_of("f" + std::to_string(i), "s", "n1");
    failed.status.state = TaskState::kFailed;
    failed.status.timestamp = kNow - std::chrono::minutes(1);
    view.put(failed);
  }
  EXPECT_EQ(place_in(view, task_of("t", "s")).node_id, "n2");
  EXPECT_EQ(place(candidates_of(view, kNow + std::chrono::minutes(5)), task_of("t", "s")).node_id, "n1") << "forgiven";
}

TEST(Scheduler, PreferencesDivideEvenly) {
  store::View view;
  for (int i = 0; i < 6; ++i) {
    model::Node node = node_of("n" + std::to_string(i));
    if (i < 4) node.spec.labels["zone"] = i < 3 ? "east" : "west";
    view.put(node);
  }
  Draft draft(view, kNow, [] { return std::string("x"); });
  for (int i = 0; i < 12; ++i) {
    model::Task task = task_of(fmt::format("t{:02}", i), "s");
    task.spec.placement.emplace().preferences = {{model::SpreadOver{"node.labels.zone"}}};
    draft.put(task);
  }
  schedule(draft);
  std::map<std::string, int> zones;
  for (const auto& [id, task] : draft.view().tasks())
    ++zones[draft.view().node(task->node_id)->spec.labels.contains("zone")
                ? draft.view().node(task->node_id)->spec.labels.at("zone")
                : ""];
  EXPECT_THAT(zones,
              testing::UnorderedElementsAre(testing::Pair("east", 4), testing::Pair("west", 4), testing::Pair("", 4)));
}

TEST(Scheduler, PendingTasksSayWhyAndAreTriedAgain) {
  store::View view;
  view.put(task_of("t", "s"));
  Draft draft(view, kNow, [] { return std::string("x"); });
  schedule(draft);
  EXPECT_EQ(draft.view().task("t")->status.state, TaskState::kPending);
  EXPECT_EQ(draft.view().task("t")->status.err, "no suitable node");
  draft.put(node_of("n1"));
  schedule(draft);
  EXPECT_EQ(draft.view().task("t")->status.state, TaskState::kAssigned);
  EXPECT_EQ(draft.view().task("t")->node_id, "n1");
  EXPECT_EQ(draft.view().task("t")->mesh.node_hostname, "host-n1");
  EXPECT_TRUE(draft.view().task("t")->status.err.empty());
}

// The twin: counts everything anew for each node and sorts all of them.
std::string slow_place(const store::View& view, const model::Task& task) {
  std::vector<std::tuple<std::size_t, std::size_t, std::string>> ranked;
  for (const auto& [id, node] : view.nodes()) {
    if (node->status.state != model::NodeState::kReady || node->spec.availability != model::Availability::kActive)
      continue;
    if (!satisfies(*node, task.spec)) continue;
    std::size_t same = 0, all = 0;
    std::int64_t memory = node->description.resources.memory_bytes;
    for (const auto& [other_id, other] : view.tasks()) {
      if (other->node_id != id || other->desired_state > TaskState::kRunning ||
          model::is_terminal(other->status.state)) {
        continue;
      }
      ++all;
      if (other->service_id == task.service_id) ++same;
      if (other->spec.resources) memory -= other->spec.resources->reservations->memory_bytes;
    }
    if (task.spec.resources && task.spec.resources->reservations->memory_bytes > memory) continue;
    if (task.spec.placement && task.spec.placement->max_replicas != 0 && same >= task.spec.placement->max_replicas)
      continue;
    ranked.emplace_back(same, all, id);
  }
  std::ranges::sort(ranked);
  return ranked.empty() ? "" : std::get<2>(ranked.front());
}

TEST(Scheduler, AgreesWithItsSlowTwin) {
  std::mt19937 random(5);
  for (int round = 0; round < 150; ++round) {
    store::View view;
    for (std::uint32_t i = 0; i < 2 + random() % 6; ++i) {
      model::Node node = node_of("n" + std::to_string(i));
      if (random() % 3 == 0) node.spec.labels["disk"] = "ssd";
      if (random() % 6 == 0) node.spec.availability = model::Availability::kPause;
      if (random() % 6 == 0) node.status.state = model::NodeState::kDown;
      view.put(node);
    }
    const auto make = [&](const std::string& id) {
      model::Task task = task_of(id, "s" + std::to_string(random() % 3));
      if (random() % 2 == 0) {
        task.spec.resources.emplace().reservations.emplace().memory_bytes = static_cast<std::int64_t>(random() % 5)
                                                                            << 28;
      }
      if (random() % 3 == 0) task.spec.placement.emplace().constraints = {"node.labels.disk == ssd"};
      if (random() % 4 == 0) {
        if (!task.spec.placement) task.spec.placement.emplace();
        task.spec.placement->max_replicas = 1 + random() % 2;
      }
      return task;
    };
    for (int i = 0; i < 25; ++i) {
      model::Task task = make(fmt::format("t{:02}", i));
      const Placed placed = place_in(view, task);
      ASSERT_EQ(placed.node_id, slow_place(view, task)) << round << "/" << i << " " << placed.why_not;
      task.node_id = placed.node_id;
      task.status.state = task.node_id.empty() ? TaskState::kPending : TaskState::kRunning;
      if (random() % 5 == 0) task.desired_state = TaskState::kShutdown;
      if (random() % 7 == 0 && !task.node_id.empty()) task.status.state = TaskState::kComplete;
      view.put(task);
    }
  }
}

struct ConstraintCase {
  const char* text;
  bool satisfied;
};

TEST(Constraint, Table) {
  model::Node node = node_of("abc");
  node.spec.role = model::NodeRole::kManager;
  node.spec.labels = {{"disk", "SSD"}, {"zone", "east"}};
  node.description.engine.labels = {{"gpu", "yes"}};
  for (const auto& [text, satisfied] : std::vector<ConstraintCase>{{"node.id==abc", true},
                                                                   {"node.id!=abc", false},
                                                                   {"node.hostname==HOST-abc", true},
                                                                   {"node.role == manager", true},
                                                                   {"node.role != worker", true},
                                                                   {"node.role==worker", false},
                                                                   {"node.labels.disk==ssd", true},
                                                                   {"node.labels.disk!=ssd", false},
                                                                   {"node.labels.none==x", false},
                                                                   {"node.labels.none!=x", true},
                                                                   {"engine.labels.gpu==yes", true},
                                                                   {"node.platform.os==linux", true},
                                                                   {"node.platform.arch==amd64", true},
                                                                   {"node.platform.arch==arm64", false},
                                                                   {"node.ip==192.168.1.5", true},
                                                                   {"node.ip==192.168.1.0/24", true},
                                                                   {"node.ip!=10.0.0.0/8", true},
                                                                   {"node.ip==10.0.0.0/8", false},
                                                                   {"node.unknown==x", false},
                                                                   {"node.unknown!=x", false}}) {
    model::TaskSpec spec;
    spec.placement.emplace().constraints = {text};
    EXPECT_EQ(satisfies_constraints(node, spec), satisfied) << text;
  }
  for (const char* text : {"", "node.role", "node.role=manager", "==x", "node.id=="}) {
    EXPECT_FALSE(parse_constraint(text)) << text;
  }
}

}  // namespace
}  // namespace mesh::manager
