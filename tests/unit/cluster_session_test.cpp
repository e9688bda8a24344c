// Agent sessions against a manager's port on loopback: the ordinary life, and peers that misbehave.
#include <thread>

#include "tests/unit/cluster_client.h"
#include "tests/unit/cluster_fixture.h"

namespace mesh::cluster {
namespace {

namespace asio = boost::asio;

class Session : public testing::Test {
 protected:
  [[nodiscard]] bool until(const std::function<bool()>& condition) { return run_until(loop_, condition); }

  asio::io_context loop_;
  TestCluster cluster_;
  TestServer server_{loop_, cluster_};
};

TEST_F(Session, HelloWelcomeAndMessagesBothWays) {
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), server_.address);
  EXPECT_EQ(agent.session->send({}).error().kind, ErrorKind::kUnavailable);
  agent.session->start();
  ASSERT_TRUE(until([&] { return agent.session->up() && !agent.messages.empty(); }));
  ASSERT_EQ(server_.hellos.size(), 1U);
  EXPECT_EQ(server_.hellos[0].description.hostname, "host");
  EXPECT_EQ(agent.messages[0].welcome->node_number, 7);

  AgentMessage report;
  report.acknowledge = Acknowledge{{3, 4}, {"port 80 is in use"}};
  ASSERT_TRUE(agent.session->send(report));
  ASSERT_TRUE(until([&] { return !server_.messages.empty(); }));
  EXPECT_EQ(server_.messages[0].acknowledge->version, (model::TableVersion{3, 4}));
  EXPECT_EQ(server_.messages[0].acknowledge->problems.at(0), "port 80 is in use");

  ManagerMessage tables;
  tables.tables.emplace().version = {5, 6};
  ASSERT_TRUE(server_.server->send(agent.node_id, tables));
  ASSERT_TRUE(until([&] { return agent.messages.size() == 2; }));
  EXPECT_EQ(agent.messages[1].tables->version, (model::TableVersion{5, 6}));
  EXPECT_EQ(server_.server->counters().sessions, 1U);
}

TEST_F(Session, HeartbeatsAsTheWelcomeSays) {
  server_.heartbeat = std::chrono::milliseconds(20);
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), server_.address);
  agent.session->start();
  const auto beats = [&] {
    return std::ranges::count_if(server_.messages, [](const AgentMessage& m) { return m.heartbeat.has_value(); });
  };
  EXPECT_TRUE(until([&] { return beats() >= 3; }));
}

TEST_F(Session, ASilentManagerIsLeft) {
  server_.heartbeat = std::chrono::milliseconds(30);  // and it echoes nothing
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), server_.address);
  agent.session->start();
  EXPECT_TRUE(until([&] { return server_.hellos.size() >= 2; })) << "it comes back with a new hello";
}

TEST_F(Session, ComesBackWhenTheManagerDoes) {
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), server_.address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return agent.session->up(); }));
  server_.server->close(agent.node_id, "for the test");
  EXPECT_EQ(server_.closed, std::vector<std::string>{"for the test"});
  ASSERT_TRUE(until([&] { return server_.hellos.size() == 2 && agent.session->up(); }));
  EXPECT_NE(std::ranges::find(agent.reasons, server_.address.to_string() + ": for the test"), agent.reasons.end());
}

TEST_F(Session, RestartSaysHelloAgain) {
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), server_.address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return agent.session->up(); }));
  agent.session->restart("a gap in the tables");
  EXPECT_TRUE(until([&] { return server_.hellos.size() == 2 && agent.session->up(); }));
}

TEST_F(Session, OneSessionPerNode) {
  const NodeIdentity identity = cluster_.identity(Role::kWorker);
  TestAgent first(loop_, identity, server_.address);
  first.session->start();
  ASSERT_TRUE(until([&] { return first.session->up(); }));
  TestAgent second(loop_, identity, server_.address);
  second.session->start();
  ASSERT_TRUE(until([&] { return second.session->up(); }));
  EXPECT_EQ(server_.closed.at(0), "replaced by a new session");
  EXPECT_EQ(server_.server->counters().sessions, 1U);
  first.session->stop();
}

