// A whole agent: what it makes of tables, routes and names, and what it makes true again.
#include "tests/packet/agent_host_fixture.h"

namespace mesh::agent {
namespace {

TEST_F(AgentTest, AcknowledgesWhatTheKernelHolds) {
  send_tables();
  run_until([&] { return acknowledged_ == tables_.version; }, "the acknowledgement");
  EXPECT_THAT(problems_, testing::IsEmpty());
  EXPECT_EQ(agent_->hello().have, tables_.version);
  const auto status = dataplane_status();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->at("Differences").as_array().size(), 0U) << to_text(*status);
}

// A meshd that is killed programs what it finds on the disk: an older version there would take back what the cluster
// relies on already.
TEST_F(AgentTest, WhatIsAcknowledgedIsOnDisk) {
  for (int i = 0; i < 5; ++i) {
    send_tables();
    run_until([&] { return acknowledged_ == tables_.version; }, "the acknowledgement");
  }
  EXPECT_EQ(unsaved_acknowledgements_, 0);
}

TEST_F(AgentTest, RecordsWithoutTablesLeaveTheKernelAlone) {
  assign({make_task("task1", 1, "web")});
  run_until_state("task1", TaskState::kRunning);
  run_until([&] { return acknowledged_ == tables_.version; }, "the acknowledgement");
  agent_.reset();
  const std::string address = inside("task1", "ip -o addr show dev eth0");
  ASSERT_NE(address.find("10.1.0.11/32"), std::string::npos) << address;
  ASSERT_TRUE(remove_tree(Host::get().base + "/data/agent/tables.json"));
  const auto pid = states_["task1"].container_status;
  restart_agent();
  states_["task1"].container_status = pid;
  // Answered by the thread that programs the kernel, after what it was given before.
  loop_->poll();
  EXPECT_FALSE(dataplane_status()) << "something was programmed from nothing";
  EXPECT_EQ(inside("task1", "ip -o addr show dev eth0"), address);
  connect();
  send_tables();
  run_until([&] { return acknowledged_ == tables_.version; }, "the tables to be acknowledged again");
}

TEST_F(AgentTest, DriftOfTheOverlayIsShown) {
  send_tables();
  run_until([&] { return acknowledged_ == tables_.version; }, "the acknowledgement");
  must({"ip", "addr", "del", "10.0.0.1/32", "dev", "mesh0"});
  // Asked before the loop hears of it and mends it.
  const auto status = dataplane_status();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_THAT(to_text(status->at("Differences")),
              testing::AllOf(testing::HasSubstr("overlay: "), testing::HasSubstr("10.0.0.1")));
  run_until([] { return must({"ip", "addr", "show", "mesh0"}).find("10.0.0.1/32") != std::string::npos; },
            "the address to come back");
}

TEST_F(AgentTest, RoutesThatComeLaterAreToldAndOverlapsNamed) {
  send_tables();
  run_until([&] { return acknowledged_ == tables_.version; }, "the acknowledgement");
  EXPECT_THAT(problems_, testing::IsEmpty());
  must({"ip", "route", "add", "10.1.0.128/25", "via", "192.0.2.9"});
  const auto told = [&] { return std::ranges::find(routes_, *Cidr::parse("10.1.0.128/25")) != routes_.end(); };
  run_until([&] { return told() && !problems_.empty(); }, "the route and its problem");
  EXPECT_THAT(problems_,
              testing::ElementsAre(testing::AllOf(testing::HasSubstr("network back"), testing::HasSubstr("10.1.0.0/24"),
                                                  testing::HasSubstr("10.1.0.128/25"), testing::HasSubstr("up0"))));
  must({"ip", "route", "del", "10.1.0.128/25"});
  run_until([&] { return !told() && problems_.empty(); }, "both to go");
}

TEST_F(AgentTest, LeavingTakesEverythingAndJoiningBeginsAnew) {
  assign({make_task("task1", 1, "web")});
  run_until_state("task1", TaskState::kRunning);
  std::optional<Status> left;
  agent_->leave([&](const Status& status) { left = status; });
  run_until([&] { return left.has_value(); }, "leaving");
  EXPECT_TRUE(*left) << left->error().message;
  EXPECT_EQ(must({"ip", "-o", "link"}).find("mesh0"), std::string::npos);
  EXPECT_THAT(list_directory(Host::get().base + "/bpf/meshd").value_or(std::vector<std::string>{}), testing::IsEmpty());
  EXPECT_FALSE(dns::ask_state(Host::get().base + "/run/dns.sock"));
  EXPECT_EQ(agent_->hello().have, model::TableVersion{});
  states_.clear();
  connect();
  assign({make_task("task2", 2, "web")});
  run_until_state("task2", TaskState::kRunning);
}

TEST_F(AgentTest, AGapInTheVersionsAsksForEverythingAgain) {
  send_tables();
  cluster::ManagerMessage message;
  message.table_change = model::TableChange{.from = {7, 900}, .upsert = {.version = {7, 901}}};
  agent_->handle(message);
  EXPECT_EQ(resyncs_, 1);
  message.table_change = model::TableChange{.from = tables_.version, .upsert = {.version = {7, 901}}};
  agent_->handle(message);
  EXPECT_EQ(resyncs_, 1);
  run_until([&] { return acknowledged_ == model::TableVersion{7, 901}; }, "the acknowledgement of the change");
}

// Where only services and tasks differ, nothing else is looked at: the kernel must be as if all had been made anew.
TEST_F(AgentTest, ChangesReachKernelNamesAndDisk) {
  assign({make_task("task1", 1, "web")});
  run_until_state("task1", TaskState::kRunning);
  model::Task other = make_task("task2", 2, "web");
  model::EndpointRow there = row_of(other);
  there.node = 2;
  model::ServiceRow service{.id = "service1", .name = "web"};
  service.virtual_ips = {{kNetwork, *IpAddress::parse("10.1.0.2"), {}, {}}};
  service.ports = {{.protocol = "tcp", .published = 8010, .target = 80}};
  service.ports[0].backends = {{"task1", 1, 11}};
  const auto ring = [&](std::uint8_t members) {
    ++service.ports[0].ring_version;
    service.ports[0].owners.clear();
    for (std::uint8_t slot = 0; slot < 64; ++slot) service.ports[0].owners.push_back(slot % members);
  };
  ring(1);
  struct Step {
    const char* what;
    std::function<void(model::TableChange&)> fill;
    std::size_t vip_backends;
    bool named;  // task2
  };
  const Step steps[] = {
      {"a node and a service",
       [&](model::TableChange& change) {
         const IpAddress address = *IpAddress::parse("192.0.2.2");
         change.upsert.nodes = {{"node2", 2, "host2", address, {address}, true}};
         change.upsert.services = {service};
       },
       1, false},
      {"a task elsewhere", [&](model::TableChange& change) { change.upsert.endpoints = {there}; }, 2, true},
      {"its place in the ring",
       [&](model::TableChange& change) {
         service.ports[0].backends.push_back({"task2", 2, 21});
         ring(2);
         change.upsert.services = {service};
       },
       2, true},
      {"it drains",
       [&](model::TableChange& change) {
         there.state = model::EndpointState::kDraining;
         there.serving = false;
         ring(1);
         change.upsert.services = {service};
         change.upsert.endpoints = {there};
       },
       1, true},
      {"it goes", [&](model::TableChange& change) { change.removed_endpoints = {"task2"}; }, 1, false},
      {"the service goes", [&](model::TableChange& change) { change.removed_services = {"service1"}; }, 0, false},
  };
  for (const Step& step : steps) {
    cluster::ManagerMessage message;
    message.table_change = model::TableChange{.from = tables_.version};
    message.table_change->upsert.version = {7, ++tables_.version.version};
    step.fill(*message.table_change);
    agent_->handle(message);
    run_until([&] { return acknowledged_ == tables_.version; }, step.what);
    EXPECT_THAT(problems_, testing::IsEmpty()) << step.what;
    const auto status = dataplane_status();
    ASSERT_TRUE(status) << status.error().message;
    EXPECT_EQ(status->at("Differences").as_array().size(), 0U) << step.what << ": " << to_text(*status);
    const auto services = dataplane(api::DataplanePart::kServices);
    ASSERT_TRUE(services) << services.error().message;
    const auto& vips = services->at("VirtualIPs").as_array();
    EXPECT_EQ(vips.empty() ? 0 : vips[0].at("Backends").as_array().size(), step.vip_backends) << to_text(*services);
    const std::string names = read_file(Host::get().base + "/run/dns.json").value_or("");
    EXPECT_EQ(names.find("web.2.task2") != std::string::npos, step.named) << step.what << ": " << names;
  }
  EXPECT_EQ(unsaved_acknowledgements_, 0);
  // Another process finds nothing to do, in the kernel or on the disk.
  restart_agent();
  run_until([&] { return agent_->hello().have == tables_.version; }, "what was on the disk");
  const auto status = dataplane_status();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->at("Differences").as_array().size(), 0U) << to_text(*status);
  connect();
}

TEST_F(AgentTest, NamesComeBackAtOnce) {
  send_tables();
  run_until([&] { return acknowledged_ == tables_.version; }, "the acknowledgement");
  const std::string socket = Host::get().base + "/run/dns.sock";
  const auto before = dns::ask_state(socket);
  ASSERT_TRUE(before) << before.error().message;
  ASSERT_EQ(kill(before->pid, SIGKILL), 0);
  // A full pass would find it after 30 s.
  run_until(
      [&] {
        const auto now = dns::ask_state(socket);
        return now && now->pid != before->pid && now->version == before->version;
      },
      "another mesh-dns with the same names", 5);
}

}  // namespace
}  // namespace mesh::agent
