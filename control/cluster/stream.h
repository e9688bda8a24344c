// Asio and Beast types that both ends of a session share. For the .cpp files of this folder: heavy to include.
#pragma once

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast.hpp>
#include <boost/beast/ssl.hpp>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"

namespace mesh::cluster {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using Tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;
using WebSocket = websocket::stream<TlsStream>;

// co_await operations give (error, value) tuples instead of exceptions.
inline constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

[[nodiscard]] Tcp::endpoint to_endpoint(const SocketAddress& address);
[[nodiscard]] SocketAddress from_endpoint(const Tcp::endpoint& endpoint);
[[nodiscard]] std::chrono::steady_clock::duration to_steady(Duration duration);

// What went wrong, for a person: OpenSSL's alert or verification reason instead of "asio.ssl error".
[[nodiscard]] std::string describe(const ErrorCode& error, SSL* connection);

// Asio does not open its sockets so: a monitor or mesh-dns that inherited one would keep the port after our death.
void close_on_exec(int descriptor);

// Options of every connection of the cluster; it is closed on exec.
void set_tcp_options(Tcp::socket& socket);

// The text of one frame as a message: exactly one member set.
template <class Message>
[[nodiscard]] Result<Message> read_frame(const beast::flat_buffer& buffer, std::size_t bytes_max) {
  const auto data = buffer.cdata();
  const std::string_view text(static_cast<const char*>(data.data()), data.size());
  const Json value = TRY(parse_json(text, bytes_max));
  Message message = TRY(decode<Message>(value));
  std::size_t set = 0;
  json_fields(&message, [&](const char*, auto member) {
    set += (message.*member).has_value() ? 1U : 0U;
    return true;
  });
  if (set != 1) {
    return fail(ErrorKind::kInvalid, "a frame has " + std::to_string(set) + " messages instead of one");
  }
  return message;
}

}  // namespace mesh::cluster
