#include "control/cluster/manager_server.h"

#include <map>
#include <set>

#include <fmt/format.h>

#include "base/log.h"
#include "control/cluster/join_route.h"
#include "control/cluster/node_connection.h"

namespace mesh::cluster {

class ManagerServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, NodeIdentity identity, Callbacks callbacks, Options options)
      : loop_(loop),
        identity_(std::move(identity)),
        callbacks_(std::move(callbacks)),
        options_(options),
        acceptor_(loop),
        join_route_(callbacks_.join, options, counters_) {}

  Result<SocketAddress> listen(const SocketAddress& address);
  void stop();
  Status send(const std::string& node_id, const ManagerMessage& message);
  void close(const std::string& node_id, const std::string& why);
  Status use_identity(const NodeIdentity& identity);
  [[nodiscard]] ServerCounters counters() const {
    ServerCounters counters = counters_;
    counters.sessions = sessions_.size();
    return counters;
  }

 private:
  using ConnectionPtr = std::shared_ptr<NodeConnection>;

  asio::awaitable<void> accept(std::shared_ptr<Impl> self);
  asio::awaitable<void> serve(std::shared_ptr<Impl> self, ConnectionPtr connection);
  asio::awaitable<void> serve_request(ConnectionPtr connection);
  asio::awaitable<void> respond(ConnectionPtr connection, HttpResponse response);
  asio::awaitable<void> serve_session(ConnectionPtr connection, HttpRequest request, CertificateInfo peer);
  asio::awaitable<void> read_frames(ConnectionPtr connection, Subject peer);
  [[nodiscard]] Status handle(const ConnectionPtr& connection, const Subject& peer, const AgentMessage& message);
  [[nodiscard]] Status handle_hello(const ConnectionPtr& connection, const Hello& hello);
  [[nodiscard]] Status renew(const ConnectionPtr& connection, const Subject& peer, const Renew& request);
  void forget(const ConnectionPtr& connection, const std::string& why);
  void close_at_expiry(const ConnectionPtr& connection, Time not_after);

  asio::io_context& loop_;
  NodeIdentity identity_;
  Callbacks callbacks_;
  Options options_;
  ServerCounters counters_;
  Tcp::acceptor acceptor_;
  JoinRoute join_route_;
  std::optional<TlsContext> settings_;
  std::set<ConnectionPtr> connections_;
  std::map<std::string, ConnectionPtr> sessions_;  // by node id, after an accepted hello
  bool stopped_ = false;
};

Result<SocketAddress> ManagerServer::Impl::listen(const SocketAddress& address) {
  settings_ = TRY(TlsContext::server(identity_));
  const Tcp::endpoint endpoint = to_endpoint(address);
  ErrorCode error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) close_on_exec(acceptor_.native_handle());
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    return fail(ErrorKind::kConflict, fmt::format("the cluster port {} is in use by another program; choose another "
                                                  "with --listen",
                                                  address.to_string()));
  }
  if (error) {
    return fail(ErrorKind::kInvalid,
                fmt::format("cannot listen on {} for the cluster: {}", address.to_string(), error.message()));
  }
  auto work = accept(shared_from_this());
  asio::co_spawn(loop_, std::move(work), asio::detached);
  return from_endpoint(acceptor_.local_endpoint());
}

void ManagerServer::Impl::stop() {
  if (stopped_) return;
  stopped_ = true;
  ErrorCode ignored;
  acceptor_.close(ignored);
  for (const ConnectionPtr& connection : connections_) connection->cut();
  sessions_.clear();
}

asio::awaitable<void> ManagerServer::Impl::accept(std::shared_ptr<Impl> self) {
  while (!self->stopped_) {
    auto [error, socket] = co_await acceptor_.async_accept(kAwait);
    if (stopped_) break;
    if (error) {
      // Out of descriptors or memory: those in use end sooner or later.
      spdlog::warn("cluster port: accept failed error=\"{}\"", error.message());
      asio::steady_timer pause(loop_, std::chrono::milliseconds(100));
      [[maybe_unused]] auto [ignored] = co_await pause.async_wait(kAwait);
      continue;
    }
    ++counters_.connections;
    if (connections_.size() >= options_.connections_max) {
      ++counters_.connections_refused;
      continue;
    }
    set_tcp_options(socket);
    ErrorCode peer_error;
    const Tcp::endpoint peer = socket.remote_endpoint(peer_error);
    auto connection = std::make_shared<NodeConnection>(std::move(socket), *settings_, from_endpoint(peer));
    connections_.insert(connection);
    auto work = serve(self, connection);
    asio::co_spawn(loop_, std::move(work), asio::detached);
  }
}

