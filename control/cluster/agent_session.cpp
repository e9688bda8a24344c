#include "control/cluster/agent_session.h"

#include <algorithm>
#include <deque>

#include <openssl/rand.h>

#include "base/log.h"
#include "control/cluster/tls.h"
#include "control/cluster/web_socket.h"

namespace mesh::cluster {
namespace {

// In [0, 1]: spreads the nodes' heartbeats, renewals and reconnects.
double random_fraction() {
  std::uint16_t value = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&value), sizeof value);
  return static_cast<double>(value) / 65535.0;
}

// Silence of the manager that ends a session, in heartbeats.
constexpr int kSilenceHeartbeats = 3;
constexpr Duration kHeartbeatDefault = std::chrono::seconds(5);
// A renewal that was not answered is asked again after this.
constexpr Duration kRenewalRetry = std::chrono::minutes(10);
constexpr Duration kRenewalCheck = std::chrono::minutes(30);

// One connection. The write side is a queue with one write in flight.
struct Connection {
  Connection(const asio::any_io_executor& executor, const TlsContext& settings)
      : context(settings.share()), socket(executor, context) {}

  [[nodiscard]] beast::tcp_stream& tcp() { return socket.tls().tcp(); }

  asio::ssl::context context;
  WebSocket socket;
  std::deque<std::string> queue;
  bool welcomed = false;
  std::string end_reason;  // why we ended it ourselves
};

}  // namespace

class AgentSession::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, NodeIdentity identity, std::vector<SocketAddress> managers, Callbacks callbacks,
       Options options)
      : loop_(loop),
        identity_(std::move(identity)),
        managers_(std::move(managers)),
        callbacks_(std::move(callbacks)),
        options_(options),
        retry_timer_(loop),
        heartbeat_timer_(loop),
        renewal_timer_(loop) {}

  void start();
  void stop();
  void end(const std::string& why);
  Status send(const AgentMessage& message);
  void use_managers(std::vector<SocketAddress> managers) { managers_ = std::move(managers); }
  [[nodiscard]] bool up() const { return connection_ != nullptr && connection_->welcomed; }

 private:
  asio::awaitable<void> run(std::shared_ptr<Impl> self);
  asio::awaitable<std::string> attempt(SocketAddress manager);
  asio::awaitable<std::string> open(std::shared_ptr<Connection> connection, SocketAddress manager);
  asio::awaitable<std::string> read_frames(std::shared_ptr<Connection> connection);
  Status enqueue(const std::shared_ptr<Connection>& connection, const AgentMessage& message);
  void write_next(const std::shared_ptr<Connection>& connection);
  void receive(const std::shared_ptr<Connection>& connection, const ManagerMessage& message);
  void schedule_heartbeat();
  void schedule_renewal(Time at);
  void ask_renewal();
  void accept_certificate(const Certificate& certificate);

  asio::io_context& loop_;
  NodeIdentity identity_;
  std::vector<SocketAddress> managers_;
  Callbacks callbacks_;
  Options options_;
  asio::steady_timer retry_timer_, heartbeat_timer_, renewal_timer_;
  std::shared_ptr<Connection> connection_;
  Duration heartbeat_period_ = kHeartbeatDefault;
  std::uint64_t heartbeat_sequence_ = 0;
  std::string pending_key_;  // of the renewal that is asked for
  std::size_t next_manager_ = 0;
  bool stopped_ = false;
  bool at_once_ = false;  // the next attempt waits for nothing
};

void AgentSession::Impl::start() {
  schedule_renewal(renewal_time(identity_.info, random_fraction()));
  auto work = run(shared_from_this());
  asio::co_spawn(loop_, std::move(work), asio::detached);
}

void AgentSession::Impl::stop() {
  if (stopped_) return;
  stopped_ = true;
  retry_timer_.cancel();
  heartbeat_timer_.cancel();
  renewal_timer_.cancel();
  if (connection_) connection_->tcp().close();
}

void AgentSession::Impl::end(const std::string& why) {
  if (!connection_) return;
  if (connection_->end_reason.empty()) connection_->end_reason = why;
  at_once_ = connection_->welcomed;
  connection_->tcp().close();
}

