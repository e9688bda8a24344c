// The WebSocket of a session, as both of its ends have it: text frames over TLS. One read, one write and one closing
// may be under way at a time. The owner keeps it until they have ended; closing tls().tcp() ends them.
#pragma once

#include <string>
#include <string_view>

#include <boost/beast/websocket/stream.hpp>

#include "base/json.h"
#include "control/cluster/http.h"
#include "control/cluster/tls_stream.h"

namespace mesh::cluster {

namespace websocket = boost::beast::websocket;

class WebSocket {
 public:
  // `context` outlives it. Frames over kFrameBytesMax are refused.
  WebSocket(Tcp::socket socket, asio::ssl::context& context);
  WebSocket(const asio::any_io_executor& executor, asio::ssl::context& context);
  ~WebSocket();
  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;

  [[nodiscard]] TlsStream& tls() { return stream_.next_layer(); }

  // `handshake` limits accept, handshake and close; `idle` is the silence of the peer that ends the session.
  void set_timeouts(Duration handshake, Duration idle);

  // The server's answer to a request for which is_upgrade() holds.
  [[nodiscard]] asio::awaitable<ErrorCode> accept(const HttpRequest& request);
  // The client's. upgrade_declined: `response` says why.
  [[nodiscard]] asio::awaitable<ErrorCode> handshake(HttpResponse& response, const std::string& host,
                                                     const std::string& target);
  // One frame, put behind what `buffer` holds.
  [[nodiscard]] asio::awaitable<ErrorCode> read(beast::flat_buffer& buffer);
  // `frame` stays until `done` is called.
  void write(std::string_view frame, Finished done);
  // Tells the peer why, and waits for its half of the closing.
  void close(const std::string& why, Finished done);
  [[nodiscard]] asio::awaitable<ErrorCode> close(const std::string& why);
  // Why the peer closed; "" if it did not or did not say.
  [[nodiscard]] std::string close_reason() const;

 private:
  websocket::stream<TlsStream, false> stream_;  // false: without compression
};

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
