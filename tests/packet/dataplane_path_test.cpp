// A static description of services and endpoints, and real packets through it: client → entry host → VXLAN → the task's
// namespace on another host → back through the entry host. Each case runs with the uplinks in tc and in xdp mode.
#include <algorithm>
#include <iostream>
#include <set>
#include <sys/socket.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/catcher.h"
#include "tests/packet/dataplane_lab.h"

namespace mesh::lab {
namespace {

using dataplane::UplinkMode;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

const auto* const kEnvironment = testing::AddGlobalTestEnvironment(new OwnWorld);

// Loading programs takes a second per host, so the cases of one mode share a cluster: each begins with the tasks of the
// one before, as a long-lived cluster does.
std::map<UplinkMode, std::unique_ptr<Cluster>> clusters;

class Path : public testing::TestWithParam<UplinkMode> {
 protected:
  void SetUp() override {
    std::unique_ptr<Cluster>& cluster = clusters[GetParam()];
    if (!cluster) cluster = std::make_unique<Cluster>(3, GetParam());
    cluster_ = cluster.get();
    before_.clear();
    for (std::uint16_t host = 1; host <= 3; ++host) before_.push_back(all_counters(host));
  }
  void TearDown() override {
    if (HasFailure()) describe();
    servers_.clear();
  }
  static void TearDownTestSuite() { clusters.clear(); }

  void start(const std::vector<Task>& tasks) {
    cluster_->tasks = tasks;
    ++cluster_->ring_version;
    cluster_->apply();
    for (const Task& task : cluster_->tasks) serve(task);
  }
  void serve(const Task& task) { servers_[task.id] = std::make_unique<Server>(task.id, cluster_->task_netns(task)); }
  // What this case added.
  std::map<std::string, std::uint64_t> counters(std::uint16_t host) {
    std::map<std::string, std::uint64_t> values = all_counters(host);
    for (auto& [name, value] : values) value -= before_.at(host - 1U)[name];
    return values;
  }
  std::map<std::string, std::uint64_t> all_counters(std::uint16_t host) {
    std::map<std::string, std::uint64_t> values;
    const Result<dataplane::Counters> counters = cluster_->host(host).dataplane->counters();
    if (!counters) throw std::runtime_error(counters.error().message);
    for (const auto& list : {counters->drops, counters->events}) {
      for (const auto& one : list) values[one.reason] = one.packets;
    }
    return values;
  }
  void describe() {
    for (std::uint16_t host = 1; host <= 3; ++host) {
      std::cout << "host" << host << ":";
      for (const auto& [name, value] : counters(host)) {
        if (value != 0) std::cout << " " << name << "=" << value;
      }
      std::cout << "\n";
    }
  }

