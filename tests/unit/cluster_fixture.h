// A cluster of one manager's port on loopback, for the tests of TLS, joining and sessions.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio.hpp>
#include <gtest/gtest.h>

#include "base/id.h"
#include "control/cluster/agent_session.h"
#include "control/cluster/join.h"
#include "control/cluster/manager_server.h"

namespace mesh::cluster {

// Value of a Result, or a failed test and a throw.
template <class T>
T value_of(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message;
    throw std::runtime_error(result.error().message);
  }
  return std::move(*result);
}

// Runs the loop until the condition holds; false after the limit.
inline bool run_until(boost::asio::io_context& loop, const std::function<bool()>& condition,
                      std::chrono::steady_clock::duration limit = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  loop.restart();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    loop.run_one_for(std::chrono::milliseconds(50));
    if (loop.stopped()) loop.restart();
  }
  return true;
}

struct TestCluster {
  std::string id = make_id();
  CertificateAuthority authority = value_of(CertificateAuthority::create(id, wall_now()));

  NodeIdentity identity(Role role, Time now = wall_now(), Duration life = kNodeLifetime,
                        const std::string& node_id = make_id()) const {
    KeyRequest key = value_of(make_key_request());
    std::string pem = value_of(authority.issue(key.request_pem, {node_id, role, id}, now, life));
    return value_of(NodeIdentity::make(key.key_pem, pem, authority.certificate_pem()));
  }
};

// A manager's port with callbacks that record.
struct TestServer {
  explicit TestServer(boost::asio::io_context& io, const TestCluster& of,
                      ManagerServer::Options options = ManagerServer::Options{})
      : loop(io), cluster(of), secrets{make_secret(), make_secret()} {
    ManagerServer::Callbacks callbacks;
    callbacks.join = [this](const JoinRequest& request, const SocketAddress&) -> Result<JoinAnswer> {
      const Role role = TRY(role_of_secret(secrets, request.secret));
      return JoinAnswer{TRY(cluster.authority.issue(request.request, {make_id(), role, cluster.id}, wall_now()))};
    };
    callbacks.renew = [this](const Subject& subject, const std::string& request) {
      ++renewals;
      return cluster.authority.issue(request, subject, wall_now());
    };
    callbacks.is_member = [this](const std::string& node) { return !removed.contains(node); };
    callbacks.on_hello = [this](const std::string& node, const Hello& hello) {
      hellos.push_back(hello);
      if (!refuse_hello.empty()) return Status(fail(ErrorKind::kForbidden, refuse_hello));
      ManagerMessage message;
      message.welcome = Welcome{cluster.id, 7, heartbeat, {}, {}};
      return server->send(node, message);
    };
    callbacks.on_message = [this](const std::string&, const AgentMessage& message) { messages.push_back(message); };
    callbacks.on_close = [this](const std::string&, const std::string& why) { closed.push_back(why); };
    server = std::make_unique<ManagerServer>(loop, cluster.identity(Role::kManager), std::move(callbacks), options);
    address = value_of(server->listen({IpAddress::v4(0x7f000001), 0}));
  }

  boost::asio::io_context& loop;
  const TestCluster& cluster;
  JoinSecrets secrets;
  SocketAddress address;
  Duration heartbeat = std::chrono::seconds(5);
  std::vector<Hello> hellos;
  std::vector<AgentMessage> messages;
  std::vector<std::string> closed;
  std::map<std::string, bool> removed;
  std::string refuse_hello;
  int renewals = 0;
  std::unique_ptr<ManagerServer> server;
};

// A node's session with callbacks that record.
struct TestAgent {
  TestAgent(boost::asio::io_context& loop, const NodeIdentity& identity, const SocketAddress& manager) {
    AgentSession::Callbacks callbacks;
    node_id = identity.info.subject.node_id;
    callbacks.hello = [this] {
      Hello hello;
      hello.node_id = node_id;
      hello.description.hostname = "host";
      return hello;
    };
    callbacks.on_message = [this](const ManagerMessage& message) { messages.push_back(message); };
    callbacks.on_state = [this](SessionState state, const std::string& why) {
      states.push_back(state);
      reasons.push_back(why);
    };
    callbacks.on_identity = [this](const NodeIdentity& renewed) { identities.push_back(renewed); };
    AgentSession::Options options;
    options.backoff_min = std::chrono::milliseconds(10);
    options.backoff_max = std::chrono::milliseconds(50);
    session = std::make_unique<AgentSession>(loop, identity, std::vector{manager}, std::move(callbacks), options);
  }

  std::string node_id;  // what its hello says
  std::vector<ManagerMessage> messages;
  std::vector<SessionState> states;
  std::vector<std::string> reasons;
  std::vector<NodeIdentity> identities;
  std::unique_ptr<AgentSession> session;
};

}  // namespace mesh::cluster
