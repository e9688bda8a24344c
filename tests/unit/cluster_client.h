// A client of the cluster port made of OpenSSL and text alone, so that it can be wrong in every way and shares nothing
// with what it tests. It blocks: for a thread of its own while the test runs the server's loop.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "control/cluster/identity.h"
#include "control/cluster/openssl.h"

namespace mesh::cluster {

struct RawAnswer {
  std::string error;  // of the transport; "" if a whole HTTP answer came
  int status = 0;
  std::string head;
  std::string body;
};

class RawClient {
 public:
  struct Options {
    const NodeIdentity* identity = nullptr;  // shows its certificate
    int max_version = TLS1_3_VERSION;
  };
  // Connects and shakes hands; error() says if it did not work.
  RawClient(const SocketAddress& address, const Options& options);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  [[nodiscard]] const std::string& error() const { return error_; }

  RawAnswer request(std::string_view method, std::string_view target, std::string_view body);
  // GET /session and RFC 6455 §1.3's example key; whether the manager answers as it says there.
  [[nodiscard]] bool upgrade();
  // One text frame.
  void send_frame(std::string_view text);
  // Reads frames until the manager ends the connection; a close frame is answered.
  void read_to_end();

 private:
  using SslPtr = std::unique_ptr<SSL, OpensslDeleter<SSL_free>>;

  void send(std::string_view bytes);
  void send_frame(std::uint8_t first, std::string_view payload);
  // Until `input_` holds this many bytes; false at the end.
  bool fill(std::size_t bytes);
  RawAnswer read_answer();

  Fd socket_;
  SslContextPtr context_;
  SslPtr tls_;
  std::string input_;  // received and not looked at
  std::string error_;
};

}  // namespace mesh::cluster
