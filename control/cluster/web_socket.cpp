#include "control/cluster/web_socket.h"

#include "control/cluster/messages.h"

namespace mesh::cluster {
namespace {

// RFC 6455 §5.5.1: 123 bytes at most.
websocket::close_reason policy_error(const std::string& why) {
  return {websocket::close_code::policy_error, std::string_view(why).substr(0, 120)};
}

// As the handler of a transfer, whose size does not matter.
auto without_size(Finished done) {
  return [done = std::move(done)](ErrorCode error, std::size_t) mutable { done(error); };
}

}  // namespace

WebSocket::WebSocket(Tcp::socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {
  stream_.read_message_max(kFrameBytesMax);
}

WebSocket::WebSocket(const asio::any_io_executor& executor, asio::ssl::context& context) : stream_(executor, context) {
  stream_.read_message_max(kFrameBytesMax);
}

WebSocket::~WebSocket() = default;

void WebSocket::set_timeouts(Duration handshake, Duration idle) {
  websocket::stream_base::timeout timeouts;
  timeouts.handshake_timeout = to_steady(handshake);
  timeouts.idle_timeout = to_steady(idle);
  timeouts.keep_alive_pings = false;
  stream_.set_option(timeouts);
}

asio::awaitable<ErrorCode> WebSocket::read(beast::flat_buffer& buffer) {
  return finished([this, &buffer](Finished done) { stream_.async_read(buffer, without_size(std::move(done))); });
}

void WebSocket::write(std::string_view frame, Finished done) {
  stream_.async_write(asio::buffer(frame), without_size(std::move(done)));
}

void WebSocket::close(const std::string& why, Finished done) {
  stream_.async_close(policy_error(why), std::move(done));
}

asio::awaitable<ErrorCode> WebSocket::close(const std::string& why) {
  return finished([this, why](Finished done) { close(why, std::move(done)); });
}

std::string WebSocket::close_reason() const {
  const auto& reason = stream_.reason().reason;
  return {reason.data(), reason.size()};
}

}  // namespace mesh::cluster
