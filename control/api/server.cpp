#include "control/api/server.h"

#include <deque>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "control/api/accept.h"
#include "control/api/router.h"

namespace mesh::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;
using Unix = asio::local::stream_protocol;
using Stream = beast::basic_stream<Unix>;
using Parser = http::request_parser<http::string_body>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kConnectionsMax = 1024;
// A client that sends nothing for this long, or does not read its answer, is let go.
constexpr std::chrono::seconds kIdleTimeout{300};

// Headers that every answer has: the CLI reads the engine's kind and version from them.
std::string head_text(const Response& response, const EngineInfo& engine, bool keep_alive, bool chunked) {
  std::string text = fmt::format(
      "HTTP/1.1 {} {}\r\nServer: meshd/{} (linux)\r\nApi-Version: 1.{}\r\nDocker-Experimental: false\r\n"
      "Ostype: linux\r\n",
      response.status,
      std::string_view(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status)))),
      engine.version, kApiVersionMax);
  for (const auto& [name, value] : response.headers) text += name + ": " + value + "\r\n";
  if (chunked) {
    text += "Transfer-Encoding: chunked\r\n";
  } else if (response.status != 204 && response.status != 304) {
    text += fmt::format("Content-Length: {}\r\n", response.body.size());
  }
  if (!keep_alive) text += "Connection: close\r\n";
  return text + "\r\n";
}

std::string chunk_text(const std::string& piece) { return fmt::format("{:x}\r\n{}\r\n", piece.size(), piece); }

}  // namespace

class Server::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, Context& context) : loop_(loop), context_(context), acceptor_(loop) {}

  Status listen(const std::string& path);
  void stop();

 private:
  // One client. The handler's side appends text to `out`; the connection's coroutine writes it.
  struct Connection {
    explicit Connection(Unix::socket socket) : stream(std::move(socket)), wake(stream.get_executor()) {}
    void signal() { wake.cancel(); }

    Stream stream;
    asio::steady_timer wake;
    std::deque<std::string> out;
    std::size_t out_bytes = 0;
    bool keep_alive = true;
    bool answering = false;  // a request waits for its answer, or for the rest of it
    bool begun = false;      // head of a stream is out
    bool gone = false;       // the client closed, or does not read
  };
  using ConnectionPtr = std::shared_ptr<Connection>;
  class Answer;

  asio::awaitable<void> accept(std::shared_ptr<Impl> self);
  asio::awaitable<void> serve(std::shared_ptr<Impl> self, ConnectionPtr connection);
  asio::awaitable<bool> serve_one(ConnectionPtr connection, beast::flat_buffer& buffer);
  enum class Extent : std::uint8_t { kHeader, kMessage };
  static asio::awaitable<ErrorCode> read(ConnectionPtr connection, beast::flat_buffer& buffer, Parser& parser,
                                         Extent extent);
  asio::awaitable<bool> write_answer(ConnectionPtr connection);
  static asio::awaitable<ErrorCode> write(ConnectionPtr connection, std::string_view text);
  asio::awaitable<void> refuse(ConnectionPtr connection, ErrorCode error);
  void start(const ConnectionPtr& connection, http::request<http::string_body> message);
  static void watch_for_close(const ConnectionPtr& connection);

  asio::io_context& loop_;
  Context& context_;
  Unix::acceptor acceptor_;
  std::string path_;
  std::set<ConnectionPtr> connections_;
  bool stopped_ = false;
};

// The handler's end of one request.
class Server::Impl::Answer final : public Responder {
 public:
  Answer(std::weak_ptr<Connection> connection, const EngineInfo& engine)
      : connection_(std::move(connection)), engine_(engine) {}
  ~Answer() override {
    if (const ConnectionPtr to = live(); to && !to->begun) {
      send(error_response({ErrorKind::kInternal, "the request was given up without an answer"}));
    } else {
      end();
    }
  }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  void send(Response response) override {
    const ConnectionPtr to = live();
    if (!to || to->begun) return;
    push(to, head_text(response, engine_, to->keep_alive, false) + response.body);
    finish(to);
  }
  void begin(Response head) override {
    const ConnectionPtr to = live();
    if (!to || to->begun) return;
    to->begun = true;
    push(to, head_text(head, engine_, to->keep_alive, true));
    if (!head.body.empty()) push(to, chunk_text(head.body));
  }
  void write(std::string piece) override {
    const ConnectionPtr to = live();
    if (!to || !to->begun || piece.empty()) return;
    push(to, chunk_text(piece));
    if (to->out_bytes <= kStreamBytesMax) return;
    to->gone = true;  // it does not read
    to->signal();
  }
  void end() override {
    const ConnectionPtr to = live();
    if (!to || !to->begun) return;
    push(to, "0\r\n\r\n");
    finish(to);
  }
  [[nodiscard]] bool closed() const override { return live() == nullptr; }

