#include "control/cluster/stream.h"

#include <cstring>
#include <fcntl.h>

namespace mesh::cluster {

asio::awaitable<ErrorCode> finished(Start start) {
  const auto initiate = [&start](auto handler) { start(Finished(std::move(handler))); };
  auto operation = asio::async_initiate<decltype(kAwait)&, void(ErrorCode)>(initiate, kAwait);
  auto [error] = co_await std::move(operation);
  co_return error;
}

Tcp::endpoint to_endpoint(const SocketAddress& address) {
  if (address.ip.is_v4()) return {asio::ip::address_v4(address.ip.v4_host_order()), address.port};
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), address.ip.bytes().data(), bytes.size());
  return {asio::ip::address_v6(bytes), address.port};
}

SocketAddress from_endpoint(const Tcp::endpoint& endpoint) {
  const asio::ip::address address = endpoint.address();
  if (address.is_v4()) return {IpAddress::v4(address.to_v4().to_uint()), endpoint.port()};
  const auto bytes = address.to_v6().to_bytes();
  IpAddress::Bytes copy{};
  std::memcpy(copy.data(), bytes.data(), bytes.size());
  return {IpAddress(copy), endpoint.port()};
}

std::chrono::steady_clock::duration to_steady(Duration duration) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(duration);
}

std::string describe(const ErrorCode& error, SSL* connection) {
  const long verified = connection == nullptr ? X509_V_OK : SSL_get_verify_result(connection);
  if (verified == X509_V_ERR_APPLICATION_VERIFICATION) return "the peer's certificate is not a manager's";
  if (verified != X509_V_OK) {
    return std::string("the peer's certificate is refused: ") + X509_verify_cert_error_string(verified);
  }
  if (error.category() == asio::error::get_ssl_category()) {
    const char* reason = ERR_reason_error_string(static_cast<unsigned long>(error.value()));
    if (reason != nullptr) return std::string("TLS: ") + reason;
  }
  if (error == beast::error::timeout) return "no answer in time";
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) return "the peer closed the connection";
  return error.message();
}

void close_on_exec(int descriptor) { ::fcntl(descriptor, F_SETFD, FD_CLOEXEC); }

void set_tcp_options(Tcp::socket& socket) {
  close_on_exec(socket.native_handle());
  ErrorCode ignored;
  socket.set_option(Tcp::no_delay(true), ignored);
  // A peer whose host died must be noticed although nothing is sent to it.
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
}

}  // namespace mesh::cluster