asio::awaitable<void> AgentSession::Impl::run(std::shared_ptr<Impl> self) {
  Duration backoff = options_.backoff_min;
  while (!self->stopped_) {
    std::string why = "no manager is known";
    bool was_up = false;
    if (!managers_.empty()) {
      const SocketAddress manager = managers_[next_manager_++ % managers_.size()];
      why = co_await attempt(manager);
      was_up = connection_ && connection_->welcomed;
      if (connection_ && !connection_->end_reason.empty()) why = connection_->end_reason;
      why = manager.to_string() + ": " + why;
    }
    connection_.reset();
    heartbeat_timer_.cancel();
    if (stopped_) break;
    callbacks_.on_state(SessionState::kDown, why);
    if (stopped_) break;
    if (was_up) backoff = options_.backoff_min;
    if (!std::exchange(at_once_, false)) {
      // Half to the full time: nodes that lost the same manager do not come back in step.
      const auto wait =
          Duration(static_cast<std::int64_t>(static_cast<double>(backoff.count()) * (0.5 + 0.5 * random_fraction())));
      retry_timer_.expires_after(to_steady(wait));
      [[maybe_unused]] auto [ignored] = co_await retry_timer_.async_wait(kAwait);
      backoff = std::min(backoff * 2, options_.backoff_max);
    }
  }
}

asio::awaitable<std::string> AgentSession::Impl::attempt(SocketAddress manager) {
  const Result<TlsContext> settings = TlsContext::client(identity_);
  if (!settings) co_return settings.error().message;
  const asio::any_io_executor executor = loop_.get_executor();
  connection_ = std::make_shared<Connection>(executor, *settings);
  const std::shared_ptr<Connection> connection = connection_;
  std::string failure = co_await open(connection, manager);
  if (!failure.empty() || stopped_) co_return failure;
  AgentMessage hello;
  hello.hello = callbacks_.hello();
  if (Status sent = enqueue(connection, hello); !sent) co_return sent.error().message;
  std::string end = co_await read_frames(connection);
  co_return end;
}

// Connects, shakes hands, upgrades. "" or the reason of the failure.
asio::awaitable<std::string> AgentSession::Impl::open(std::shared_ptr<Connection> connection, SocketAddress manager) {
  const Tcp::endpoint endpoint = to_endpoint(manager);
  connection->tcp().expires_after(to_steady(options_.handshake_timeout));
  TlsStream& tls = connection->socket.tls();
  const ErrorCode connect_error = co_await tls.connect(endpoint);
  if (connect_error) co_return describe(connect_error, nullptr);
  set_tcp_options(connection->tcp().socket());
  const ErrorCode tls_error = co_await tls.handshake(asio::ssl::stream_base::client);
  if (tls_error) co_return describe(tls_error, tls.native_handle());
  connection->tcp().expires_never();  // the WebSocket's own timeouts from here on
  connection->socket.set_timeouts(options_.handshake_timeout, options_.handshake_timeout);  // until the welcome
  HttpResponse response;
  const std::string host = manager.to_string();
  const std::string target = "/session";
  const ErrorCode upgrade_error = co_await connection->socket.handshake(response, host, target);
  if (upgrade_error == websocket::error::upgrade_declined) {
    co_return response.body().empty() ? "the manager declines the session" : response.body();
  }
  if (upgrade_error) co_return describe(upgrade_error, tls.native_handle());
  co_return std::string();
}

asio::awaitable<std::string> AgentSession::Impl::read_frames(std::shared_ptr<Connection> connection) {
  beast::flat_buffer buffer;
  while (!stopped_) {
    const ErrorCode error = co_await connection->socket.read(buffer);
    if (error == websocket::error::closed && !connection->socket.close_reason().empty()) {
      co_return connection->socket.close_reason();
    }
    if (error) co_return describe(error, nullptr);
    if (stopped_) break;
    const Result<ManagerMessage> message = read_frame<ManagerMessage>(buffer, kFrameBytesMax);
    if (!message) co_return "the manager sent what is no message: " + message.error().message;
    buffer.consume(buffer.size());
    if (!connection->welcomed && !message->welcome) co_return std::string("the manager sent no welcome first");
    receive(connection, *message);
  }
  co_return std::string("stopped");
}

void AgentSession::Impl::receive(const std::shared_ptr<Connection>& connection, const ManagerMessage& message) {
  if (message.certificate) return accept_certificate(*message.certificate);
  if (message.welcome) {
    connection->welcomed = true;
    heartbeat_period_ =
        message.welcome->heartbeat_period > Duration::zero() ? message.welcome->heartbeat_period : kHeartbeatDefault;
    connection->socket.set_timeouts(options_.handshake_timeout, heartbeat_period_ * kSilenceHeartbeats);
    schedule_heartbeat();
    callbacks_.on_state(SessionState::kUp, "");
  }
  if (!stopped_) callbacks_.on_message(message);
}