 private:
  [[nodiscard]] ConnectionPtr live() const {
    const ConnectionPtr to = finished_ ? nullptr : connection_.lock();
    return to && !to->gone ? to : nullptr;
  }
  static void push(const ConnectionPtr& to, std::string text) {
    to->out_bytes += text.size();
    to->out.push_back(std::move(text));
    to->signal();
  }
  void finish(const ConnectionPtr& to) {
    finished_ = true;
    to->answering = false;
    to->signal();
  }

  std::weak_ptr<Connection> connection_;
  const EngineInfo& engine_;
  bool finished_ = false;
};

Status Server::Impl::listen(const std::string& path) {
  const Unix::endpoint endpoint(path);
  ErrorCode error;
  Unix::socket probe(loop_);
  probe.connect(endpoint, error);
  if (!error)
    return fail(ErrorKind::kConflict, "another program answers on " + path + " already; choose another --socket");
  ::unlink(path.c_str());
  acceptor_.open(endpoint.protocol(), error);
  if (!error) close_on_exec(acceptor_.native_handle());
  // Nobody may connect between bind and chmod.
  const mode_t mask = ::umask(0177);
  if (!error) acceptor_.bind(endpoint, error);
  ::umask(mask);
  if (!error && ::chmod(path.c_str(), 0660) != 0) error.assign(errno, boost::system::system_category());
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail(ErrorKind::kInvalid, "cannot listen on the API socket " + path + ": " + error.message());
  path_ = path;
  auto work = accept(shared_from_this());
  asio::co_spawn(loop_, std::move(work), asio::detached);
  return {};
}

void Server::Impl::stop() {
  if (stopped_) return;
  stopped_ = true;
  ErrorCode ignored;
  acceptor_.close(ignored);
  if (!path_.empty()) ::unlink(path_.c_str());
  for (const ConnectionPtr& connection : connections_) {
    connection->gone = true;
    connection->stream.close();
    connection->signal();
  }
}

asio::awaitable<void> Server::Impl::accept(std::shared_ptr<Impl> self) {
  constexpr std::string_view kName = "API";
  while (auto socket = co_await next_connection<Unix>(acceptor_, kName)) {
    if (self->stopped_) break;
    if (connections_.size() >= kConnectionsMax) continue;
    auto connection = std::make_shared<Connection>(std::move(*socket));
    connections_.insert(connection);
    auto work = serve(self, connection);
    asio::co_spawn(loop_, std::move(work), asio::detached);
  }
}

asio::awaitable<void> Server::Impl::serve(std::shared_ptr<Impl> self, ConnectionPtr connection) {
  beast::flat_buffer buffer;
  bool more = true;
  while (more && !self->stopped_) more = co_await serve_one(connection, buffer);
  connection->gone = true;
  connection->stream.close();
  self->connections_.erase(connection);
}

// Reads one request and writes its answer; false: the connection ends.
asio::awaitable<bool> Server::Impl::serve_one(ConnectionPtr connection, beast::flat_buffer& buffer) {
  Parser parser;
  parser.header_limit(kHeaderBytesMax);
  parser.body_limit(kBodyBytesMax);
  connection->stream.expires_after(kIdleTimeout);
  // The header alone first: a client that asks "Expect: 100-continue" waits for leave to send its body.
  ErrorCode error = co_await read(connection, buffer, parser, Extent::kHeader);
  if (!error && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    [[maybe_unused]] const ErrorCode ignored = co_await write(connection, go_on);
  }
  if (!error) error = co_await read(connection, buffer, parser, Extent::kMessage);
  if (error) {
    co_await refuse(connection, error);
    co_return false;
  }
  connection->keep_alive = parser.get().keep_alive();
  start(connection, parser.release());
  const bool written = co_await write_answer(connection);
  co_return written && connection->keep_alive;
}

