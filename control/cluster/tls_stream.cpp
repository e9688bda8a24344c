#include "control/cluster/tls_stream.h"

#include <boost/beast/websocket/teardown.hpp>

namespace mesh::cluster {

TlsStream::TlsStream(Tcp::socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

TlsStream::TlsStream(const executor_type& executor, asio::ssl::context& context) : stream_(executor, context) {}

TlsStream::~TlsStream() = default;

asio::awaitable<ErrorCode> TlsStream::connect(const Tcp::endpoint& endpoint) {
  return finished([this, endpoint](Finished done) { tcp().async_connect(endpoint, std::move(done)); });
}

asio::awaitable<ErrorCode> TlsStream::handshake(asio::ssl::stream_base::handshake_type type) {
  return finished([this, type](Finished done) { stream_.async_handshake(type, std::move(done)); });
}

asio::awaitable<ErrorCode> TlsStream::shutdown() {
  return finished([this](Finished done) { stream_.async_shutdown(std::move(done)); });
}

void TlsStream::read_some(asio::mutable_buffer buffer, Transferred done) {
  stream_.async_read_some(buffer, std::move(done));
}

void TlsStream::write_some(asio::const_buffer buffer, Transferred done) {
  stream_.async_write_some(buffer, std::move(done));
}

void TlsStream::tear_down(beast::role_type role, Finished done) {
  Finished then = [this, role, done = std::move(done)](ErrorCode shutdown_error) mutable {
    async_teardown(role, tcp(), [shutdown_error, done = std::move(done)](ErrorCode error) mutable {
      done(shutdown_error ? shutdown_error : error);
    });
  };
  stream_.async_shutdown(std::move(then));
}

}  // namespace mesh::cluster
