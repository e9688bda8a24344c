// A manager's cluster port: TLS 1.3; without a certificate of the cluster only POST /join is served, rate-limited; with
// one, GET /session becomes a node's WebSocket session. Frames over kFrameBytesMax, frames that are no message, and a
// peer that lets kSendQueueMax frames pile up end that session, counted.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/cluster/identity.h"
#include "control/cluster/join.h"
#include "control/cluster/messages.h"

namespace boost::asio {
class io_context;
}

namespace mesh::cluster {

struct ServerCounters {
  std::uint64_t connections = 0;
  std::uint64_t connections_refused = 0;  // over the limit of open connections
  std::uint64_t handshakes_failed = 0;    // TLS: wrong CA, expired, older than 1.3, not TLS at all, too slow
  std::uint64_t joins = 0;
  std::uint64_t joins_refused = 0;   // wrong secret or request
  std::uint64_t joins_limited = 0;   // by the rate limit
  std::uint64_t no_certificate = 0;  // another route than /join without a certificate
  std::uint64_t nodes_refused = 0;   // removed nodes, hello of another node
  std::uint64_t frames_refused = 0;  // too long or not a message
  std::uint64_t queues_overflowed = 0;
  std::uint64_t sessions = 0;  // open now
};
template <class Visit>
constexpr bool json_fields(const ServerCounters*, Visit&& visit) {
  using C = ServerCounters;
  return visit("Connections", &C::connections) && visit("ConnectionsRefused", &C::connections_refused) &&
         visit("HandshakesFailed", &C::handshakes_failed) && visit("Joins", &C::joins) &&
         visit("JoinsRefused", &C::joins_refused) && visit("JoinsLimited", &C::joins_limited) &&
         visit("NoCertificate", &C::no_certificate) && visit("NodesRefused", &C::nodes_refused) &&
         visit("FramesRefused", &C::frames_refused) && visit("QueuesOverflowed", &C::queues_overflowed) &&
         visit("Sessions", &C::sessions);
}

class ManagerServer {
 public:
  // All called on the loop's thread. A node has at most one session: a new one replaces the old (on_close comes first).
  struct Callbacks {
    // Signs in a new node; an error's text goes to the joiner.
    std::function<Result<JoinAnswer>(const JoinRequest&, const SocketAddress& from)> join;
    // A new certificate for a node that has one: PEM.
    std::function<Result<std::string>(const Subject&, const std::string& request)> renew;
    // False: the node was removed; its certificate counts no more.
    std::function<bool(const std::string& node_id)> is_member;
    // First message of a session, its node id checked against the certificate. An error refuses the session; its text
    // goes to the node. The welcome is sent from here or later.
    std::function<Status(const std::string& node_id, const Hello&)> on_hello;
    // Never a hello or a renewal.
    std::function<void(const std::string& node_id, const AgentMessage&)> on_message;
    std::function<void(const std::string& node_id, const std::string& why)> on_close;
  };
  struct Options {
    Duration handshake_timeout = std::chrono::seconds(10);  // TLS and HTTP request, each
    Duration idle_timeout = std::chrono::seconds(15);       // silence that ends a session: three heartbeats
    std::size_t connections_max = 4096;
    std::uint32_t join_burst = 10;  // per source; ten times as many for all together
    Duration join_period = std::chrono::seconds(1);
  };

  ManagerServer(boost::asio::io_context& loop, NodeIdentity identity, Callbacks callbacks, Options options);
  ManagerServer(boost::asio::io_context& loop, NodeIdentity identity, Callbacks callbacks);
  ~ManagerServer();  // as stop()
  ManagerServer(const ManagerServer&) = delete;
  ManagerServer& operator=(const ManagerServer&) = delete;

  // Port 0 chooses one; the bound address is returned. kConflict: the port is taken.
  Result<SocketAddress> listen(const SocketAddress& address);
  // Closes everything; no callback comes afterwards.
  void stop();

  // kUnavailable: no session; kExhausted: its queue is full and the session was cut.
  Status send(const std::string& node_id, const ManagerMessage& message);
  void close(const std::string& node_id, const std::string& why);
  // This manager's renewed certificate, for connections from now on.
  Status use_identity(const NodeIdentity& identity);
  [[nodiscard]] ServerCounters counters() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::cluster
