#include "control/cluster/manager_server.h"

#include <deque>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/log.h"
#include "control/cluster/rate_limit.h"
#include "control/cluster/stream.h"
#include "control/cluster/tls.h"

namespace mesh::cluster {
namespace {

constexpr std::uint32_t kRequestHeaderBytesMax = 8U << 10U;
constexpr std::size_t kRequestBodyBytesMax = 64U << 10U;
// A close frame is answered within this, or the connection is cut.
constexpr Duration kCloseTimeout = std::chrono::seconds(2);
// All sources together may join this many times as fast as one.
constexpr std::uint32_t kJoinTotalFactor = 10;

using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

Response answer(const Request& request, http::status status, const Json& body) {
  Response response(status, request.version());
  response.set(http::field::content_type, "application/json");
  response.keep_alive(false);
  response.body() = to_text(body);
  response.prepare_payload();
  return response;
}
Response refuse(const Request& request, http::status status, const std::string& message) {
  return answer(request, status, JsonObject{{"message", message}});
}
// RFC 6455 §5.5.1: 123 bytes at most.
websocket::close_reason close_reason(const std::string& why) {
  return {websocket::close_code::policy_error, std::string_view(why).substr(0, 120)};
}

http::status status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return http::status::bad_request;
    case ErrorKind::kUnauthorized:
      return http::status::unauthorized;
    case ErrorKind::kForbidden:
      return http::status::forbidden;
    case ErrorKind::kUnsupported:
      return http::status::not_implemented;
    case ErrorKind::kInternal:
      return http::status::internal_server_error;
    default:
      return http::status::service_unavailable;
  }
}

}  // namespace

class ManagerServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, NodeIdentity identity, Callbacks callbacks, Options options)
      : loop_(loop),
        identity_(std::move(identity)),
        callbacks_(std::move(callbacks)),
        options_(options),
        acceptor_(loop),
        join_limit_(options.join_burst, options.join_period, kJoinTotalFactor) {}

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
  // One TLS connection, and, after the upgrade, one node's session. The write side is a queue with one write in flight.
  struct Connection {
    Connection(Tcp::socket tcp_socket, const TlsContext& settings)
        : context(settings.share()), socket(std::move(tcp_socket), context), expiry(socket.get_executor()) {}
    [[nodiscard]] beast::tcp_stream& tcp() { return beast::get_lowest_layer(socket); }

    asio::ssl::context context;
    WebSocket socket;
    asio::steady_timer expiry;  // of the peer's certificate; later: of an unanswered close
    SocketAddress peer;
    std::string node_id;
    std::deque<std::string> queue;
    bool closing = false;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  asio::awaitable<void> accept(std::shared_ptr<Impl> self);
  asio::awaitable<void> serve(std::shared_ptr<Impl> self, ConnectionPtr connection);
  asio::awaitable<void> serve_request(ConnectionPtr connection);
  asio::awaitable<void> respond(ConnectionPtr connection, Response response);
  asio::awaitable<void> serve_session(ConnectionPtr connection, Request request, CertificateInfo peer);
  asio::awaitable<void> read_frames(ConnectionPtr connection, Subject peer);
  [[nodiscard]] Response join(const Request& request, const SocketAddress& from);
  [[nodiscard]] Status handle(const ConnectionPtr& connection, const Subject& peer, const AgentMessage& message);
  [[nodiscard]] Status handle_hello(const ConnectionPtr& connection, const Hello& hello);
  [[nodiscard]] Status renew(const ConnectionPtr& connection, const Subject& peer, const Renew& request);
  void enqueue(const ConnectionPtr& connection, const ManagerMessage& message);
  void write_next(ConnectionPtr connection);
  static void close_politely(const ConnectionPtr& connection, const std::string& why);
  static asio::awaitable<void> say_why(ConnectionPtr connection, std::string why);
  static void cut_later(const ConnectionPtr& connection);
  void forget(const ConnectionPtr& connection, const std::string& why);
  void close_at_expiry(const ConnectionPtr& connection, Time not_after);

  asio::io_context& loop_;
  NodeIdentity identity_;
  Callbacks callbacks_;
  Options options_;
  Tcp::acceptor acceptor_;
  RateLimit join_limit_;
  std::optional<TlsContext> settings_;
  std::set<ConnectionPtr> connections_;
  std::map<std::string, ConnectionPtr> sessions_;  // by node id, after an accepted hello
  ServerCounters counters_;
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
  for (const ConnectionPtr& connection : connections_) {
    connection->expiry.cancel();
    connection->tcp().close();
  }
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
    auto connection = std::make_shared<Connection>(std::move(socket), *settings_);
    connection->peer = from_endpoint(peer);
    connections_.insert(connection);
    auto work = serve(self, connection);
    asio::co_spawn(loop_, std::move(work), asio::detached);
  }
}

