// The cluster port against clients that are not what they should be.
#include <thread>

#include "control/cluster/tls.h"
#include "tests/unit/cluster_client.h"
#include "tests/unit/cluster_fixture.h"

namespace mesh::cluster {
namespace {

namespace asio = boost::asio;

// One request over TLS, on a thread of its own while the caller runs the server's loop.
RawAnswer ask(asio::io_context& server_loop, const SocketAddress& address, const RawClient::Options& options,
              const std::string& method, const std::string& target, const std::string& body) {
  RawAnswer answer;
  std::atomic<bool> finished = false;
  std::thread thread([&] {
    RawClient client(address, options);
    answer = client.request(method, target, body);
    finished = true;
  });
  EXPECT_TRUE(run_until(server_loop, [&] { return finished.load(); }));
  thread.join();
  return answer;
}

class ClusterPort : public testing::Test {
 protected:
  RawAnswer request(const RawClient::Options& options, const std::string& method, const std::string& target,
                    const std::string& body = "") {
    return ask(loop_, server_.address, options, method, target, body);
  }

  // The client may be done before the server has counted it.
  [[nodiscard]] bool handshakes_failed(std::uint64_t count) {
    return run_until(loop_, [&] { return server_.server->counters().handshakes_failed == count; });
  }

  asio::io_context loop_;
  TestCluster cluster_;
  TestServer server_{loop_, cluster_};
};

TEST_F(ClusterPort, WithoutACertificateOnlyJoinIsServed) {
  const RawAnswer session = request({}, "GET", "/session");
  EXPECT_EQ(session.status, 403);
  EXPECT_NE(session.body.find("certificate"), std::string::npos);
  EXPECT_EQ(request({}, "GET", "/join").status, 403);
  EXPECT_EQ(request({}, "GET", "/").status, 403);
  EXPECT_EQ(server_.server->counters().no_certificate, 3U);

  const KeyRequest key = value_of(make_key_request());
  const JoinRequest good{server_.secrets.worker, key.request_pem, "host", ""};
  const RawAnswer joined = request({}, "POST", "/join", to_text(encode(good)));
  ASSERT_EQ(joined.status, 200) << joined.body << joined.error;
  const JoinAnswer answer = value_of(decode_text<JoinAnswer>(joined.body));
  EXPECT_EQ(value_of(read_certificate(answer.certificate)).subject.role, Role::kWorker);
}

TEST_F(ClusterPort, OlderThanTls13IsRefused) {
  const RawAnswer answer = request({nullptr, TLS1_2_VERSION}, "POST", "/join");
  EXPECT_NE(answer.error, "");
  EXPECT_TRUE(handshakes_failed(1));
}

TEST_F(ClusterPort, ACertificateOfAnotherClusterIsRefused) {
  const TestCluster other;
  const NodeIdentity stranger = other.identity(Role::kManager);
  EXPECT_NE(request({&stranger}, "GET", "/session").error, "");
  EXPECT_TRUE(handshakes_failed(1));
}

TEST_F(ClusterPort, AnExpiredCertificateIsRefused) {
  const NodeIdentity old =
      cluster_.identity(Role::kWorker, wall_now() - std::chrono::hours(48), std::chrono::hours(24));
  EXPECT_NE(request({&old}, "GET", "/session").error, "");
  const NodeIdentity early = cluster_.identity(Role::kWorker, wall_now() + std::chrono::hours(48));
  EXPECT_NE(request({&early}, "GET", "/session").error, "");
  EXPECT_TRUE(handshakes_failed(2));
}

TEST_F(ClusterPort, ARemovedNodesCertificateIsRefused) {
  const NodeIdentity node = cluster_.identity(Role::kWorker);
  server_.removed[node.info.subject.node_id] = true;
  // A session is refused before the upgrade; another route is not found.
  EXPECT_EQ(request({&node}, "GET", "/elsewhere").status, 404);
  EXPECT_EQ(request({&node}, "GET", "/session").status, 404) << "no WebSocket upgrade";
}

TEST_F(ClusterPort, GarbageIsSurvived) {
  const std::string cases[] = {"",
                               "x",
                               "{}",
                               "[]",
                               "null",
                               R"({"Secret":7})",
                               R"({"Secret":"a","Request":{}})",
                               std::string(10'000, '['),
                               R"({"Secret":"wrong","Request":"no pem"})"};
  for (const std::string& body : cases) {
    const RawAnswer answer = request({}, "POST", "/join", body);
    EXPECT_GE(answer.status, 400) << body;
    EXPECT_LT(answer.status, 500) << body;
    EXPECT_NE(answer.body.find("message"), std::string::npos) << body;
  }
  // Over the limit of a request's body: no answer, but no harm either.
  request({}, "POST", "/join", std::string(200'000, 'x'));
  const KeyRequest key = value_of(make_key_request());
  const JoinRequest good{server_.secrets.manager, key.request_pem, "host", ""};
  EXPECT_EQ(request({}, "POST", "/join", to_text(encode(good))).status, 200);
}

TEST_F(ClusterPort, BytesThatAreNoTlsAreSurvived) {
  std::atomic<bool> finished = false;
  std::thread thread([&] {
    asio::io_context loop;
    asio::ip::tcp::socket socket(loop);
    boost::system::error_code error;
    socket.connect({asio::ip::make_address_v4("127.0.0.1"), server_.address.port}, error);
    const std::string plain = "POST /join HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    asio::write(socket, asio::buffer(plain), error);
    std::string answer;
    asio::read(socket, asio::dynamic_buffer(answer), error);  // until it is closed
    EXPECT_EQ(answer.find("HTTP/1.1"), std::string::npos) << "no plaintext mode";
    finished = true;
  });
  EXPECT_TRUE(run_until(loop_, [&] { return finished.load(); }));
  thread.join();
  EXPECT_TRUE(handshakes_failed(1));
}

TEST(ClusterPortLimit, JoinsAreLimitedPerSource) {
  asio::io_context loop;
  const TestCluster cluster;
  ManagerServer::Options options;
  options.join_burst = 3;
  options.join_period = std::chrono::hours(1);
  TestServer server(loop, cluster, options);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ask(loop, server.address, {}, "POST", "/join", "{}").status, 401) << "no secret in it";
  }
  EXPECT_EQ(ask(loop, server.address, {}, "POST", "/join", "{}").status, 429);
  EXPECT_EQ(server.server->counters().joins_limited, 1U);
}

// ---- the joiner's side

Result<NodeIdentity> join(asio::io_context& loop, const SocketAddress& address, const JoinToken& token) {
  std::optional<Result<NodeIdentity>> result;
  join_cluster(loop, {address}, token, {"host", ""},
               [&](Result<NodeIdentity> identity) { result = std::move(identity); });
  EXPECT_TRUE(run_until(loop, [&] { return result.has_value(); }));
  return std::move(*result);
}

TEST_F(ClusterPort, JoiningGivesTheRoleOfTheSecret) {
  for (const Role role : {Role::kWorker, Role::kManager}) {
    const JoinToken token{cluster_.authority.digest(),
                          role == Role::kManager ? server_.secrets.manager : server_.secrets.worker};
    const NodeIdentity identity = value_of(join(loop_, server_.address, token));
    EXPECT_EQ(identity.info.subject.role, role);
    EXPECT_EQ(identity.info.subject.cluster_id, cluster_.id);
    EXPECT_EQ(identity.ca_pem, cluster_.authority.certificate_pem());
  }
}

TEST_F(ClusterPort, AWrongSecretIsSaidSo) {
  const Result<NodeIdentity> refused = join(loop_, server_.address, {cluster_.authority.digest(), make_secret()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUnauthorized);
  EXPECT_NE(refused.error().message.find("rotated"), std::string::npos) << refused.error().message;
  EXPECT_EQ(server_.server->counters().joins_refused, 1U);
}

TEST_F(ClusterPort, AnotherClustersTokenSendsNoSecret) {
  const TestCluster other;
  const Result<NodeIdentity> refused = join(loop_, server_.address, {other.authority.digest(), server_.secrets.worker});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUnauthorized);
  EXPECT_NE(refused.error().message.find("another cluster"), std::string::npos) << refused.error().message;
  EXPECT_EQ(server_.server->counters().joins + server_.server->counters().joins_refused, 0U);
}

// A node that shows the right root, but is no manager (a worker that was taken over, say), gets no secret.
TEST(Join, AWorkersCertificateIsNoManagers) {
  asio::io_context loop;
  const TestCluster cluster;
  ManagerServer::Callbacks callbacks;
  int asked = 0;
  callbacks.join = [&](const JoinRequest&, const SocketAddress&) -> Result<JoinAnswer> {
    ++asked;
    return fail(ErrorKind::kInternal, "must not be asked");
  };
  ManagerServer impostor(loop, cluster.identity(Role::kWorker), std::move(callbacks));
  const SocketAddress address = value_of(impostor.listen({IpAddress::v4(0x7f000001), 0}));
  const Result<NodeIdentity> refused = join(loop, address, {cluster.authority.digest(), make_secret()});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("not a manager"), std::string::npos) << refused.error().message;
  EXPECT_EQ(asked, 0);
}

TEST(Join, NobodyThereIsSaidWithAddressAndAdvice) {
  asio::io_context loop;
  SocketAddress nobody{IpAddress::v4(0x7f000001), 1};
  const Result<NodeIdentity> refused = join(loop, nobody, {Digest{}, make_secret()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUnavailable);
  EXPECT_NE(refused.error().message.find("127.0.0.1:1"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace mesh::cluster