TEST_F(Session, AHelloOfAnotherNodeIsRefused) {
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), server_.address);
  agent.node_id = make_id();
  agent.session->start();
  ASSERT_TRUE(until([&] { return !agent.reasons.empty(); }));
  EXPECT_NE(agent.reasons[0].find("another node than the certificate"), std::string::npos) << agent.reasons[0];
  EXPECT_TRUE(server_.hellos.empty());
}

TEST_F(Session, ARefusedHelloSaysWhy) {
  server_.refuse_hello = "the pool of node numbers is exhausted";
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), server_.address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return !agent.reasons.empty(); }));
  EXPECT_NE(agent.reasons[0].find(server_.refuse_hello), std::string::npos) << agent.reasons[0];
}

TEST_F(Session, ARemovedNodeIsToldSo) {
  const NodeIdentity identity = cluster_.identity(Role::kWorker);
  server_.removed[identity.info.subject.node_id] = true;
  TestAgent agent(loop_, identity, server_.address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return !agent.reasons.empty(); }));
  EXPECT_NE(agent.reasons[0].find("removed"), std::string::npos) << agent.reasons[0];
  EXPECT_TRUE(server_.hellos.empty());
}

TEST_F(Session, AnAgentObeysManagersOnly) {
  // A worker of the same cluster that listens where the manager should be.
  ManagerServer impostor(loop_, cluster_.identity(Role::kWorker), {});
  const SocketAddress address = value_of(impostor.listen({IpAddress::v4(0x7f000001), 0}));
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return !agent.reasons.empty(); }));
  EXPECT_NE(agent.reasons[0].find("not a manager's"), std::string::npos) << agent.reasons[0];
}

TEST_F(Session, AManagerOfAnotherClusterIsRefused) {
  const TestCluster other;
  TestAgent agent(loop_, other.identity(Role::kWorker), server_.address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return !agent.reasons.empty(); }));
  EXPECT_NE(agent.reasons[0].find("certificate"), std::string::npos) << agent.reasons[0];
  EXPECT_TRUE(server_.hellos.empty());
}

TEST_F(Session, ACertificateIsRenewedAndTheSessionGoesOnWithIt) {
  // 85 % of its life is over: the renewal is due.
  const Duration life = std::chrono::hours(100);
  const Time made = wall_now() - std::chrono::hours(85);
  TestAgent agent(loop_, cluster_.identity(Role::kWorker, made, life), server_.address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return !agent.identities.empty() && server_.hellos.size() == 2 && agent.session->up(); }));
  EXPECT_EQ(agent.identities[0].info.subject.node_id, agent.node_id);
  EXPECT_GT(agent.identities[0].info.not_after, wall_now() + std::chrono::hours(24 * 89));
  EXPECT_EQ(server_.renewals, 1);
}

TEST_F(Session, EndsWhenTheCertificateDoes) {
  // Valid for two seconds more (an hour of it lies in the past).
  const NodeIdentity identity = cluster_.identity(Role::kWorker, wall_now() - std::chrono::hours(1),
                                                  std::chrono::hours(1) + std::chrono::seconds(2));
  TestAgent agent(loop_, identity, server_.address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return agent.session->up(); }));
  EXPECT_TRUE(until([&] { return !server_.closed.empty(); }));
}

TEST_F(Session, StoppedMeansNoMoreCalls) {
  TestAgent agent(loop_, cluster_.identity(Role::kWorker), server_.address);
  agent.session->start();
  ASSERT_TRUE(until([&] { return agent.session->up(); }));
  const std::size_t states = agent.states.size();
  agent.session->stop();
  ASSERT_TRUE(until([&] { return !server_.closed.empty(); })) << "the manager notices";
  EXPECT_EQ(agent.states.size(), states);
}

