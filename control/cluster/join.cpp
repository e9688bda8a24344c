#include "control/cluster/join.h"

#include <fmt/format.h>

#include "base/log.h"
#include "control/cluster/http.h"
#include "control/cluster/tls.h"

namespace mesh::cluster {
namespace {

constexpr Duration kStepTimeout = std::chrono::seconds(10);

// The error body of the manager, with the kind its status stands for.
std::unexpected<Error> refused(const HttpResponse& response) {
  std::string message;
  if (const Result<Json> body = parse_json(response.body(), kHttpBodyBytesMax); body && body->is_object()) {
    if (const Json* text = body->as_object().if_contains("message"); text != nullptr && text->is_string()) {
      message = std::string_view(text->as_string());
    }
  }
  if (message.empty()) message = fmt::format("the manager answers {}", response.result_int());
  switch (response.result()) {
    case http::status::unauthorized:
      return fail(ErrorKind::kUnauthorized, message);
    case http::status::forbidden:
      return fail(ErrorKind::kForbidden, message);
    case http::status::bad_request:
      return fail(ErrorKind::kInvalid, message);
    case http::status::not_implemented:
      return fail(ErrorKind::kUnsupported, message);
    default:
      return fail(ErrorKind::kUnavailable, message);
  }
}

struct Joining {
  JoinToken token;
  Joiner joiner;
  std::vector<SocketAddress> managers;

  asio::awaitable<Result<NodeIdentity>> exchange(TlsStream& stream, const SocketAddress& manager, KeyRequest key) {
    const Result<std::string> root = check_pinned(stream.native_handle(), token.ca_digest);
    CO_TRY(root);
    const JoinRequest body{token.secret, key.request_pem, joiner.hostname, joiner.availability};
    HttpRequest request(http::verb::post, "/join", 11);
    request.set(http::field::host, manager.to_string());
    request.set(http::field::content_type, "application/json");
    request.body() = to_text(encode(body));
    request.prepare_payload();
    stream.tcp().expires_after(to_steady(kStepTimeout));
    const ErrorCode write_error = co_await write_request(stream, request);
    if (write_error) {
      co_return fail(ErrorKind::kUnavailable, manager.to_string() + ": " + describe(write_error, nullptr));
    }
    HttpResponse response;
    const ErrorCode read_error = co_await read_response(stream, response);
    if (read_error) {
      co_return fail(ErrorKind::kUnavailable, manager.to_string() + ": " + describe(read_error, nullptr));
    }
    if (response.result() != http::status::ok) co_return refused(response);
    Result<JoinAnswer> answer = decode_text<JoinAnswer>(response.body());
    CO_TRY(answer);
    co_return NodeIdentity::make(std::move(key.key_pem), std::move(answer->certificate), *root);
  }

  asio::awaitable<Result<NodeIdentity>> attempt(SocketAddress manager) {
    const auto executor = co_await asio::this_coro::executor;
    const Result<TlsContext> settings = TlsContext::joiner();
    CO_TRY(settings);
    Result<KeyRequest> key = make_key_request();
    CO_TRY(key);
    asio::ssl::context context(settings->share());
    TlsStream stream(executor, context);
    beast::tcp_stream& tcp = stream.tcp();
    const Tcp::endpoint endpoint = to_endpoint(manager);
    tcp.expires_after(to_steady(kStepTimeout));
    const ErrorCode connect_error = co_await stream.connect(endpoint);
    if (connect_error) {
      co_return fail(ErrorKind::kUnavailable,
                     fmt::format("cannot reach a manager at {}: {}; check the address, that meshd runs there as a "
                                 "manager, and that no firewall stops TCP port {}",
                                 manager.to_string(), describe(connect_error, nullptr), manager.port));
    }
    set_tcp_options(tcp.socket());
    const ErrorCode handshake_error = co_await stream.handshake(asio::ssl::stream_base::client);
    if (handshake_error) {
      co_return fail(ErrorKind::kUnavailable, fmt::format("{} does not speak TLS 1.3 as a manager does: {}",
                                                          manager.to_string(), describe(handshake_error, nullptr)));
    }
    Result<NodeIdentity> identity = co_await exchange(stream, manager, std::move(*key));
    tcp.close();
    co_return identity;
  }

  asio::awaitable<Result<NodeIdentity>> run() {
    Result<NodeIdentity> last = fail(ErrorKind::kInvalid, "no address of a manager is given");
    for (const SocketAddress& manager : managers) {
      last = co_await attempt(manager);
      // Anything but silence is an answer that another manager would give too.
      if (last || last.error().kind != ErrorKind::kUnavailable) break;
      spdlog::warn("join failed manager={} error=\"{}\"", manager.to_string(), last.error().message);
    }
    co_return last;
  }
};

}  // namespace

Result<Role> role_of_secret(const JoinSecrets& secrets, std::string_view secret) {
  const bool worker = secrets_equal(secrets.worker, secret);
  const bool manager = secrets_equal(secrets.manager, secret);
  if (manager) return Role::kManager;
  if (worker) return Role::kWorker;
  return fail(ErrorKind::kUnauthorized,
              "the join token is not valid: its secret is wrong or was rotated; ask a manager for the one in force "
              "(swarm join-token worker)");
}

void join_cluster(asio::io_context& loop, std::vector<SocketAddress> managers, const JoinToken& token, Joiner joiner,
                  std::function<void(Result<NodeIdentity>)> done) {
  auto joining = std::make_shared<Joining>(Joining{token, std::move(joiner), std::move(managers)});
  auto work = joining->run();
  asio::co_spawn(loop, std::move(work),
                 [joining, done = std::move(done)](const std::exception_ptr& failure, Result<NodeIdentity> result) {
                   if (failure) result = fail(ErrorKind::kInternal, "joining failed unexpectedly");
                   done(std::move(result));
                 });
}

}  // namespace mesh::cluster
