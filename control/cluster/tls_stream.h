// TLS over TCP, as a stream that Beast's HTTP and WebSocket work on. What is above sees the handlers' types, what is
// below (OpenSSL's engine, TCP with its time limits) does not: it is compiled once for all operations above.
// The owner keeps a stream until its operations have ended; closing tcp() ends them. Asio's per-operation cancellation
// does not reach below.
#pragma once

#include <algorithm>
#include <vector>

#include "control/cluster/stream.h"

namespace mesh::cluster {

class TlsStream {
 public:
  using executor_type = asio::any_io_executor;
  using Transferred = std::move_only_function<void(ErrorCode, std::size_t)>;

  // `context` outlives the stream.
  TlsStream(Tcp::socket socket, asio::ssl::context& context);
  TlsStream(const executor_type& executor, asio::ssl::context& context);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  [[nodiscard]] executor_type get_executor() { return stream_.get_executor(); }
  // The name by which Beast finds the socket that it closes when a time limit is over.
  [[nodiscard]] beast::tcp_stream& next_layer() { return stream_.next_layer(); }
  [[nodiscard]] beast::tcp_stream& tcp() { return stream_.next_layer(); }
  [[nodiscard]] SSL* native_handle() { return stream_.native_handle(); }

  // tcp()'s time limit holds for these.
  [[nodiscard]] asio::awaitable<ErrorCode> connect(const Tcp::endpoint& endpoint);
  [[nodiscard]] asio::awaitable<ErrorCode> handshake(asio::ssl::stream_base::handshake_type type);
  [[nodiscard]] asio::awaitable<ErrorCode> shutdown();

  // Asio's AsyncReadStream and AsyncWriteStream: one read and one write may be under way at a time.
  template <class Buffers, class Handler>
  auto async_read_some(const Buffers& buffers, Handler&& handler) {
    const auto buffer = first<asio::mutable_buffer>(buffers);
    return asio::async_initiate<Handler, void(ErrorCode, std::size_t)>(
        [](auto&& to, TlsStream* self, asio::mutable_buffer into) {
          self->read_some(into, Transferred(std::forward<decltype(to)>(to)));
        },
        handler, this, buffer);
  }
  template <class Buffers, class Handler>
  auto async_write_some(const Buffers& buffers, Handler&& handler) {
    const asio::const_buffer buffer = flatten(buffers);
    return asio::async_initiate<Handler, void(ErrorCode, std::size_t)>(
        [](auto&& to, TlsStream* self, asio::const_buffer from) {
          self->write_some(from, Transferred(std::forward<decltype(to)>(to)));
        },
        handler, this, buffer);
  }
  // The end of a WebSocket's closing: TLS, then TCP.
  template <class Handler>
  friend void async_teardown(beast::role_type role, TlsStream& stream, Handler&& handler) {
    stream.tear_down(role, Finished(std::forward<Handler>(handler)));
  }

 private:
  // What one TLS record holds (RFC 8446 §5.1).
  static constexpr std::size_t kRecordBytesMax = 16U << 10U;

  template <class Buffer, class Buffers>
  static Buffer first(const Buffers& buffers) {
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it) {
      const Buffer buffer(*it);
      if (buffer.size() > 0) return buffer;
    }
    return {};
  }
  // A record each for a header of a few bytes and its payload would be two packets: they are joined.
  template <class Buffers>
  asio::const_buffer flatten(const Buffers& buffers) {
    const auto head = first<asio::const_buffer>(buffers);
    const std::size_t size = asio::buffer_size(buffers);
    if (head.size() == size || head.size() >= kRecordBytesMax) return head;
    flat_.resize(std::min(size, kRecordBytesMax));
    const auto flat = asio::buffer(flat_);
    asio::buffer_copy(flat, buffers);
    return flat;
  }

  void read_some(asio::mutable_buffer buffer, Transferred done);
  void write_some(asio::const_buffer buffer, Transferred done);
  void tear_down(beast::role_type role, Finished done);

  asio::ssl::stream<beast::tcp_stream> stream_;
  std::vector<char> flat_;  // what is being written, if it came in pieces
};

}  // namespace mesh::cluster
