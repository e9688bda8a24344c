// The API on a unix socket: HTTP/1.1 with keep-alive and chunked streams.
#pragma once

#include <memory>
#include <string>

#include "control/api/context.h"

namespace boost::asio {
class io_context;
}

namespace mesh::api {

class Server {
 public:
  // `context` outlives the server.
  Server(boost::asio::io_context& loop, Context& context);
  ~Server();  // as stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Replaces a stale socket file; mode 0660, so that root and the socket's group may use it. kConflict: somebody
  // answers there already.
  Status listen(const std::string& socket_path);
  // Closes all connections and removes the socket file.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::api
