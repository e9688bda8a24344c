#include "control/api/metrics_server.h"

#include <set>

#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "control/api/accept.h"
#include "control/api/metrics.h"

namespace mesh::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;
using Tcp = asio::ip::tcp;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kConnectionsMax = 32;  // collectors are few; each scrape walks the flow table
constexpr std::uint32_t kRequestBytesMax = 8U << 10U;
constexpr std::chrono::seconds kTimeout{10};

Tcp::endpoint to_endpoint(const SocketAddress& address) {
  if (address.ip.is_v4()) return {asio::ip::address_v4(address.ip.v4_host_order()), address.port};
  return {asio::ip::address_v6(address.ip.bytes()), address.port};
}

Response refusal(const http::request<http::empty_body>& request) {
  const std::string_view target(request.target().data(), request.target().size());
  if (target.substr(0, target.find('?')) != "/metrics") return text_response("only /metrics is here\n", 404);
  return text_response("only GET is possible on /metrics\n", 405);
}

std::string answer_text(const Response& response) {
  std::string text =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status,
                  std::string_view(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status)))));
  for (const auto& [name, value] : response.headers) text += name + ": " + value + "\r\n";
  return text + fmt::format("Content-Length: {}\r\nConnection: close\r\n\r\n{}", response.body.size(), response.body);
}

}  // namespace

class MetricsServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, Context& context) : loop_(loop), context_(context), acceptor_(loop) {}

  Result<SocketAddress> listen(const SocketAddress& address);
  void stop();

 private:
  using Stream = beast::tcp_stream;
  using StreamPtr = std::shared_ptr<Stream>;
  asio::awaitable<void> accept(std::shared_ptr<Impl> self);
  asio::awaitable<void> serve(std::shared_ptr<Impl> self, StreamPtr stream);
  asio::awaitable<Response> collected();

  asio::io_context& loop_;
  Context& context_;
  Tcp::acceptor acceptor_;
  std::set<StreamPtr> streams_;
  bool stopped_ = false;
};

Result<SocketAddress> MetricsServer::Impl::listen(const SocketAddress& address) {
  const Tcp::endpoint endpoint = to_endpoint(address);
  ErrorCode error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) close_on_exec(acceptor_.native_handle());
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return fail(ErrorKind::kInvalid, fmt::format("metrics-addr: cannot listen on {}: {}; name an address of this host "
                                                 "and a port that nobody uses",
                                                 address.to_string(), error.message()));
  }
  const Tcp::endpoint bound = acceptor_.local_endpoint(error);
  auto work = accept(shared_from_this());
  asio::co_spawn(loop_, std::move(work), asio::detached);
  return SocketAddress{address.ip, bound.port()};
}

void MetricsServer::Impl::stop() {
  if (stopped_) return;
  stopped_ = true;
  ErrorCode ignored;
  acceptor_.close(ignored);
  for (const StreamPtr& stream : streams_) stream->close();
}

asio::awaitable<void> MetricsServer::Impl::accept(std::shared_ptr<Impl> self) {
  constexpr std::string_view kName = "metrics";
  while (auto socket = co_await next_connection<Tcp>(acceptor_, kName)) {
    if (self->stopped_) break;
    if (streams_.size() >= kConnectionsMax) continue;
    auto stream = std::make_shared<Stream>(std::move(*socket));
    streams_.insert(stream);
    auto work = serve(self, stream);
    asio::co_spawn(loop_, std::move(work), asio::detached);
  }
}

asio::awaitable<Response> MetricsServer::Impl::collected() {
  auto answer = std::make_shared<Response>();
  auto wake = std::make_shared<asio::steady_timer>(loop_, asio::steady_timer::time_point::max());
  collect_metrics(context_, [answer, wake](Response response) {
    *answer = std::move(response);
    wake->expires_at(asio::steady_timer::time_point::min());
  });
  [[maybe_unused]] auto [woken] = co_await wake->async_wait(kAwait);
  co_return std::move(*answer);
}

asio::awaitable<void> MetricsServer::Impl::serve(std::shared_ptr<Impl> self, StreamPtr stream) {
  beast::flat_buffer buffer;
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kRequestBytesMax);
  stream->expires_after(kTimeout);
  auto [error, size] = co_await http::async_read(*stream, buffer, parser, kAwait);
  if (!error && !self->stopped_) {
    const auto& request = parser.get();
    Response response = refusal(request);
    if (request.method() == http::verb::get && response.status == 405) response = co_await collected();
    const std::string text = answer_text(response);
    const auto out = asio::buffer(text);
    stream->expires_after(kTimeout);
    [[maybe_unused]] auto [written, count] = co_await asio::async_write(*stream, out, kAwait);
    ErrorCode ignored;
    stream->socket().shutdown(Tcp::socket::shutdown_send, ignored);
  }
  stream->close();
  self->streams_.erase(stream);
}

MetricsServer::MetricsServer(asio::io_context& loop, Context& context) : impl_(std::make_shared<Impl>(loop, context)) {}
MetricsServer::~MetricsServer() { impl_->stop(); }
Result<SocketAddress> MetricsServer::listen(const SocketAddress& address) { return impl_->listen(address); }
void MetricsServer::stop() { impl_->stop(); }

}  // namespace mesh::api
