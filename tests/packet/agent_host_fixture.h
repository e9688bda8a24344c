// A whole agent on a host of its own: network and mount namespaces, a registry, an uplink, real containers. The manager
// is the test: it sends what a manager sends and looks at what comes back.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/id.h"
#include "base/process.h"
#include "base/text.h"
#include "control/agent/agent.h"
#include "control/agent/cgroup_layout.h"
#include "control/agent/container_config.h"
#include "control/agent/records.h"
#include "dns/feed.h"
#include "tests/packet/agent_registry.h"
#include "tests/unit/agent_image_builder.h"

namespace mesh::agent {

using model::TaskState;

inline constexpr const char* kIngress = "ingressnetworkid000000001";
inline constexpr const char* kNetwork = "usernetworkid000000000001";

inline std::string must(const std::vector<std::string>& argv) {
  const auto out = run_for_output({.argv = argv});
  EXPECT_TRUE(out) << out.error().message;
  return out.value_or("");
}

// Everything that the cases share: made once, because programs and images take a while to load.
class Host : public testing::Environment {
 public:
  static Host& get() {
    static auto* host = new Host;
    return *host;
  }
  void SetUp() override {
    if (!test::Registry::can_run()) return;
    base = "/tmp/meshd-agent-" + make_hex_id(4);
    prefix = "/meshd-agent-test-" + make_hex_id(4);
    ASSERT_TRUE(make_directories(base + "/bpf"));
    ASSERT_EQ(mount("bpf", (base + "/bpf").c_str(), "bpf", 0, nullptr), 0);
    must({"ip", "link", "set", "lo", "up"});
    must({"ip", "link", "add", "up0", "type", "veth", "peer", "name", "wire0"});
    must({"ip", "addr", "add", "192.0.2.1/24", "dev", "up0"});
    must({"ip", "link", "set", "up0", "up"});
    must({"ip", "link", "set", "wire0", "up"});
    cgroups = *find_cgroup_layout("");
    ASSERT_EQ(mkdir((cgroups.v2_mount + prefix).c_str(), 0755), 0);
    cgroups.prefix = prefix;
    registry.start(base);
    push("web", {});
    push("sick", JsonObject{{"Healthcheck", JsonObject{{"Test", JsonArray{"CMD-SHELL", "test -e /tmp/well"}},
                                                       {"Interval", 50'000'000},
                                                       {"Retries", 2}}}});
    ready = true;
  }
  void TearDown() override {
    if (base.empty()) return;
    const Status cleaned = Agent::cleanup(options());
    EXPECT_TRUE(cleaned) << cleaned.error().message;
    registry.stop();
    for (const std::string& one : cgroups.v1_mounts) rmdir((one + prefix).c_str());
    EXPECT_EQ(rmdir((cgroups.v2_mount + prefix).c_str()), 0) << "a cgroup was left";
    umount2((base + "/bpf").c_str(), MNT_DETACH);
    EXPECT_TRUE(remove_tree(base));
  }
  [[nodiscard]] Options options() const {
    Options made;
    made.data_dir = base + "/data";
    made.runtime_dir = base + "/run";
    made.pin_dir = base + "/bpf/meshd";
    made.cgroup_root = prefix;
    made.uplinks = {"up0"};
    made.uplink_mode = "tc";
    made.registry_mirror = test::kRegistry;
    made.hostname = "host1";
    return made;
  }
  void push(const std::string& name, JsonObject extra) {
    extra["Cmd"] = JsonArray{"sleep", "1000"};
    extra["Env"] = JsonArray{"PATH=/bin"};
    const std::string directory = base + "/image-" + name;
    test::write_image(directory, {layer()}, std::move(extra), host_architecture());
    test::Registry::push(directory, name + ":latest");
  }
  static const test::BuiltLayer& layer() {
    static const test::BuiltLayer built = test::make_layer(test::busybox_tar());
    return built;
  }