asio::awaitable<void> ManagerServer::Impl::serve(std::shared_ptr<Impl> self, ConnectionPtr connection) {
  connection->tls().tcp().expires_after(to_steady(options_.handshake_timeout));
  const ErrorCode error = co_await connection->tls().handshake(asio::ssl::stream_base::server);
  if (error) {
    ++counters_.handshakes_failed;
    spdlog::debug("cluster port: handshake failed peer={} error=\"{}\"", connection->peer().to_string(),
                  describe(error, connection->tls().native_handle()));
  } else {
    co_await serve_request(connection);
  }
  connection->cut();
  self->connections_.erase(connection);
}

asio::awaitable<void> ManagerServer::Impl::serve_request(ConnectionPtr connection) {
  connection->tls().tcp().expires_after(to_steady(options_.handshake_timeout));
  HttpRequest request;
  const ErrorCode error = co_await read_request(connection->tls(), request);
  if (error || stopped_) co_return;
  const Result<std::optional<CertificateInfo>> peer = peer_certificate(connection->tls().native_handle());
  if (!peer) {
    ++counters_.nodes_refused;
    HttpResponse response = error_response(request, http::status::unauthorized, peer.error().message);
    co_return co_await respond(connection, std::move(response));
  }
  if (request.method() == http::verb::post && request.target() == "/join") {
    HttpResponse response = join_route_.answer(request, connection->peer());
    co_return co_await respond(connection, std::move(response));
  }
  if (!peer->has_value()) {
    ++counters_.no_certificate;
    HttpResponse response = error_response(request, http::status::forbidden,
                                           "without a certificate of this cluster only POST /join is served here");
    co_return co_await respond(connection, std::move(response));
  }
  if (request.target() != "/session" || !websocket::is_upgrade(request)) {
    HttpResponse response =
        error_response(request, http::status::not_found, "the cluster port serves /join and /session only");
    co_return co_await respond(connection, std::move(response));
  }
  CertificateInfo info = **peer;
  co_await serve_session(connection, std::move(request), std::move(info));
}

asio::awaitable<void> ManagerServer::Impl::respond(ConnectionPtr connection, HttpResponse response) {
  connection->tls().tcp().expires_after(to_steady(options_.handshake_timeout));
  const ErrorCode error = co_await write_response(connection->tls(), response);
  if (error) co_return;
  [[maybe_unused]] const ErrorCode ignored = co_await connection->tls().shutdown();
}

asio::awaitable<void> ManagerServer::Impl::serve_session(ConnectionPtr connection, HttpRequest request,
                                                         CertificateInfo peer) {
  if (peer.subject.cluster_id != identity_.info.subject.cluster_id || !callbacks_.is_member(peer.subject.node_id)) {
    ++counters_.nodes_refused;
    HttpResponse response = error_response(
        request, http::status::forbidden,
        fmt::format("node {} was removed from this cluster; `swarm leave` there and join again", peer.subject.node_id));
    co_return co_await respond(connection, std::move(response));
  }
  connection->tls().tcp().expires_never();  // the WebSocket's own timeouts from here on
  connection->socket().set_timeouts(options_.handshake_timeout, options_.idle_timeout);
  const ErrorCode error = co_await connection->socket().accept(request);
  if (error || stopped_) co_return;
  connection->set_node_id(peer.subject.node_id);
  close_at_expiry(connection, peer.not_after);
  co_await read_frames(connection, peer.subject);
}

asio::awaitable<void> ManagerServer::Impl::read_frames(ConnectionPtr connection, Subject peer) {
  beast::flat_buffer buffer;
  std::string why;
  while (why.empty()) {
    const ErrorCode error = co_await connection->socket().read(buffer);
    if (error == websocket::error::message_too_big || error == websocket::error::buffer_overflow ||
        error == websocket::condition::protocol_violation) {
      ++counters_.frames_refused;
    }
    if (error || stopped_) {
      why = error ? describe(error, nullptr) : "the manager stops";
      break;
    }
    const Result<AgentMessage> message = read_frame<AgentMessage>(buffer, kFrameBytesMax);
    buffer.consume(buffer.size());
    if (!message) ++counters_.frames_refused;
    const Status handled = message ? handle(connection, peer, *message) : std::unexpected(message.error());
    if (!handled) why = handled.error().message;
    if (!handled && !stopped_) {
      forget(connection, why);
      co_await connection->say_why(why);
    }
  }
  forget(connection, why);
}

