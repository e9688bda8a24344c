// A manager's role with everything real but containers and kernels: store, CA, cluster port, and nodes that join it and
// hold sessions.
#include <boost/asio.hpp>
#include <gtest/gtest.h>

#include "base/file.h"
#include "control/meshd/manager_role.h"
#include "tests/unit/cluster_fixture.h"

namespace mesh::meshd {
namespace {

using cluster::run_until;
using cluster::value_of;

class RoleTest : public testing::Test {
 protected:
  RoleTest() {
    char name[] = "/tmp/mesh-role-XXXXXX";
    directory_ = ::mkdtemp(name);
    address_ = free_address();
  }
  ~RoleTest() override {
    role_.reset();
    loop_.poll();
    (void)remove_tree(directory_);
  }

  // A port of loopback that nobody uses now.
  SocketAddress free_address() {
    boost::asio::ip::tcp::acceptor probe(loop_, {boost::asio::ip::make_address_v4("127.0.0.1"), 0});
    return {IpAddress::v4(0x7f000001), probe.local_endpoint().port()};
  }
  ManagerRole::Callbacks callbacks() {
    ManagerRole::Callbacks calls;
    calls.to_local_agent = [this](const cluster::ManagerMessage& message) { local_.push_back(message); };
    calls.on_change = [this] { ++changes_; };
    calls.on_identity = [](const cluster::NodeIdentity&) {};
    return calls;
  }
  void init() {
    model::Cluster cluster;
    cluster.default_addr_pool = {"10.0.0.0/8"};
    NewCluster create{cluster, cluster_.authority, model::Availability::kActive, {}, "manager-host"};
    role_ = value_of(ManagerRole::open(loop_, {directory_, address_, address_}, identity_, callbacks(), create));
  }
  void reopen() {
    role_.reset();
    loop_.poll();
    role_ = value_of(ManagerRole::open(loop_, {directory_, address_, address_}, identity_, callbacks(), std::nullopt));
  }
  Result<cluster::NodeIdentity> join(const std::string& token) {
    std::optional<Result<cluster::NodeIdentity>> result;
    cluster::join_cluster(loop_, {address_}, value_of(cluster::JoinToken::parse(token)), {"worker-host", "drain"},
                          [&](Result<cluster::NodeIdentity> identity) { result = std::move(identity); });
    EXPECT_TRUE(run_until(loop_, [&] { return result.has_value(); }));
    return std::move(*result);
  }
  [[nodiscard]] bool until(const std::function<bool()>& condition) { return run_until(loop_, condition); }
  model::NodeState state_of(const std::string& id) {
    const model::Node* node = role_->manager().view().node(id);
    return node == nullptr ? model::NodeState::kUnknown : node->status.state;
  }

