#include "dns/server.h"

#include <array>
#include <memory>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/file.h"
#include "base/log.h"
#include "dns/answer.h"
#include "dns/feed.h"
#include "dns/forwarder.h"
#include "dns/table.h"

namespace mesh::dns {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using Local = asio::local::stream_protocol;
using Error = boost::system::error_code;

constexpr std::size_t kQueryBytesMax = 4096;  // a query with one name and EDNS is far smaller
constexpr std::size_t kTcpClientsMax = 256;
constexpr std::chrono::seconds kTcpIdle{10};  // RFC 7766 §6.2.3 asks for seconds
constexpr std::size_t kStateBytesMax = kFeedBytesMax;

IpAddress from_asio(const asio::ip::address& address) {
  if (address.is_v4()) return IpAddress::v4(address.to_v4().to_uint());
  return IpAddress(address.to_v6().to_bytes());
}
asio::ip::address to_asio(const IpAddress& address) {
  if (address.is_v4()) return asio::ip::address_v4(address.v4_host_order());
  return asio::ip::address_v6(address.bytes());
}

class Server {
 public:
  Server(asio::io_context& context, ServerOptions options)
      : options_(std::move(options)), udp_(context), tcp_(context), feed_(context) {
    state_.pid = ::getpid();
    state_.build = options_.build;
  }

  Status start() {
    load_state();
    TRY(listen_names());
    TRY(listen_feed());
    asio::co_spawn(udp_.get_executor(), serve_udp(), asio::detached);
    asio::co_spawn(udp_.get_executor(), accept_tcp(), asio::detached);
    asio::co_spawn(udp_.get_executor(), accept_feed(), asio::detached);
    return {};
  }

 private:
  template <class Socket>
  static Error bind_freely(Socket& socket, const typename Socket::endpoint_type& at) {
    Error error;
    socket.open(at.protocol(), error);
    if (error) return error;
    const int on = 1;
    const bool v4 = at.address().is_v4();
    // The gateway address comes and goes with mesh0; queries wait for neither.
    if (::setsockopt(socket.native_handle(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_FREEBIND : IPV6_FREEBIND, &on,
                     sizeof(on)) != 0) {
      return {errno, boost::system::system_category()};
    }
    socket.set_option(typename Socket::reuse_address(true), error);
    if (!error) socket.bind(at, error);
    return error;
  }

  Status listen_names() {
    const auto address = to_asio(options_.listen.ip);
    Error error = bind_freely(udp_, udp::endpoint(address, options_.listen.port));
    if (!error) error = bind_freely(tcp_, tcp::endpoint(address, options_.listen.port));
    if (!error) tcp_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return fail(ErrorKind::kUnavailable, "mesh-dns cannot listen on " + options_.listen.to_string() + ": " +
                                               error.message() + "; is another process on that address and port?");
    }
    return {};
  }

  Status listen_feed() {
    ::unlink(options_.feed_path.c_str());
    Error error;
    const Local::endpoint at(options_.feed_path);
    const mode_t before = ::umask(0177);  // root only: who writes here decides what names mean
    feed_.open(at.protocol(), error);
    if (!error) feed_.bind(at, error);
    ::umask(before);
    if (!error) feed_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(ErrorKind::kUnavailable, "mesh-dns: " + options_.feed_path + ": " + error.message());
    return {};
  }

  void load_state() {
    auto text = read_file(options_.state_path, kStateBytesMax);
    if (!text) return;  // the first start
    auto desired = decode_text<Desired>(*text);
    if (desired) {
      table_ = std::make_shared<Table>(std::move(*desired));
    } else {
      spdlog::warn("mesh-dns: state file ignored, names come with the next feed path={} error={}", options_.state_path,
                   desired.error().message);
    }
  }

  // The answer to one query; nothing when there is none to give.
  asio::awaitable<std::optional<Packet>> resolve(Packet packet, IpAddress source, Transport transport) {
    const std::shared_ptr<const Table> table = table_;
    Decision decision = decide(*table, packet, source, transport, rotation_++);
    if (std::holds_alternative<Ignore>(decision)) {
      ++state_.malformed;
      co_return std::nullopt;
    }
    if (auto* reply = std::get_if<Reply>(&decision)) {
      count(*reply);
      co_return std::move(reply->bytes);
    }
    const Query query = std::move(std::get<Forward>(decision).query);
    if (forwarder_.in_flight() >= kForwardsMax) {
      ++state_.forward_limited;
      co_return write_answer(query, Rcode::kServFail, {}, kUdpBytesDefault);
    }
    ++state_.forwarded;
    auto question = forwarder_.ask(table->desired().upstreams, std::move(packet), transport);
    std::optional<Packet> reply = co_await std::move(question);
    if (!reply) {
      ++state_.forward_failed;
      co_return write_answer(query, Rcode::kServFail, {}, kUdpBytesDefault);
    }
    co_return reply;
  }

  void count(const Reply& reply) {
    const auto rcode = static_cast<Rcode>(reply.bytes[3] & 0x0fU);
    if (rcode == Rcode::kRefused)
      ++state_.refused;
    else if (rcode == Rcode::kFormErr || rcode == Rcode::kNotImp)
      ++state_.malformed;
    else
      ++state_.answered;
  }

