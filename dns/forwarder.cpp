#include "dns/forwarder.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace mesh::dns {
namespace {

namespace asio = boost::asio;
using Error = boost::system::error_code;

// Three upstreams in turn stay below the five seconds after which resolvers ask again.
constexpr std::chrono::milliseconds kUpstreamTimeout{1500};

asio::ip::address to_asio(const IpAddress& address) {
  if (address.is_v4()) return asio::ip::address_v4(address.v4_host_order());
  return asio::ip::address_v6(address.bytes());
}

// Closes `socket` at the deadline; whoever awaits on it then gets an error. Cancelled by its destruction.
template <class Socket>
class Deadline {
 public:
  Deadline(const asio::any_io_executor& executor, const std::shared_ptr<Socket>& socket)
      : timer_(executor, kUpstreamTimeout) {
    timer_.async_wait([socket](const Error& error) {
      Error ignored;
      if (!error) socket->close(ignored);
    });
  }

 private:
  asio::steady_timer timer_;
};

bool answers(const Packet& reply, const Packet& query) {
  constexpr std::uint8_t kResponseBit = 0x80;
  if (reply.size() < kHeaderBytes || (reply[2] & kResponseBit) == 0) return false;
  if (reply[0] != query[0] || reply[1] != query[1]) return false;
  auto question = parse_query(query);
  const std::size_t end = kHeaderBytes + (question ? question->question.size() : 0);
  return reply.size() >= end &&
         std::equal(reply.begin() + kHeaderBytes, reply.begin() + static_cast<std::ptrdiff_t>(end),
                    query.begin() + kHeaderBytes);
}

asio::awaitable<std::optional<Packet>> ask_udp(Upstream upstream, const Packet& query) {
  const auto executor = co_await asio::this_coro::executor;
  auto socket = std::make_shared<asio::ip::udp::socket>(executor);
  const Deadline deadline(executor, socket);
  Error error;
  const asio::ip::udp::endpoint peer(to_asio(upstream.address), upstream.port);
  socket->open(peer.protocol(), error);
  if (!error) socket->connect(peer, error);
  if (error) co_return std::nullopt;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  const auto out = asio::buffer(query);
  co_await socket->async_send(out, token);
  Packet reply(kMessageBytesMax);
  while (!error) {
    const auto in = asio::buffer(reply);
    const std::size_t size = co_await socket->async_receive(in, token);
    if (error) break;
    Packet got(reply.begin(), reply.begin() + static_cast<std::ptrdiff_t>(size));
    if (answers(got, query)) co_return got;
  }
  co_return std::nullopt;
}

asio::awaitable<std::optional<Packet>> ask_tcp(Upstream upstream, const Packet& query) {
  const auto executor = co_await asio::this_coro::executor;
  auto socket = std::make_shared<asio::ip::tcp::socket>(executor);
  const Deadline deadline(executor, socket);
  Error error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  const asio::ip::tcp::endpoint peer(to_asio(upstream.address), upstream.port);
  co_await socket->async_connect(peer, token);
  if (error) co_return std::nullopt;
  Packet framed = {static_cast<std::uint8_t>(query.size() >> 8U), static_cast<std::uint8_t>(query.size())};
  framed.insert(framed.end(), query.begin(), query.end());
  const auto out = asio::buffer(framed);
  co_await asio::async_write(*socket, out, token);
  if (error) co_return std::nullopt;
  std::array<std::uint8_t, 2> length{};
  const auto head = asio::buffer(length);
  co_await asio::async_read(*socket, head, token);
  if (error) co_return std::nullopt;
  Packet reply((std::size_t{length[0]} << 8U) | length[1]);
  const auto body = asio::buffer(reply);
  co_await asio::async_read(*socket, body, token);
  if (error || !answers(reply, query)) co_return std::nullopt;
  co_return reply;
}

}  // namespace

asio::awaitable<std::optional<Packet>> Forwarder::ask(std::vector<Upstream> upstreams, Packet packet,
                                                      Transport transport) {
  struct InFlight {
    std::size_t& count;
    explicit InFlight(std::size_t& c) : count(c) { ++count; }
    ~InFlight() { --count; }
  };
  const InFlight guard(in_flight_);
  const std::array<std::uint8_t, 2> client_id = {packet[0], packet[1]};
  std::optional<Packet> reply;
  for (std::size_t i = 0; i < std::min(upstreams.size(), kUpstreamsMax) && !reply; ++i) {
    const unsigned id = random_();
    packet[0] = static_cast<std::uint8_t>(id >> 8U);
    packet[1] = static_cast<std::uint8_t>(id);
    auto question = transport == Transport::kUdp ? ask_udp(upstreams[i], packet) : ask_tcp(upstreams[i], packet);
    reply = co_await std::move(question);
  }
  if (reply) std::copy(client_id.begin(), client_id.end(), reply->begin());
  co_return reply;
}

}  // namespace mesh::dns