Status AgentSession::Impl::send(const AgentMessage& message) {
  if (!up()) return fail(ErrorKind::kUnavailable, "no session with a manager is open");
  return enqueue(connection_, message);
}

Status AgentSession::Impl::enqueue(const std::shared_ptr<Connection>& connection, const AgentMessage& message) {
  if (connection->queue.size() >= kSendQueueMax) {
    end("the manager does not read");
    return fail(ErrorKind::kExhausted, "the manager does not read; the session is opened again");
  }
  connection->queue.push_back(to_text(encode(message)));
  if (connection->queue.size() == 1) write_next(connection);
  return {};
}

void AgentSession::Impl::write_next(const std::shared_ptr<Connection>& connection) {
  connection->socket.write(connection->queue.front(), [self = shared_from_this(), connection](ErrorCode error) {
    if (error) return;  // the reader reports it
    connection->queue.pop_front();
    if (!connection->queue.empty()) self->write_next(connection);
  });
}

void AgentSession::Impl::schedule_heartbeat() {
  // ± 10 %: behaviour of Swarm's dispatcher, so that many nodes do not beat in step.
  const double factor = 0.9 + 0.2 * random_fraction();
  heartbeat_timer_.expires_after(
      to_steady(Duration(static_cast<std::int64_t>(static_cast<double>(heartbeat_period_.count()) * factor))));
  heartbeat_timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (error || self->stopped_ || !self->up()) return;
    AgentMessage message;
    message.heartbeat = Heartbeat{++self->heartbeat_sequence_};
    (void)self->send(message);
    self->schedule_heartbeat();
  });
}

void AgentSession::Impl::schedule_renewal(Time at) {
  // In steps: the wall clock may be set, and a suspended host does not count steady time.
  const Duration left = std::max(at - wall_now(), Duration::zero());
  renewal_timer_.expires_after(to_steady(std::min(left, kRenewalCheck)));
  renewal_timer_.async_wait([self = shared_from_this(), at](const ErrorCode& error) {
    if (error || self->stopped_) return;
    if (wall_now() < at) return self->schedule_renewal(at);
    self->ask_renewal();
  });
}

void AgentSession::Impl::ask_renewal() {
  // A session that is down asks again soon; one that is up waits for the answer.
  schedule_renewal(wall_now() + (up() ? kRenewalRetry : Duration(std::chrono::seconds(1))));
  if (!up()) return;
  Result<KeyRequest> key = make_key_request();
  if (!key) {
    spdlog::error("certificate renewal failed error=\"{}\"", key.error().message);
    return;
  }
  pending_key_ = std::move(key->key_pem);
  AgentMessage message;
  message.renew = Renew{key->request_pem};
  (void)send(message);
}

void AgentSession::Impl::accept_certificate(const Certificate& certificate) {
  Result<NodeIdentity> renewed = NodeIdentity::make(pending_key_, certificate.certificate, identity_.ca_pem);
  if (renewed && renewed->info.subject.node_id != identity_.info.subject.node_id) {
    renewed = fail(ErrorKind::kInvalid, "it is for another node");
  }
  if (!renewed) {
    spdlog::error("certificate renewal failed error=\"{}\"", renewed.error().message);
    return;
  }
  pending_key_.clear();
  identity_ = std::move(*renewed);
  spdlog::info("certificate renewed node={} not_after={}", identity_.info.subject.node_id,
               format_time(identity_.info.not_after));
  schedule_renewal(renewal_time(identity_.info, random_fraction()));
  callbacks_.on_identity(identity_);
  if (!stopped_) end("reconnecting with the renewed certificate");
}

AgentSession::AgentSession(asio::io_context& loop, NodeIdentity identity, std::vector<SocketAddress> managers,
                           Callbacks callbacks, Options options)
    : impl_(std::make_shared<Impl>(loop, std::move(identity), std::move(managers), std::move(callbacks), options)) {}
AgentSession::AgentSession(asio::io_context& loop, NodeIdentity identity, std::vector<SocketAddress> managers,
                           Callbacks callbacks)
    : AgentSession(loop, std::move(identity), std::move(managers), std::move(callbacks), Options{}) {}
AgentSession::~AgentSession() { impl_->stop(); }
void AgentSession::start() { impl_->start(); }
void AgentSession::stop() { impl_->stop(); }
void AgentSession::restart(const std::string& why) { impl_->end(why); }
Status AgentSession::send(const AgentMessage& message) { return impl_->send(message); }
bool AgentSession::up() const { return impl_->up(); }
void AgentSession::use_managers(std::vector<SocketAddress> managers) { impl_->use_managers(std::move(managers)); }

}  // namespace mesh::cluster