// As http::async_read_header and async_read do it; each of them would be compiled apart.
asio::awaitable<ErrorCode> Server::Impl::read(ConnectionPtr connection, beast::flat_buffer& buffer, Parser& parser,
                                              Extent extent) {
  parser.eager(extent == Extent::kMessage);
  while (extent == Extent::kMessage ? !parser.is_done() : !parser.is_header_done()) {
    auto [error, size] = co_await http::async_read_some(connection->stream, buffer, parser, kAwait);
    if (error) co_return error;
  }
  co_return ErrorCode();
}

void Server::Impl::start(const ConnectionPtr& connection, http::request<http::string_body> message) {
  connection->answering = true;
  connection->begun = false;
  const auto answer = std::make_shared<Answer>(connection, context_.engine);
  Request request;
  request.method = std::string(message.method_string());
  for (const auto& header : message) {
    std::string name(header.name_string());
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    request.headers[name] = std::string(header.value());
  }
  if (const Status target = set_target(request, message.target()); !target) {
    return answer->send(error_response(target.error()));
  }
  request.body = std::move(message.body());
  watch_for_close(connection);
  dispatch(context_, std::move(request), answer);
}

// While a request waits for its answer nobody reads: a client that closes must be noticed all the same.
void Server::Impl::watch_for_close(const ConnectionPtr& connection) {
  connection->stream.socket().async_wait(
      Unix::socket::wait_read, [weak = std::weak_ptr(connection)](const ErrorCode& error) {
        const ConnectionPtr to = weak.lock();
        if (error || !to || !to->answering) return;
        char byte = 0;
        if (::recv(to->stream.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0) return;
        to->gone = true;
        to->signal();
      });
}

asio::awaitable<bool> Server::Impl::write_answer(ConnectionPtr connection) {
  while (!connection->gone && (connection->answering || !connection->out.empty())) {
    if (connection->out.empty()) {
      connection->wake.expires_at(asio::steady_timer::time_point::max());
      [[maybe_unused]] auto [woken] = co_await connection->wake.async_wait(kAwait);
      continue;
    }
    connection->stream.expires_after(kIdleTimeout);
    const ErrorCode error = co_await write(connection, connection->out.front());
    if (error) co_return false;
    connection->out_bytes -= connection->out.front().size();
    connection->out.pop_front();
  }
  co_return !connection->gone;
}

// `text` outlives it.
asio::awaitable<ErrorCode> Server::Impl::write(ConnectionPtr connection, std::string_view text) {
  const auto buffer = asio::buffer(text);
  auto [error, size] = co_await asio::async_write(connection->stream, buffer, kAwait);
  co_return error;
}

// A request that could not be read.
asio::awaitable<void> Server::Impl::refuse(ConnectionPtr connection, ErrorCode error) {
  if (error.category() != make_error_code(http::error::bad_method).category() || error == http::error::end_of_stream ||
      error == http::error::partial_message || stopped_) {
    co_return;
  }
  Response response = json_response(JsonObject{{"message", "the request is not HTTP/1.1: " + error.message()}}, 400);
  if (error == http::error::body_limit) {
    response = json_response(
        JsonObject{{"message", fmt::format("the request's body is larger than {} bytes", kBodyBytesMax)}}, 413);
  } else if (error == http::error::header_limit) {
    response = json_response(
        JsonObject{{"message", fmt::format("the request's headers are larger than {} bytes", kHeaderBytesMax)}}, 431);
  }
  const std::string text = head_text(response, context_.engine, false, false) + response.body;
  [[maybe_unused]] const ErrorCode ignored = co_await write(connection, text);
  // What the client is still sending is read away for a moment: closing at once would destroy the answer in flight.
  ErrorCode ignored_error;
  connection->stream.socket().shutdown(asio::socket_base::shutdown_send, ignored_error);
  std::string rest(64U << 10U, '\0');
  const auto rest_buffer = asio::buffer(rest);
  connection->stream.expires_after(std::chrono::seconds(2));
  while (true) {
    auto [read_error, count] = co_await connection->stream.async_read_some(rest_buffer, kAwait);
    if (read_error) break;
  }
}

Server::Server(asio::io_context& loop, Context& context) : impl_(std::make_shared<Impl>(loop, context)) {}
Server::~Server() { impl_->stop(); }
Status Server::listen(const std::string& socket_path) { return impl_->listen(socket_path); }
void Server::stop() { impl_->stop(); }

}  // namespace mesh::api