  asio::awaitable<void> serve_udp() {
    Packet buffer(kQueryBytesMax);
    for (;;) {
      udp::endpoint source;
      Error error;
      const auto in = asio::buffer(buffer);
      auto token = asio::redirect_error(asio::use_awaitable, error);
      const std::size_t size = co_await udp_.async_receive_from(in, source, token);
      if (error == asio::error::operation_aborted) co_return;
      if (error) continue;  // an ICMP error of an earlier answer
      Packet packet(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size));
      asio::co_spawn(udp_.get_executor(), answer_udp(std::move(packet), source), asio::detached);
    }
  }

  asio::awaitable<void> answer_udp(Packet packet, udp::endpoint source) {
    auto work = resolve(std::move(packet), from_asio(source.address()), Transport::kUdp);
    const std::optional<Packet> reply = co_await std::move(work);
    if (!reply) co_return;
    Error error;
    udp_.send_to(asio::buffer(*reply), source, 0, error);  // lost answers are asked for again
  }

  asio::awaitable<void> accept_tcp() {
    for (;;) {
      Error error;
      auto token = asio::redirect_error(asio::use_awaitable, error);
      tcp::socket socket = co_await tcp_.async_accept(token);
      if (error == asio::error::operation_aborted) co_return;
      if (error || tcp_clients_ >= kTcpClientsMax) continue;  // the socket closes: the client asks again
      asio::co_spawn(tcp_.get_executor(), serve_tcp(std::make_shared<tcp::socket>(std::move(socket))), asio::detached);
    }
  }

  asio::awaitable<void> serve_tcp(std::shared_ptr<tcp::socket> socket) {
    ++tcp_clients_;
    Error error;
    const tcp::endpoint peer = socket->remote_endpoint(error);
    asio::steady_timer idle(socket->get_executor());
    auto token = asio::redirect_error(asio::use_awaitable, error);
    while (!error) {
      idle.expires_after(kTcpIdle);
      idle.async_wait([socket](const Error& e) {
        Error ignored;
        if (!e) socket->close(ignored);
      });
      std::array<std::uint8_t, 2> length{};
      const auto head = asio::buffer(length);
      co_await asio::async_read(*socket, head, token);
      const std::size_t size = (std::size_t{length[0]} << 8U) | length[1];
      if (error || size > kQueryBytesMax) break;
      Packet packet(size);
      const auto body = asio::buffer(packet);
      co_await asio::async_read(*socket, body, token);
      if (error) break;
      auto work = resolve(std::move(packet), from_asio(peer.address()), Transport::kTcp);
      const std::optional<Packet> reply = co_await std::move(work);
      if (!reply) break;
      Packet framed = {static_cast<std::uint8_t>(reply->size() >> 8U), static_cast<std::uint8_t>(reply->size())};
      framed.insert(framed.end(), reply->begin(), reply->end());
      const auto out = asio::buffer(framed);
      co_await asio::async_write(*socket, out, token);
    }
    --tcp_clients_;
  }

  asio::awaitable<void> accept_feed() {
    for (;;) {
      Error error;
      auto token = asio::redirect_error(asio::use_awaitable, error);
      Local::socket socket = co_await feed_.async_accept(token);
      if (error == asio::error::operation_aborted) co_return;
      if (error) continue;
      asio::co_spawn(feed_.get_executor(), serve_feed(std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> serve_feed(Local::socket socket) {
    Error error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    std::array<std::uint8_t, 4> length{};
    const auto head = asio::buffer(length);
    co_await asio::async_read(socket, head, token);
    const std::size_t size =
        (std::size_t{length[0]} << 24U) | (std::size_t{length[1]} << 16U) | (std::size_t{length[2]} << 8U) | length[3];
    if (error || size > kFeedBytesMax) co_return;
    std::string text(size, '\0');
    const auto body = asio::buffer(text);
    co_await asio::async_read(socket, body, token);
    if (error) co_return;
    take(text);
    state_.version = table_->version();
    const std::string reply = to_text(encode(state_));
    std::string framed = {static_cast<char>(reply.size() >> 24U), static_cast<char>(reply.size() >> 16U),
                          static_cast<char>(reply.size() >> 8U), static_cast<char>(reply.size())};
    framed += reply;
    const auto out = asio::buffer(framed);
    co_await asio::async_write(socket, out, token);
  }

  void take(const std::string& text) {
    if (text == "null") return;
    auto desired = decode_text<Desired>(text);
    if (!desired) {
      spdlog::warn("mesh-dns: feed refused, the last table stays error={}", desired.error().message);
      return;
    }
    table_ = std::make_shared<Table>(std::move(*desired));
    if (auto saved = write_file(options_.state_path, text, 0600); !saved) {
      spdlog::warn("mesh-dns: table not saved, a restart of mesh-dns would not know it error={}",
                   saved.error().message);
    }
  }

  ServerOptions options_;
  udp::socket udp_;
  tcp::acceptor tcp_;
  Local::acceptor feed_;
  std::shared_ptr<const Table> table_ = std::make_shared<Table>(Desired{});
  Forwarder forwarder_;
  ServerState state_;
  std::uint32_t rotation_ = 0;
  std::size_t tcp_clients_ = 0;
};

}  // namespace

Status run_server(const ServerOptions& options) {
  asio::io_context context(1);
  Server server(context, options);
  TRY(server.start());
  asio::signal_set signals(context, SIGTERM, SIGINT);
  signals.async_wait([&context](const Error&, int) { context.stop(); });
  context.run();
  return {};
}

}  // namespace mesh::dns
