// Apart from web_socket.cpp, so that the two compile beside each other.
#include "control/cluster/web_socket.h"

namespace mesh::cluster {

asio::awaitable<ErrorCode> WebSocket::accept(const HttpRequest& request) {
  return finished([this, &request](Finished done) { stream_.async_accept(request, std::move(done)); });
}

asio::awaitable<ErrorCode> WebSocket::handshake(HttpResponse& response, const std::string& host,
                                                const std::string& target) {
  return finished([this, &response, host, target](Finished done) {
    stream_.async_handshake(response, host, target, std::move(done));
  });
}

}  // namespace mesh::cluster