// A node that sends what it likes, blocking, on a thread of its own.
void misbehave(asio::io_context& server_loop, const SocketAddress& address, const NodeIdentity& identity,
               const std::vector<std::string>& frames) {
  std::atomic<bool> finished = false;
  std::thread thread([&] {
    RawClient client(address, {&identity});
    EXPECT_TRUE(client.upgrade()) << client.error();
    for (const std::string& frame : frames) client.send_frame(frame);
    client.read_to_end();
    finished = true;
  });
  EXPECT_TRUE(run_until(server_loop, [&] { return finished.load(); }));
  thread.join();
}

TEST_F(Session, GarbageEndsTheSessionAndNothingElse) {
  TestAgent good(loop_, cluster_.identity(Role::kWorker), server_.address);
  good.session->start();
  ASSERT_TRUE(until([&] { return good.session->up(); }));
  const NodeIdentity bad = cluster_.identity(Role::kWorker);
  Hello hello;
  hello.node_id = bad.info.subject.node_id;
  AgentMessage first;
  first.hello = hello;
  const std::string greeting = to_text(encode(first));
  const std::vector<std::vector<std::string>> cases = {
      {"garbage"},
      {""},
      {"{}"},
      {"[1,2]"},
      {std::string(1000, '{')},
      {R"({"Hello":5})"},
      {R"({"Hello":{"NodeID":7}})"},
      {greeting.substr(0, greeting.size() / 2)},
      {R"({"Heartbeat":{"Sequence":1}})"},  // before the hello
      {greeting, greeting},
      {greeting, R"({"Acknowledge":{"Version":{"Epoch":-1}}})"},
      {greeting, R"({"Heartbeat":{"Sequence":1},"Status":{"Tasks":[]}})"},
  };
  for (const auto& frames : cases) {
    const std::uint64_t refused = server_.server->counters().frames_refused;
    misbehave(loop_, server_.address, bad, frames);
    EXPECT_TRUE(until([&] {
      const ServerCounters counters = server_.server->counters();
      return counters.sessions == 1 && counters.frames_refused == refused + 1;
    })) << frames.back().substr(0, 100);
  }
  // Beast ends these itself, and reports how the ending went instead of why if the peer does not listen: not counted
  // for certain.
  for (const std::string& frame : {std::string("\xff\xfe\x00", 3), std::string(kFrameBytesMax + 1, 'x')}) {
    misbehave(loop_, server_.address, bad, {greeting, frame});
    EXPECT_TRUE(until([&] { return server_.server->counters().sessions == 1; }));
  }
  EXPECT_TRUE(good.session->up());
}

TEST_F(Session, APeerThatDoesNotReadIsCut) {
  const NodeIdentity identity = cluster_.identity(Role::kWorker);
  std::atomic<bool> connected = false;
  std::atomic<bool> done = false;
  std::thread thread([&] {
    RawClient client(server_.address, {&identity});
    EXPECT_TRUE(client.upgrade()) << client.error();
    AgentMessage message;
    message.hello.emplace().node_id = identity.info.subject.node_id;
    client.send_frame(to_text(encode(message)));
    connected = true;
    done.wait(false);  // and reads nothing
  });
  ASSERT_TRUE(until([&] { return connected.load() && !server_.hellos.empty(); }));
  ManagerMessage large;
  large.assignments.emplace();
  large.tables.reset();
  model::Task task;
  task.name = std::string(64 << 10, 'x');
  large.assignments->tasks.push_back(task);
  Status sent;
  for (std::size_t i = 0; i < 4 * kSendQueueMax && sent; ++i) {
    sent = server_.server->send(identity.info.subject.node_id, large);
    loop_.poll();
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().kind, ErrorKind::kExhausted);
  EXPECT_TRUE(until([&] { return server_.server->counters().sessions == 0; }));
  EXPECT_EQ(server_.server->counters().queues_overflowed, 1U);
  done = true;
  done.notify_all();
  thread.join();
}

}  // namespace
}  // namespace mesh::cluster