asio::awaitable<void> ManagerServer::Impl::serve(std::shared_ptr<Impl> self, ConnectionPtr connection) {
  connection->tcp().expires_after(to_steady(options_.handshake_timeout));
  auto [error] = co_await connection->socket.next_layer().async_handshake(asio::ssl::stream_base::server, kAwait);
  if (error) {
    ++counters_.handshakes_failed;
    spdlog::debug("cluster port: handshake failed peer={} error=\"{}\"", connection->peer.to_string(),
                  describe(error, connection->socket.next_layer().native_handle()));
  } else {
    co_await serve_request(connection);
  }
  connection->expiry.cancel();
  connection->tcp().close();
  self->connections_.erase(connection);
}

asio::awaitable<void> ManagerServer::Impl::serve_request(ConnectionPtr connection) {
  connection->tcp().expires_after(to_steady(options_.handshake_timeout));
  beast::flat_buffer buffer(kRequestHeaderBytesMax + kRequestBodyBytesMax);
  http::request_parser<http::string_body> parser;
  parser.header_limit(kRequestHeaderBytesMax);
  parser.body_limit(kRequestBodyBytesMax);
  auto [error, size] = co_await http::async_read(connection->socket.next_layer(), buffer, parser, kAwait);
  if (error || stopped_) co_return;
  Request request = parser.release();
  const Result<std::optional<CertificateInfo>> peer = peer_certificate(connection->socket.next_layer().native_handle());
  if (!peer) {
    ++counters_.nodes_refused;
    Response response = refuse(request, http::status::unauthorized, peer.error().message);
    co_return co_await respond(connection, std::move(response));
  }
  if (request.method() == http::verb::post && request.target() == "/join") {
    Response response = join(request, connection->peer);
    co_return co_await respond(connection, std::move(response));
  }
  if (!peer->has_value()) {
    ++counters_.no_certificate;
    Response response = refuse(request, http::status::forbidden,
                               "without a certificate of this cluster only POST /join is served here");
    co_return co_await respond(connection, std::move(response));
  }
  if (request.target() != "/session" || !websocket::is_upgrade(request)) {
    Response response = refuse(request, http::status::not_found, "the cluster port serves /join and /session only");
    co_return co_await respond(connection, std::move(response));
  }
  CertificateInfo info = **peer;
  co_await serve_session(connection, std::move(request), std::move(info));
}

asio::awaitable<void> ManagerServer::Impl::respond(ConnectionPtr connection, Response response) {
  connection->tcp().expires_after(to_steady(options_.handshake_timeout));
  auto [write_error, size] = co_await http::async_write(connection->socket.next_layer(), response, kAwait);
  if (write_error) co_return;
  [[maybe_unused]] auto [ignored] = co_await connection->socket.next_layer().async_shutdown(kAwait);
}

Response ManagerServer::Impl::join(const Request& request, const SocketAddress& from) {
  if (!join_limit_.admit(from.ip, wall_now())) {
    ++counters_.joins_limited;
    return refuse(request, http::status::too_many_requests,
                  fmt::format("too many joins from {}; try again in a few seconds", from.ip.to_string()));
  }
  Result<JoinRequest> body = decode_text<JoinRequest>(request.body());
  Result<JoinAnswer> result =
      body ? callbacks_.join(*body, from) : std::unexpected(std::move(body.error()).in("join request"));
  if (!result) {
    ++counters_.joins_refused;
    spdlog::warn("join refused peer={} error=\"{}\"", from.to_string(), result.error().message);
    return refuse(request, status_of(result.error().kind), result.error().message);
  }
  ++counters_.joins;
  return answer(request, http::status::ok, encode(*result));
}

asio::awaitable<void> ManagerServer::Impl::serve_session(ConnectionPtr connection, Request request,
                                                         CertificateInfo peer) {
  if (peer.subject.cluster_id != identity_.info.subject.cluster_id || !callbacks_.is_member(peer.subject.node_id)) {
    ++counters_.nodes_refused;
    Response response = refuse(
        request, http::status::forbidden,
        fmt::format("node {} was removed from this cluster; `swarm leave` there and join again", peer.subject.node_id));
    co_return co_await respond(connection, std::move(response));
  }
  connection->tcp().expires_never();  // the WebSocket's own timeouts from here on
  websocket::stream_base::timeout timeouts;
  timeouts.handshake_timeout = to_steady(options_.handshake_timeout);
  timeouts.idle_timeout = to_steady(options_.idle_timeout);
  timeouts.keep_alive_pings = false;
  connection->socket.set_option(timeouts);
  connection->socket.read_message_max(kFrameBytesMax);
  auto [error] = co_await connection->socket.async_accept(request, kAwait);
  if (error || stopped_) co_return;
  connection->node_id = peer.subject.node_id;
  close_at_expiry(connection, peer.not_after);
  co_await read_frames(connection, peer.subject);
}