  std::string directory_;
  boost::asio::io_context loop_;
  SocketAddress address_;
  cluster::TestCluster cluster_;
  cluster::NodeIdentity identity_ = cluster_.identity(cluster::Role::kManager);
  std::vector<cluster::ManagerMessage> local_;
  int changes_ = 0;
  std::unique_ptr<ManagerRole> role_;
};

TEST_F(RoleTest, AWorkerJoinsAndGetsWhatItMustKnow) {
  init();
  const model::JoinTokens tokens = value_of(role_->join_tokens());
  EXPECT_TRUE(tokens.worker.starts_with("SWMTKN-1-"));
  EXPECT_NE(tokens.worker, tokens.manager);
  const cluster::NodeIdentity identity = value_of(join(tokens.worker));
  const std::string id = identity.info.subject.node_id;
  ASSERT_NE(role_->manager().view().node(id), nullptr);
  EXPECT_EQ(role_->manager().view().node(id)->spec.availability, model::Availability::kDrain);

  cluster::TestAgent agent(loop_, identity, address_);
  agent.session->start();
  const auto has = [&](auto member) {
    return std::ranges::any_of(agent.messages, [&](const auto& message) { return (message.*member).has_value(); });
  };
  ASSERT_TRUE(until([&] {
    return has(&cluster::ManagerMessage::welcome) && has(&cluster::ManagerMessage::tables) &&
           has(&cluster::ManagerMessage::assignments);
  }));
  EXPECT_TRUE(agent.messages[0].welcome.has_value());
  EXPECT_EQ(agent.messages[0].welcome->gateway_v4, role_->manager().gateway_v4());
  EXPECT_TRUE(until([&] { return state_of(id) == model::NodeState::kReady; }));

  cluster::AgentMessage acknowledge;
  acknowledge.acknowledge = cluster::Acknowledge{role_->manager().tables().version, {"a problem"}};
  ASSERT_TRUE(agent.session->send(acknowledge));
  EXPECT_TRUE(until([&] {
    const auto& held = role_->acknowledged();
    return held.contains(id) && held.at(id) == role_->manager().tables().version;
  }));
  EXPECT_EQ(role_->manager().problems().at(id), std::vector<std::string>{"a problem"});

  agent.session->stop();
  EXPECT_TRUE(until([&] { return !role_->acknowledged().contains(id); }));
}

TEST_F(RoleTest, EveryHostIsAskedForPorts) {
  init();
  cluster::TestAgent one(loop_, value_of(join(value_of(role_->join_tokens()).worker)), address_);
  cluster::TestAgent two(loop_, value_of(join(value_of(role_->join_tokens()).worker)), address_);
  for (cluster::TestAgent* agent : {&one, &two}) agent->session->start();
  ASSERT_TRUE(until([&] { return role_->acknowledged().size() == 2; }));
  const std::vector<model::PortConfig> ports = {{.protocol = model::PortProtocol::kUdp, .published_port = 53}};
  std::set<std::string> nodes{"a node without a session"};
  for (const auto& [id, version] : role_->acknowledged()) nodes.insert(id);
  std::optional<Status> outcome;
  // Tables may arrive before or after it.
  const auto question = [](const cluster::TestAgent& agent) -> const cluster::PortQuestion* {
    for (const cluster::ManagerMessage& message : agent.messages) {
      if (message.port_question) return &*message.port_question;
    }
    return nullptr;
  };
  const auto ask = [&] {
    outcome.reset();
    one.messages.clear();
    two.messages.clear();
    role_->ask_ports(ports, nodes, [&](Status status) { outcome = std::move(status); });
    ASSERT_TRUE(until([&] { return question(one) != nullptr && question(two) != nullptr; }));
    EXPECT_EQ(question(one)->ports.at(0).protocol, "udp");
    EXPECT_EQ(question(one)->ports.at(0).port, 53);
  };
  const auto answer = [&](cluster::TestAgent& agent, std::vector<std::string> refused) {
    cluster::AgentMessage message;
    message.port_answer = cluster::PortAnswer{question(agent)->id, std::move(refused)};
    ASSERT_TRUE(agent.session->send(message));
  };
  const auto is_done = [&] { return outcome.has_value(); };

  ask();
  answer(one, {});
  loop_.poll();
  EXPECT_FALSE(outcome) << "the other has not answered";
  answer(two, {});
  ASSERT_TRUE(until(is_done));
  EXPECT_TRUE(*outcome);

  ask();
  answer(two, {"port 53/udp is already in use on two by named (pid 7)"});
  ASSERT_TRUE(until(is_done)) << "one refusal is enough";
  ASSERT_FALSE(*outcome);
  EXPECT_EQ(outcome->error().kind, ErrorKind::kConflict);
  EXPECT_NE(outcome->error().message.find("on two by named"), std::string::npos);

  ask();
  answer(one, {});
  two.session->stop();
  ASSERT_TRUE(until(is_done)) << "who has gone is not waited for";
  EXPECT_TRUE(*outcome);

  outcome.reset();
  role_->ask_ports(ports, nodes, [&](Status status) { outcome = std::move(status); });
  ASSERT_TRUE(until(is_done)) << "nor who says nothing, for long";
  EXPECT_TRUE(*outcome);

  one.messages.clear();
  outcome.reset();
  nodes = {"a node without a session"};
  role_->ask_ports(ports, nodes, [&](Status status) { outcome = std::move(status); });
  ASSERT_TRUE(until(is_done));
  EXPECT_EQ(question(one), nullptr) << "the port is not for it";
}

TEST_F(RoleTest, TheManagersOwnAgentHasASessionWithoutAWire) {
  init();
  cluster::Hello hello;
  hello.node_id = identity_.info.subject.node_id;
  hello.description.hostname = "manager-host";
  hello.address = IpAddress::v4(0xc0a80101);
  ASSERT_TRUE(role_->open_local(hello));
  EXPECT_TRUE(local_.empty()) << "nothing is said from inside the call";
  ASSERT_TRUE(until([&] { return local_.size() >= 3; }));
  EXPECT_TRUE(local_[0].welcome.has_value());
  EXPECT_TRUE(until([&] { return state_of(hello.node_id) == model::NodeState::kReady; }));
}

TEST_F(RoleTest, ASecondManagerIsRefusedWithTheReason) {
  init();
  const Result<cluster::NodeIdentity> refused = join(value_of(role_->join_tokens()).manager);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUnsupported);
  EXPECT_NE(refused.error().message.find("one manager"), std::string::npos) << refused.error().message;
}

TEST_F(RoleTest, ARotatedTokenIsWorthless) {
  init();
  const model::JoinTokens old = value_of(role_->join_tokens());
  ASSERT_TRUE(role_->rotate_tokens(true, false));
  const model::JoinTokens fresh = value_of(role_->join_tokens());
  EXPECT_NE(fresh.worker, old.worker);
  EXPECT_EQ(fresh.manager, old.manager);
  EXPECT_EQ(join(old.worker).error().kind, ErrorKind::kUnauthorized);
  EXPECT_TRUE(join(fresh.worker));
}

TEST_F(RoleTest, EverythingOutlivesARestart) {
  init();
  const model::JoinTokens tokens = value_of(role_->join_tokens());
  const cluster::NodeIdentity identity = value_of(join(tokens.worker));
  reopen();
  EXPECT_EQ(value_of(role_->join_tokens()).worker, tokens.worker);
  EXPECT_NE(role_->manager().view().node(identity.info.subject.node_id), nullptr);
  cluster::TestAgent agent(loop_, identity, address_);
  agent.session->start();
  EXPECT_TRUE(until([&] { return agent.session->up(); }));
}

TEST_F(RoleTest, ARemovedNodeLosesItsSessionAndComesBackNoMore) {
  init();
  const cluster::NodeIdentity identity = value_of(join(value_of(role_->join_tokens()).worker));
  const std::string id = identity.info.subject.node_id;
  cluster::TestAgent agent(loop_, identity, address_);
  agent.session->start();
  ASSERT_TRUE(until([&] { return agent.session->up() && role_->acknowledged().contains(id); }));
  ASSERT_TRUE(role_->manager().remove_node(id, true, wall_now()));
  role_->changed();
  ASSERT_TRUE(until([&] {
    return agent.reasons.size() >= 2 && agent.reasons.back().find("removed") != std::string::npos;
  })) << (agent.reasons.empty() ? "no reason" : agent.reasons.back());
  EXPECT_FALSE(agent.session->up());
}

TEST_F(RoleTest, SecretsAreSealedInTheStore) {
  init();
  const std::string secret = value_of(role_->join_tokens()).worker.substr(60);
  ASSERT_EQ(secret.size(), 25U);
  role_.reset();
  for (const char* name : {"/store.db", "/store.db-wal"}) {
    const Result<std::string> content = read_file(directory_ + name);
    if (!content) continue;
    EXPECT_EQ(content->find(secret), std::string::npos);
    EXPECT_EQ(content->find("PRIVATE KEY"), std::string::npos);
  }
}

TEST_F(RoleTest, AnotherSealKeyIsSaidSo) {
  init();
  role_.reset();
  loop_.poll();
  ASSERT_TRUE(write_file(directory_ + "/seal.key", std::string(32, 'x'), 0600));
  const auto opened = ManagerRole::open(loop_, {directory_, address_, address_}, identity_, callbacks(), std::nullopt);
  ASSERT_FALSE(opened);
  EXPECT_FALSE(opened.error().message.empty());
}

TEST_F(RoleTest, ATakenPortIsSaidSo) {
  boost::asio::ip::tcp::acceptor taken(loop_, {boost::asio::ip::make_address_v4("127.0.0.1"), address_.port});
  model::Cluster cluster;
  cluster.default_addr_pool = {"10.0.0.0/8"};
  const auto opened = ManagerRole::open(loop_, {directory_, address_, address_}, identity_, callbacks(),
                                        NewCluster{cluster, cluster_.authority, model::Availability::kActive, {}, "h"});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kConflict);
  EXPECT_NE(opened.error().message.find("--listen"), std::string::npos) << opened.error().message;
}

}  // namespace
}  // namespace mesh::meshd