  bool ready = false;
  std::string base, prefix;
  CgroupLayout cgroups;
  test::Registry registry;
};

inline model::EndpointTables base_tables() {
  model::EndpointTables tables;
  tables.version = {7, 1};
  tables.nodes = {{"node1", 1, "host1", *IpAddress::parse("192.0.2.1"), {*IpAddress::parse("192.0.2.1")}, true}};
  tables.networks = {{kIngress, "ingress", 4096, *Cidr::parse("10.0.0.0/16"), *Cidr::parse("fd00:1::/64"), false, true},
                     {kNetwork, "back", 4097, *Cidr::parse("10.1.0.0/24"), std::nullopt, false, false}};
  return tables;
}

inline model::Task make_task(const std::string& id, std::uint8_t number, const std::string& image) {
  model::Task task;
  task.id = id;
  task.service_id = "service1";
  task.slot = number;
  task.node_id = "node1";
  task.spec.container_spec = model::ContainerSpec{.image = image};
  // As a container's first process, sleep ignores SIGTERM.
  task.spec.container_spec->stop_grace_period = std::chrono::milliseconds(200);
  task.status.state = TaskState::kAssigned;
  task.desired_state = TaskState::kRunning;
  task.mesh.service_name = "web";
  task.mesh.container_name = fmt::format("web.{}.{}", number, id);
  task.mesh.ingress_v4 = *IpAddress::parse(fmt::format("10.0.0.{}", 10 + number));
  task.mesh.ingress_v6 = *IpAddress::parse(fmt::format("fd00:1::{:x}", 10 + number));
  task.mesh.networks = {{kNetwork, *IpAddress::parse(fmt::format("10.1.0.{}", 10 + number)), {}, {}}};
  return task;
}

inline model::EndpointRow row_of(const model::Task& task) {
  return {task.id,
          task.service_id,
          task.mesh.container_name,
          container_id_of(task.id).substr(0, 12),
          1,
          task.mesh.ingress_v4,
          task.mesh.ingress_v6,
          task.mesh.networks,
          model::EndpointState::kReady,
          true};
}

class AgentTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Host::get().ready) GTEST_SKIP() << test::Registry::kNeeds;
    tables_ = base_tables();
    start_agent();
    if (HasFatalFailure()) return;
    connect();
  }
  void TearDown() override {
    if (!agent_) return;
    send_tasks({});
    // Also from its records: the next case uses the same ids.
    run_until(
        [] {
          const std::string records = read_file(Host::get().base + "/data/agent/tasks.json").value_or("");
          return records.find("\"Tasks\":[]") != std::string::npos;
        },
        "the tasks to go");
    EXPECT_THAT(*list_directory(Host::get().base + "/data/containers"), testing::IsEmpty());
    run_until([] { return must({"ip", "-o", "link"}).find(" mv") == std::string::npos; }, "the tasks' links to go");
    agent_.reset();
  }

  void start_agent() {
    loop_ = std::make_unique<boost::asio::io_context>(1);
    agent_ = std::make_unique<Agent>(*loop_, Host::get().options());
    agent_->set_node_id("node1");
    agent_->on_send([this](const cluster::AgentMessage& message) { receive(message); });
    agent_->on_resync([this](const std::string&) { ++resyncs_; });
    const Status started = agent_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  void connect() {
    agent_->connected();
    cluster::ManagerMessage message;
    message.welcome = cluster::Welcome{"cluster1", 1, std::chrono::seconds(5), *IpAddress::parse("10.0.0.1"),
                                       *IpAddress::parse("fd00:1::1")};
    agent_->handle(message);
  }
  // As a meshd that is killed: no goodbye, a new object on the same directories.
  void restart_agent() {
    agent_.reset();
    loop_.reset();
    states_.clear();
    acknowledged_.reset();
    start_agent();
  }
  void receive(const cluster::AgentMessage& message) {
    if (message.status) {
      for (const auto& report : message.status->tasks) {
        history_[report.task_id].push_back(report.status.state);
        states_[report.task_id] = report.status;
        unhealthy_[report.task_id] = report.unhealthy;
      }
    }
    if (message.acknowledge) {
      acknowledged_ = message.acknowledge->version;
      const auto saved = load_tables(Host::get().base + "/data");
      if (!saved || saved->version < *acknowledged_) ++unsaved_acknowledgements_;
      problems_ = message.acknowledge->problems;
    }
    if (message.routes) routes_ = message.routes->connected;
  }
  void run_until(const std::function<bool()>& condition, std::string_view what, int seconds = 30) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "waiting for " << what;
      loop_->run_one_for(std::chrono::milliseconds(100));
      loop_->restart();
    }
  }
  void send_tables() {
    ++tables_.version.version;
    cluster::ManagerMessage message;
    message.tables = tables_;
    agent_->handle(message);
  }
  void send_tasks(const std::vector<model::Task>& tasks) {
    cluster::ManagerMessage message;
    message.assignments = cluster::Assignments{tasks};
    agent_->handle(message);
  }
  // Tables with the tasks' rows, then the tasks.
  void assign(const std::vector<model::Task>& tasks) {
    tables_.endpoints.clear();
    for (const model::Task& task : tasks) tables_.endpoints.push_back(row_of(task));
    send_tables();
    send_tasks(tasks);
  }
  void run_until_state(const std::string& id, TaskState state) {
    run_until([&] { return states_[id].state == state; }, fmt::format("task {} to be {}", id, model::to_string(state)));
    EXPECT_EQ(states_[id].state, state) << states_[id].err;
  }
  Result<Json> dataplane_status() { return dataplane(api::DataplanePart::kStatus); }
  Result<Json> dataplane(api::DataplanePart part) {
    std::optional<Result<Json>> answer;
    agent_->dataplane(part, [&](Result<Json> found) { answer = std::move(found); });
    EXPECT_FALSE(answer) << "answered before the call returned";
    run_until([&] { return answer.has_value(); }, "the data plane's answer");
    return answer.value_or(fail(ErrorKind::kTimeout, "no answer"));
  }
  // What a shell in the task's container prints.
  std::string inside(const std::string& id, const std::string& command) {
    const pid_t pid = static_cast<pid_t>(states_[id].container_status.value_or(model::ContainerStatus{}).pid);
    const auto out = run_process({.argv = {"nsenter", "-t", std::to_string(pid), "-a", "/bin/sh", "-c", command}});
    return out ? out->out + out->err : out.error().message;
  }

  std::unique_ptr<boost::asio::io_context> loop_;
  std::unique_ptr<Agent> agent_;
  model::EndpointTables tables_;
  std::map<std::string, model::TaskStatus> states_;
  std::map<std::string, std::vector<TaskState>> history_;
  std::map<std::string, bool> unhealthy_;
  std::optional<model::TableVersion> acknowledged_;
  std::vector<std::string> problems_;
  std::vector<Cidr> routes_;
  int resyncs_ = 0;
  int unsaved_acknowledgements_ = 0;
};

}  // namespace mesh::agent