asio::awaitable<void> ManagerServer::Impl::read_frames(ConnectionPtr connection, Subject peer) {
  beast::flat_buffer buffer;
  std::string why;
  while (why.empty()) {
    auto [error, size] = co_await connection->socket.async_read(buffer, kAwait);
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
      co_await say_why(connection, why);
    }
  }
  forget(connection, why);
}

Status ManagerServer::Impl::handle(const ConnectionPtr& connection, const Subject& peer, const AgentMessage& message) {
  if (connection->closing) return {};
  if (message.hello) return handle_hello(connection, *message.hello);
  const auto session = sessions_.find(connection->node_id);
  if (session == sessions_.end() || session->second != connection) {
    ++counters_.frames_refused;
    return fail(ErrorKind::kInvalid, "the first message of a session is the hello");
  }
  if (message.renew) return renew(connection, peer, *message.renew);
  callbacks_.on_message(connection->node_id, message);
  return {};
}

Status ManagerServer::Impl::handle_hello(const ConnectionPtr& connection, const Hello& hello) {
  if (hello.node_id != connection->node_id) {
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
    close_politely(replaced, "replaced by a new session");
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
  enqueue(connection, message);
  return {};
}

Status ManagerServer::Impl::send(const std::string& node_id, const ManagerMessage& message) {
  const auto found = sessions_.find(node_id);
  if (found == sessions_.end()) return fail(ErrorKind::kUnavailable, "node " + node_id + " has no session");
  const ConnectionPtr connection = found->second;
  if (connection->queue.size() >= kSendQueueMax) {
    ++counters_.queues_overflowed;
    connection->tcp().close();
    return fail(ErrorKind::kExhausted, "node " + node_id + " does not read; its session is cut");
  }
  enqueue(connection, message);
  return {};
}

void ManagerServer::Impl::enqueue(const ConnectionPtr& connection, const ManagerMessage& message) {
  if (connection->closing) return;
  connection->queue.push_back(to_text(encode(message)));
  if (connection->queue.size() == 1) write_next(connection);
}

void ManagerServer::Impl::write_next(ConnectionPtr connection) {
  const auto buffer = asio::buffer(connection->queue.front());
  connection->socket.async_write(buffer, [self = shared_from_this(), connection](const ErrorCode& error, std::size_t) {
    if (error) return;  // the reader reports it
    connection->queue.pop_front();
    if (!connection->queue.empty() && !self->stopped_) self->write_next(connection);
  });
}

void ManagerServer::Impl::close(const std::string& node_id, const std::string& why) {
  const auto found = sessions_.find(node_id);
  if (found == sessions_.end()) return;
  const ConnectionPtr connection = found->second;
  forget(connection, why);
  close_politely(connection, why);
}

// Tells the peer why and cuts the connection if it does not answer. For others than the reader of the connection, who
// sees the peer's half of the closing.
void ManagerServer::Impl::close_politely(const ConnectionPtr& connection, const std::string& why) {
  if (std::exchange(connection->closing, true)) return;
  connection->socket.async_close(close_reason(why), [connection](const ErrorCode&) {});
  cut_later(connection);
}

// The same for the reader itself.
asio::awaitable<void> ManagerServer::Impl::say_why(ConnectionPtr connection, std::string why) {
  if (std::exchange(connection->closing, true)) co_return;
  cut_later(connection);
  const websocket::close_reason reason = close_reason(why);
  [[maybe_unused]] auto [ignored] = co_await connection->socket.async_close(reason, kAwait);
}

void ManagerServer::Impl::cut_later(const ConnectionPtr& connection) {
  connection->expiry.expires_after(to_steady(kCloseTimeout));
  connection->expiry.async_wait([connection](const ErrorCode& error) {
    if (!error) connection->tcp().close();
  });
}

void ManagerServer::Impl::forget(const ConnectionPtr& connection, const std::string& why) {
  const auto found = sessions_.find(connection->node_id);
  if (found == sessions_.end() || found->second != connection) return;
  sessions_.erase(found);
  if (!stopped_) callbacks_.on_close(connection->node_id, why);
}

void ManagerServer::Impl::close_at_expiry(const ConnectionPtr& connection, Time not_after) {
  connection->expiry.expires_after(to_steady(std::max(not_after - wall_now(), Duration::zero())));
  connection->expiry.async_wait([weak = weak_from_this(), connection](const ErrorCode& error) {
    const std::shared_ptr<Impl> self = weak.lock();
    if (error || !self || self->stopped_) return;
    self->forget(connection, "its certificate has expired");
    self->close_politely(connection, "the node's certificate has expired");
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
