#include "tests/unit/cluster_client.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fmt/format.h>

namespace mesh::cluster {
namespace {

// RFC 6455 §5.2
constexpr std::uint8_t kFinalText = 0x81;
constexpr std::uint8_t kFinalClose = 0x88;
constexpr std::uint8_t kMasked = 0x80;

Fd connect_to(const SocketAddress& address) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(address.port);
  to.sin_addr.s_addr = htonl(address.ip.v4_host_order());
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) socket.reset();
  return socket;
}

std::size_t content_length(std::string_view head) {
  constexpr std::string_view kName = "\r\nContent-Length: ";
  std::size_t length = 0;
  if (const auto at = head.find(kName); at != std::string_view::npos) {
    const std::string_view digits = head.substr(at + kName.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), length);
  }
  return length;
}

}  // namespace

RawClient::RawClient(const SocketAddress& address, const Options& options)
    : socket_(connect_to(address)), context_(SSL_CTX_new(TLS_client_method())) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  SSL_CTX_set_max_proto_version(context_.get(), options.max_version);
  if (options.identity != nullptr) {
    const auto certificate = parse_certificate(options.identity->certificate_pem, "the client's certificate");
    const auto key = parse_key(options.identity->key_pem, "the client's key");
    if (!certificate || !key || SSL_CTX_use_certificate(context_.get(), certificate->get()) != 1 ||
        SSL_CTX_use_PrivateKey(context_.get(), key->get()) != 1) {
      error_ = "the client has no certificate";
      return;
    }
  }
  tls_.reset(SSL_new(context_.get()));
  if (!socket_ || SSL_set_fd(tls_.get(), socket_.get()) != 1 || SSL_connect(tls_.get()) != 1) error_ = "no handshake";
}

RawClient::~RawClient() { ERR_clear_error(); }

void RawClient::send(std::string_view bytes) {
  if (!error_.empty() || bytes.empty()) return;
  std::size_t written = 0;  // without partial writes: all or an error
  if (SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &written) != 1) error_ = "not all was written";
}

bool RawClient::fill(std::size_t bytes) {
  while (error_.empty() && input_.size() < bytes) {
    std::array<char, 4096> piece{};
    std::size_t got = 0;
    if (SSL_read_ex(tls_.get(), piece.data(), piece.size(), &got) == 1) {
      input_.append(piece.data(), got);
    } else {
      error_ = "the manager ended the connection";
      if (SSL_get_error(tls_.get(), 0) == SSL_ERROR_ZERO_RETURN) SSL_shutdown(tls_.get());
    }
  }
  return input_.size() >= bytes;
}

RawAnswer RawClient::read_answer() {
  RawAnswer answer;
  constexpr std::string_view kStart = "HTTP/1.1 ";
  auto end = std::string::npos;
  while ((end = input_.find("\r\n\r\n")) == std::string::npos && fill(input_.size() + 1)) {
  }
  if (end != std::string::npos && input_.starts_with(kStart)) {
    answer.head = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    std::from_chars(answer.head.data() + kStart.size(), answer.head.data() + answer.head.size(), answer.status);
    const std::size_t length = content_length(answer.head);
    if (fill(length)) {
      answer.body = input_.substr(0, length);
      input_.erase(0, length);
      return answer;
    }
  }
  answer.error = error_.empty() ? "no HTTP answer" : error_;
  return answer;
}

RawAnswer RawClient::request(std::string_view method, std::string_view target, std::string_view body) {
  send(fmt::format("{} {} HTTP/1.1\r\nHost: manager\r\nContent-Length: {}\r\n\r\n{}", method, target, body.size(),
                   body));
  return read_answer();
}

bool RawClient::upgrade() {
  send(
      "GET /session HTTP/1.1\r\nHost: manager\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
  const RawAnswer answer = read_answer();
  return answer.status == 101 && answer.head.find(": s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != std::string::npos;
}

void RawClient::send_frame(std::string_view text) { send_frame(kFinalText, text); }

void RawClient::send_frame(std::uint8_t first, std::string_view payload) {
  constexpr std::array<char, 4> kMask = {0x12, 0x34, 0x56, 0x78};
  std::string frame(1, static_cast<char>(first));
  const std::size_t length_bytes = payload.size() < 126 ? 0 : payload.size() <= 0xffff ? 2 : 8;
  const std::size_t short_length = length_bytes == 0 ? payload.size() : length_bytes == 2 ? 126 : 127;
  frame += static_cast<char>(kMasked | short_length);
  for (std::size_t i = length_bytes; i > 0; --i) frame += static_cast<char>(payload.size() >> (8 * (i - 1)));
  frame.append(kMask.data(), kMask.size());
  for (std::size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ kMask[i % kMask.size()]);
  send(frame);
}

void RawClient::read_to_end() {
  while (fill(2)) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(input_[i]); };
    const std::size_t length_bytes = byte(1) < 126 ? 0 : byte(1) == 126 ? 2 : 8;
    if (!fill(2 + length_bytes)) break;
    std::size_t length = length_bytes == 0 ? byte(1) : 0;
    for (std::size_t i = 0; i < length_bytes; ++i) length = (length << 8U) | byte(2 + i);
    if (!fill(2 + length_bytes + length)) break;
    if (byte(0) == kFinalClose) send_frame(kFinalClose, input_.substr(2, length));
    input_.erase(0, 2 + length_bytes + length);
  }
}

}  // namespace mesh::cluster