Status ManagerServer::Impl::handle(const ConnectionPtr& connection, const Subject& peer, const AgentMessage& message) {
  if (connection->closing()) return {};
  if (message.hello) return handle_hello(connection, *message.hello);
  const auto session = sessions_.find(connection->node_id());
  if (session == sessions_.end() || session->second != connection) {
    ++counters_.frames_refused;
    return fail(ErrorKind::kInvalid, "the first message of a session is the hello");
  }
  if (message.renew) return renew(connection, peer, *message.renew);
  callbacks_.on_message(connection->node_id(), message);
  return {};
}

Status ManagerServer::Impl::handle_hello(const ConnectionPtr& connection, const Hello& hello) {
  if (hello.node_id != connection->node_id()) {
    ++counters_.nodes_refused;
    return fail(ErrorKind::kForbidden, "the hello is of another node than the certificate");
  }
  if (const auto old = sessions_.find(hello.node_id); old != sessions_.end()) {
    const ConnectionPtr replaced = old->second;
    if (replaced == connection) {
      ++counters_.frames_refused;
      return fail(ErrorKind::kInvalid, "a second hello in one session");
    }
    forget(replaced, "replaced by a new session");
    replaced->close_politely("replaced by a new session");
  }
  sessions_[hello.node_id] = connection;  // before the call: the welcome is sent from inside
  const Status accepted = callbacks_.on_hello(hello.node_id, hello);
  if (!accepted) {
    ++counters_.nodes_refused;
    sessions_.erase(hello.node_id);
  }
  return accepted;
}

Status ManagerServer::Impl::renew(const ConnectionPtr& connection, const Subject& peer, const Renew& request) {
  Result<std::string> certificate = callbacks_.renew(peer, request.request);
  if (!certificate) {
    spdlog::warn("certificate not renewed node={} error=\"{}\"", peer.node_id, certificate.error().message);
    return {};  // it asks again; the session goes on
  }
  ManagerMessage message;
  message.certificate = Certificate{std::move(*certificate)};
  connection->send(message);
  return {};
}

Status ManagerServer::Impl::send(const std::string& node_id, const ManagerMessage& message) {
  const auto found = sessions_.find(node_id);
  if (found == sessions_.end()) return fail(ErrorKind::kUnavailable, "node " + node_id + " has no session");
  const ConnectionPtr connection = found->second;
  if (connection->full()) {
    ++counters_.queues_overflowed;
    connection->cut();
    return fail(ErrorKind::kExhausted, "node " + node_id + " does not read; its session is cut");
  }
  connection->send(message);
  return {};
}

void ManagerServer::Impl::close(const std::string& node_id, const std::string& why) {
  const auto found = sessions_.find(node_id);
  if (found == sessions_.end()) return;
  const ConnectionPtr connection = found->second;
  forget(connection, why);
  connection->close_politely(why);
}

void ManagerServer::Impl::forget(const ConnectionPtr& connection, const std::string& why) {
  const auto found = sessions_.find(connection->node_id());
  if (found == sessions_.end() || found->second != connection) return;
  sessions_.erase(found);
  if (!stopped_) callbacks_.on_close(connection->node_id(), why);
}

void ManagerServer::Impl::close_at_expiry(const ConnectionPtr& connection, Time not_after) {
  connection->at_expiry(not_after, [weak = weak_from_this(), connection] {
    const std::shared_ptr<Impl> self = weak.lock();
    if (!self || self->stopped_) return;
    self->forget(connection, "its certificate has expired");
    connection->close_politely("the node's certificate has expired");
  });
}

Status ManagerServer::Impl::use_identity(const NodeIdentity& identity) {
  settings_ = TRY(TlsContext::server(identity));
  identity_ = identity;
  return {};
}

ManagerServer::ManagerServer(asio::io_context& loop, NodeIdentity identity, Callbacks callbacks, Options options)
    : impl_(std::make_shared<Impl>(loop, std::move(identity), std::move(callbacks), options)) {}
ManagerServer::ManagerServer(asio::io_context& loop, NodeIdentity identity, Callbacks callbacks)
    : ManagerServer(loop, std::move(identity), std::move(callbacks), Options{}) {}
ManagerServer::~ManagerServer() { impl_->stop(); }
Result<SocketAddress> ManagerServer::listen(const SocketAddress& address) { return impl_->listen(address); }
void ManagerServer::stop() { impl_->stop(); }
Status ManagerServer::send(const std::string& node_id, const ManagerMessage& message) {
  return impl_->send(node_id, message);
}
void ManagerServer::close(const std::string& node_id, const std::string& why) { impl_->close(node_id, why); }
Status ManagerServer::use_identity(const NodeIdentity& identity) { return impl_->use_identity(identity); }
ServerCounters ManagerServer::counters() const { return impl_->counters(); }

}  // namespace mesh::cluster
