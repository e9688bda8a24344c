// /metrics on TCP, for a collector on another host: plain HTTP/1.1, one request per connection, nothing else of the
// API.
#pragma once

#include <memory>

#include "base/address.h"
#include "control/api/context.h"

namespace boost::asio {
class io_context;
}

namespace mesh::api {

class MetricsServer {
 public:
  // `context` outlives the server.
  MetricsServer(boost::asio::io_context& loop, Context& context);
  ~MetricsServer();  // as stop()
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // Returns where it listens (port 0: the kernel chooses). kInvalid names the address and what is wrong with it.
  [[nodiscard]] Result<SocketAddress> listen(const SocketAddress& address);
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::api