  Cluster* cluster_ = nullptr;
  std::vector<std::map<std::string, std::uint64_t>> before_;
  std::map<std::string, std::unique_ptr<Server>> servers_;
};

TEST_P(Path, EveryHostAnswersAndTheTaskSeesTheClient) {
  start({{.id = "two", .node = 2, .number = 1}});
  for (std::uint16_t entry = 1; entry <= 3; ++entry) {
    const auto tcp = ask_tcp(cluster_->client_netns(), {host_address(entry), 8010}, "hello");
    ASSERT_TRUE(tcp) << "through host " << entry;
    EXPECT_EQ(tcp->task, "two");
    EXPECT_EQ(tcp->peer, fmt::format("192.168.7.100:{}", tcp->client_port));
    EXPECT_EQ(tcp->payload, "hello");
    EXPECT_EQ(tcp->named, fmt::format("192.168.7.{}:8010", 10 + entry));

    const auto udp = ask_udp(cluster_->client_netns(), {host_address(entry), 8010}, "datagram");
    ASSERT_TRUE(udp) << "UDP through host " << entry;
    EXPECT_THAT(udp->peer, StartsWith("192.168.7.100:"));
    EXPECT_EQ(udp->payload, "datagram");
  }
  const auto one = counters(1);
  EXPECT_GT(one.at("entry"), 0U);
  EXPECT_GT(one.at("reply_in"), 0U) << "replies come back through the entry host";
}

// A trace's packet, caught before the program of the uplink takes it: with what it met there, and not what it made.
TEST_P(Path, ARealPacketIsCaughtOnItsWay) {
  start({{.id = "one", .node = 1, .number = 1}});
  Host& host = cluster_->host(1);
  for (const std::uint8_t protocol : {std::uint8_t{6}, std::uint8_t{17}}) {
    dataplane::CatchOrder order;
    order.destination = {host_address(1), 8010};
    order.protocol = protocol;
    std::optional<dataplane::Catcher> catcher;
    Cluster::inside(host.netns, [&] {
      Result<dataplane::Catcher> attached = host.dataplane->catch_next(order);
      if (!attached) throw std::runtime_error(attached.error().message);
      catcher = std::move(*attached);
    });
    const auto nothing = catcher->wait(std::chrono::milliseconds(1));
    ASSERT_TRUE(nothing) << nothing.error().message;
    EXPECT_FALSE(*nothing);
    ASSERT_TRUE(ask_tcp(cluster_->client_netns(), {host_address(1), 8010}, "hello"));
    ASSERT_TRUE(ask_udp(cluster_->client_netns(), {host_address(1), 8010}, "hello"));
    const auto caught = catcher->wait(std::chrono::seconds(2));
    ASSERT_TRUE(caught && *caught);
    EXPECT_EQ((*caught)->program, GetParam() == UplinkMode::kXdp ? "mesh_uplink_xdp" : "mesh_uplink_tc");
    const dataplane::TracedFrame frame = dataplane::read_frame((*caught)->frame);
    ASSERT_TRUE(frame.packet);
    EXPECT_EQ(frame.packet->protocol, protocol);
    EXPECT_EQ(frame.packet->destination, (SocketAddress{host_address(1), 8010}));
    if (protocol == 6) EXPECT_EQ(frame.packet->tcp_flags, dataplane::kTcpSyn) << "the first of its connection";
    ASSERT_TRUE((*caught)->met);
    // A pass finds nothing that is not as it should be, while the programs are there and when they are gone.
    for (const bool there : {true, false}) {
      Cluster::inside(host.netns, [&] {
        if (!there) catcher.reset();
        const auto pass = host.dataplane->reconcile(host.desired, dataplane::Dataplane::Pass::kFull);
        ASSERT_TRUE(pass) << pass.error().message;
        EXPECT_EQ(pass->drift, 0U) << (there ? "there" : "gone");
      });
    }
    ASSERT_TRUE(ask_tcp(cluster_->client_netns(), {host_address(1), 8010}, "hello")) << "packets go on";
  }
}

TEST_P(Path, IPv6Too) {
  start({{.id = "two", .node = 2, .number = 1}});
  for (std::uint16_t entry = 1; entry <= 3; ++entry) {
    const auto tcp = ask_tcp(cluster_->client_netns(), {host_address_v6(entry), 8010}, "six");
    ASSERT_TRUE(tcp) << "through host " << entry;
    EXPECT_THAT(tcp->peer, StartsWith("[fd07::100]:"));
    const auto udp = ask_udp(cluster_->client_netns(), {host_address_v6(entry), 8010}, "six");
    ASSERT_TRUE(udp) << "UDP through host " << entry;
    EXPECT_THAT(udp->peer, StartsWith("[fd07::100]:"));
  }
}

TEST_P(Path, LargePayloadsArriveWhole) {
  start({{.id = "two", .node = 2, .number = 1}});
  const std::string payload(60'000, 'x');
  const auto tcp = ask_tcp(cluster_->client_netns(), {host_address(1), 8010}, payload);
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->payload, payload);
}

TEST_P(Path, FlowsSpreadOverAllTasksAndNoneIsCrossed) {
  start({{.id = "one", .node = 1, .number = 1},
         {.id = "two", .node = 2, .number = 2},
         {.id = "three", .node = 3, .number = 3}});
  std::map<std::string, int> answers;
  constexpr int kRequests = 300;
  for (int i = 0; i < kRequests; ++i) {
    // Pairs of requests share a source port towards two hosts: two flows that one task may see as one.
    const auto port = static_cast<std::uint16_t>(20'000 + i / 2);
    const auto entry = static_cast<std::uint16_t>(1 + i % 2);
    const std::string payload = fmt::format("request {}", i);
    const auto answer = ask_tcp(cluster_->client_netns(), {host_address(entry), 8010}, payload, port);
    ASSERT_TRUE(answer) << payload;
    ASSERT_EQ(answer->payload, payload);
    ++answers[answer->task];
  }
  EXPECT_EQ(answers.size(), 3U);
  for (const auto& [task, count] : answers) EXPECT_GT(count, kRequests / 6) << task;
}

TEST_P(Path, TheHostItselfReachesThePublishedPort) {
  start({{.id = "two", .node = 2, .number = 1}});
  for (std::uint16_t host = 1; host <= 3; ++host) {
    for (const char* target : {"127.0.0.1", "own", "::1"}) {
      const IpAddress to = std::string(target) == "own" ? host_address(host) : IpAddress::parse(target).value();
      const auto answer = ask_tcp(cluster_->host(host).netns, {to, 8010}, "local");
      ASSERT_TRUE(answer) << "host " << host << " to " << target;
      EXPECT_EQ(answer->task, "two");
      EXPECT_EQ(answer->named, (SocketAddress{to, 8010}.to_string())) << "the application sees what it asked for";
      const std::string own = to.is_v4() ? host_address(host).to_string() : "[" + host_address_v6(host).to_string();
      EXPECT_THAT(answer->peer, StartsWith(own));
    }
  }
}

TEST_P(Path, AContainerReachesPublishedPortsOfEveryHost) {
  start({{.id = "one", .node = 1, .number = 1}, {.id = "two", .node = 2, .number = 2}});
  for (const Task& task : cluster_->tasks) {
    std::set<std::string> reached;
    for (int i = 0; i < 12; ++i) {
      for (std::uint16_t entry = 1; entry <= 3; ++entry) {
        const auto answer = ask_tcp(cluster_->task_netns(task), {host_address(entry), 8010}, "inside");
        ASSERT_TRUE(answer) << task.id << " through host " << entry;
        reached.insert(answer->task);
      }
    }
    EXPECT_EQ(reached, (std::set<std::string>{"one", "two"})) << "itself included";
  }
}

TEST_P(Path, VirtualIpsLeadToTheTasksOfTheirNetwork) {
  start({{.id = "one", .node = 1, .number = 1, .networks = {kBlueVni}},
         {.id = "two", .node = 2, .number = 2, .networks = {kBlueVni}},
         {.id = "red", .node = 2, .number = 3, .networks = {kRedVni}}});
  const Task& one = cluster_->tasks[0];
  std::set<std::string> reached;
  for (int i = 0; i < 30; ++i) {
    const auto tcp = ask_tcp(cluster_->task_netns(one), {virtual_ip(kBlueVni), 80}, "vip");
    ASSERT_TRUE(tcp);
    EXPECT_THAT(tcp->peer, StartsWith(address_of(one, kBlueVni).to_string() + ":"));
    reached.insert(tcp->task);
    const auto udp = ask_udp(cluster_->task_netns(one), {virtual_ip(kBlueVni), 80}, "vip");
    ASSERT_TRUE(udp);
    EXPECT_EQ(udp->named, virtual_ip(kBlueVni).to_string() + ":80");
  }
  EXPECT_EQ(reached, (std::set<std::string>{"one", "two"}));
  const std::string ping =
      shell("nsenter --net=" + cluster_->task_netns(one) + " ping -c2 -W2 -i0.2 " + virtual_ip(kBlueVni).to_string());
  EXPECT_THAT(ping, HasSubstr("2 received"));
}

TEST_P(Path, NetworksAreIsolated) {
  start({{.id = "one", .node = 1, .number = 1, .networks = {kBlueVni}},
         {.id = "two", .node = 2, .number = 2, .networks = {kBlueVni}},
         {.id = "red", .node = 2, .number = 3, .networks = {kRedVni}},
         {.id = "near", .node = 1, .number = 4, .networks = {kRedVni}}});
  const std::string one = cluster_->task_netns(cluster_->tasks[0]);
  EXPECT_TRUE(ask_tcp(one, {address_of(cluster_->tasks[1], kBlueVni), 80}, "same network, another host"));
  for (const SocketAddress& to :
       {SocketAddress{address_of(cluster_->tasks[2], kRedVni), 80},
        SocketAddress{address_of(cluster_->tasks[3], kRedVni), 80}, SocketAddress{virtual_ip(kRedVni), 80}}) {
    EXPECT_FALSE(ask_udp(one, to, "another network")) << to.to_string();
  }
  EXPECT_GT(counters(1).at("isolated"), 0U);
}

TEST_P(Path, ConnectionsSurviveNewRingsAndARestartOfTheirHosts) {
  start({{.id = "one", .node = 1, .number = 1}, {.id = "two", .node = 2, .number = 2}});
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<std::string> owners;
  for (int i = 0; i < 20; ++i) {
    connections.push_back(std::make_unique<Connection>(
        cluster_->client_netns(), SocketAddress{host_address(static_cast<std::uint16_t>(1 + i % 3)), 8010}));
    ASSERT_TRUE(connections.back()->open());
    const auto answer = connections.back()->ask("first");
    ASSERT_TRUE(answer);
    owners.push_back(answer->task);
  }
  for (std::uint16_t host = 1; host <= 3; ++host) cluster_->restart(host);
  for (std::size_t i = 0; i < connections.size(); ++i) {
    const auto answer = connections[i]->ask("while meshd is away");
    ASSERT_TRUE(answer) << i;
    EXPECT_EQ(answer->task, owners[i]);
  }
  cluster_->apply();
  for (std::size_t i = 0; i < connections.size(); ++i) {
    const auto answer = connections[i]->ask("after the restart");
    ASSERT_TRUE(answer) << i;
    EXPECT_EQ(answer->task, owners[i]);
  }
  for (std::uint16_t host = 1; host <= 3; ++host) {
    Host& one = cluster_->host(host);
    Cluster::inside(one.netns, [&] {
      const auto report = one.dataplane->reconcile(one.desired, dataplane::Dataplane::Pass::kFull);
      ASSERT_TRUE(report) << report.error().message;
      EXPECT_EQ(report->drift, 0U);
      EXPECT_EQ(report->actions, 0U);
    });
  }
}

TEST_P(Path, TrafficThatIsNotOursPassesUntouched) {
  start({{.id = "two", .node = 2, .number = 1}});
  EXPECT_THAT(shell("nsenter --net=" + cluster_->client_netns() + " ping -c2 -W2 -i0.2 192.168.7.11"),
              HasSubstr("2 received"));
  // A program of the host on a port of its own.
  const Server own("host", cluster_->host(1).netns);  // port 80 of the host itself
  const auto answer = ask_tcp(cluster_->client_netns(), {host_address(1), 80}, "plain");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->task, "host");
  EXPECT_THAT(answer->peer, StartsWith("192.168.7.100:"));
  // A port that nobody has.
  std::string error;
  EXPECT_FALSE(ask_tcp(cluster_->client_netns(), {host_address(1), 8011}, "nobody", 0, &error));
  EXPECT_EQ(error, "Connection refused");
}

TEST_P(Path, APortWithoutTasksIsRefusedAndAWithdrawnOneIsTheHostsAgain) {
  start({});
  std::string error;
  EXPECT_FALSE(ask_tcp(cluster_->client_netns(), {host_address(1), 8010}, "nobody", 0, &error));
  EXPECT_EQ(error, "Connection refused");

  cluster_->tasks = {{.id = "two", .node = 2, .number = 1}};
  ++cluster_->ring_version;
  cluster_->apply();
  serve(cluster_->tasks[0]);
  EXPECT_TRUE(ask_tcp(cluster_->client_netns(), {host_address(1), 8010}, "now"));
}

TEST_P(Path, FlowsAndInspectionShowWhatIsThere) {
  start({{.id = "two", .node = 2, .number = 1}});
  Connection connection(cluster_->client_netns(), {host_address(1), 8010});
  ASSERT_TRUE(connection.open());
  const auto answer = connection.ask("hello");
  ASSERT_TRUE(answer);
  std::uint64_t cursor = 0;
  auto flows = cluster_->host(2).dataplane->flows(cursor, 10'000);
  ASSERT_TRUE(flows) << flows.error().message;
  // Closed ones of earlier connections stay for a while.
  std::erase_if(*flows, [&](const dataplane::FlowRecord& flow) { return flow.client.port != answer->client_port; });
  ASSERT_EQ(flows->size(), 1U);
  const dataplane::FlowRecord& flow = flows->front();
  EXPECT_EQ(flow.client.to_string(), fmt::format("192.168.7.100:{}", answer->client_port));
  EXPECT_EQ(flow.destination.to_string(), "192.168.7.11:8010");
  EXPECT_EQ(flow.backend.to_string(), "10.0.0.11:80");
  EXPECT_EQ(flow.task_id, "two");
  EXPECT_EQ(flow.entry, 1);
  EXPECT_EQ(flow.state, "established");
  EXPECT_EQ(cursor, 0U) << "the whole table was read";
  auto none = cluster_->host(1).dataplane->flows(cursor, 10'000);
  ASSERT_TRUE(none);
  std::erase_if(*none, [&](const dataplane::FlowRecord& one) { return one.client.port != answer->client_port; });
  EXPECT_THAT(*none, IsEmpty()) << "the entry host keeps no state";

  const auto counters = cluster_->host(1).dataplane->counters();
  ASSERT_TRUE(counters);
  EXPECT_GT(counters->ports.at(0).entry.packets, 2U);
  const auto backends = cluster_->host(2).dataplane->counters();
  ASSERT_TRUE(backends);
  const auto binding = std::ranges::find(backends->bindings, flow.binding, &dataplane::BindingCounters::binding);
  ASSERT_NE(binding, backends->bindings.end());
  EXPECT_EQ(binding->task_id, "two");
  EXPECT_EQ(binding->port, 8010);
  EXPECT_GE(binding->flows, 1U);
  EXPECT_GE(binding->in.packets, 3U);
  EXPECT_GE(binding->out.packets, 2U);
  EXPECT_EQ(binding->service_name, counters->ports.at(0).service_name);
  EXPECT_GE(binding->connections, 1U);
  EXPECT_EQ(binding->resets_in + binding->resets_out, 0U);
  const auto& to = counters->ports.at(0).backends;
  EXPECT_TRUE(std::ranges::any_of(to, [](const auto& one) { return one.node == 2 && one.entry.packets > 2; }));
  Cluster::inside(cluster_->host(1).netns, [&] {
    const auto inspection = cluster_->host(1).dataplane->inspect();
    ASSERT_TRUE(inspection) << inspection.error().message;
    EXPECT_THAT(inspection->differences, IsEmpty());
    ASSERT_EQ(inspection->ports.size(), 2U);
    EXPECT_TRUE(inspection->ports[0].as_desired);
    EXPECT_TRUE(inspection->ports[0].port_held);
    for (const auto& hook : inspection->hooks) EXPECT_TRUE(hook.attached) << hook.name;
  });
}

TEST_P(Path, AGoneTaskTakesItsRecordsAlong) {
  start({{.id = "two", .node = 2, .number = 1}});
  Connection connection(cluster_->client_netns(), {host_address(1), 8010});
  ASSERT_TRUE(connection.open());
  ASSERT_TRUE(connection.ask("hello"));
  servers_.clear();
  cluster_->tasks.clear();
  ++cluster_->ring_version;
  cluster_->apply();
  std::uint64_t cursor = 0;
  const auto flows = cluster_->host(2).dataplane->flows(cursor, 100);
  ASSERT_TRUE(flows);
  EXPECT_THAT(*flows, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Modes, Path, testing::Values(UplinkMode::kTc, UplinkMode::kXdp), [](const auto& parameter) {
  return std::string(parameter.param == UplinkMode::kTc ? "tc" : "xdp");
});

}  // namespace
}  // namespace mesh::lab
