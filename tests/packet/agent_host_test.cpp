// A whole agent: what it makes of tasks.
#include <sched.h>

#include "base/log.h"
#include "dns/server.h"
#include "tests/packet/agent_host_fixture.h"

namespace mesh::agent {
namespace {

TEST_F(AgentTest, TaskRunsWithItsNetworkAndStops) {
  model::Task task = make_task("task1", 1, "web");
  assign({task});
  run_until_state("task1", TaskState::kRunning);
  EXPECT_THAT(history_["task1"], testing::IsSupersetOf({TaskState::kRunning}));
  const std::string addresses = inside("task1", "ip -o addr show dev eth0");
  EXPECT_NE(addresses.find("10.0.0.11/32"), std::string::npos) << addresses;
  EXPECT_NE(addresses.find("10.1.0.11/32"), std::string::npos) << addresses;
  EXPECT_NE(inside("task1", "cat /etc/hosts").find("10.0.0.11"), std::string::npos);
  EXPECT_EQ(agent_->container_counts().running, 1U);

  task.desired_state = TaskState::kShutdown;
  send_tasks({task});
  run_until_state("task1", TaskState::kShutdown);
  send_tasks({});
  run_until(
      [&] { return access((Host::get().base + "/data/containers/" + container_id_of("task1")).c_str(), F_OK) != 0; },
      "the container's directory to go");
}

TEST_F(AgentTest, RestartAdoptsAndExitCodesSurvive) {
  const model::Task stays = make_task("task1", 1, "web");
  model::Task ends = make_task("task2", 2, "web");
  ends.spec.container_spec->args = {"sh", "-c", "while ! test -e /tmp/end; do sleep 0.05; done; exit 9"};
  assign({stays, ends});
  run_until_state("task1", TaskState::kRunning);
  run_until_state("task2", TaskState::kRunning);
  const auto pid = states_["task1"].container_status->pid;
  const auto pid2 = states_["task2"].container_status->pid;

  agent_.reset();
  // Ends while no meshd looks.
  inside("task2", "touch /tmp/end");
  test::wait_until_gone(static_cast<pid_t>(pid2));
  restart_agent();
  // Without a manager it goes on; with one it reports.
  agent_->connected();
  run_until_state("task1", TaskState::kRunning);
  EXPECT_EQ(states_["task1"].container_status->pid, pid);
  run_until_state("task2", TaskState::kFailed);
  EXPECT_EQ(states_["task2"].err, "task: non-zero exit (9)");
  EXPECT_EQ(states_["task2"].container_status->exit_code, 9);
  run_until([&] { return acknowledged_ == tables_.version; }, "the tables of before the restart to be acknowledged");
}

TEST_F(AgentTest, UnknownImageIsRejected) {
  assign({make_task("task1", 1, "nope:1")});
  run_until_state("task1", TaskState::kRejected);
  EXPECT_NE(states_["task1"].err.find("No such image: nope:1"), std::string::npos) << states_["task1"].err;
}

TEST_F(AgentTest, ProgramThatDoesNotExistFails) {
  model::Task task = make_task("task1", 1, "web");
  task.spec.container_spec->args = {"/nope"};
  assign({task});
  run_until_state("task1", TaskState::kFailed);
  EXPECT_NE(states_["task1"].err.find("starting container failed"), std::string::npos) << states_["task1"].err;
  EXPECT_NE(states_["task1"].err.find("/nope"), std::string::npos) << states_["task1"].err;
}

TEST_F(AgentTest, HealthChecksDecide) {
  model::Task well = make_task("task1", 1, "sick");
  well.spec.container_spec->args = {"sh", "-c", "touch /tmp/well; exec sleep 1000"};
  const model::Task sick = make_task("task2", 2, "sick");
  assign({well, sick});
  run_until_state("task1", TaskState::kRunning);
  run_until_state("task2", TaskState::kFailed);
  EXPECT_EQ(std::ranges::count(history_["task2"], TaskState::kRunning), 0) << "it never was healthy";
  EXPECT_NE(states_["task2"].err.find("unhealthy container"), std::string::npos) << states_["task2"].err;
}

TEST_F(AgentTest, UnhealthyIsReportedThenDrainedThenStopped) {
  model::Task task = make_task("task1", 1, "sick");
  task.spec.container_spec->args = {
      "sh", "-c", "trap 'touch /tmp/told; exit 5' TERM; touch /tmp/well; while :; do sleep 0.05; done"};
  assign({task});
  run_until_state("task1", TaskState::kRunning);
  EXPECT_FALSE(unhealthy_["task1"]);
  inside("task1", "rm /tmp/well");
  run_until([&] { return unhealthy_["task1"]; }, "the report that it is unhealthy");
  EXPECT_EQ(states_["task1"].state, TaskState::kRunning);
  EXPECT_EQ(inside("task1", "test -e /tmp/told && echo stopped"), "") << "stopped before it was drained";
  task.mesh.stop_allowed = true;
  send_tasks({task});
  run_until_state("task1", TaskState::kFailed);
  EXPECT_EQ(states_["task1"].err, "task: non-zero exit (5): dockerexec: unhealthy container");
}

TEST_F(AgentTest, NamesAreServedForTheTask) {
  const model::Task task = make_task("task1", 1, "web");
  tables_.services = {{"service1", "web", false, {{kNetwork, *IpAddress::parse("10.1.0.2"), {}, {}}}, {}}};
  assign({task});
  run_until_state("task1", TaskState::kRunning);
  const auto names = dataplane_status();
  ASSERT_TRUE(names);
  EXPECT_TRUE(names->at("Names").is_object()) << to_text(*names);
  // The agent goes, the names stay.
  const auto before = dns::ask_state(Host::get().base + "/run/dns.sock");
  ASSERT_TRUE(before) << before.error().message;
  restart_agent();
  const auto after = dns::ask_state(Host::get().base + "/run/dns.sock");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->pid, before->pid);
}

}  // namespace
}  // namespace mesh::agent

int main(int argc, char** argv) {
  // The agent re-executes this program as mesh-dns.
  if (argc > 1 && std::string_view(argv[1]) == "dns") {
    mesh::dns::ServerOptions options;
    for (int i = 2; i + 1 < argc; i += 2) {
      const std::string_view key = argv[i];
      if (key == "--listen") options.listen = mesh::SocketAddress::parse(argv[i + 1]).value_or(mesh::SocketAddress{});
      if (key == "--socket") options.feed_path = argv[i + 1];
      if (key == "--state") options.state_path = argv[i + 1];
      if (key == "--build") options.build = argv[i + 1];
    }
    return mesh::dns::run_server(options) ? 0 : 1;
  }
  testing::InitGoogleTest(&argc, argv);
  (void)mesh::set_up_log(std::getenv("AGENT_TEST_LOG") != nullptr ? "debug" : "warn");
  if (geteuid() == 0 &&
      (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)) {
    perror("own namespaces");
    return 1;
  }
  testing::AddGlobalTestEnvironment(&mesh::agent::Host::get());
  return RUN_ALL_TESTS();
}
