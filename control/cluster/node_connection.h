// A manager's end of one connection to its port: TLS, and after the upgrade one node's session, with a queue of frames
// to it of which one is being written.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "control/cluster/messages.h"
#include "control/cluster/tls.h"
#include "control/cluster/web_socket.h"

namespace mesh::cluster {

class NodeConnection : public std::enable_shared_from_this<NodeConnection> {
 public:
  NodeConnection(Tcp::socket socket, const TlsContext& settings, const SocketAddress& peer);
  NodeConnection(const NodeConnection&) = delete;
  NodeConnection& operator=(const NodeConnection&) = delete;

  [[nodiscard]] WebSocket& socket() { return socket_; }
  [[nodiscard]] TlsStream& tls() { return socket_.tls(); }
  [[nodiscard]] const SocketAddress& peer() const { return peer_; }
  // Of the certificate; "" before the upgrade.
  [[nodiscard]] const std::string& node_id() const { return node_id_; }
  void set_node_id(std::string node_id) { node_id_ = std::move(node_id); }

  // Whether kSendQueueMax frames wait.
  [[nodiscard]] bool full() const { return queue_.size() >= kSendQueueMax; }
  // Nothing once the session is closing.
  void send(const ManagerMessage& message);

  // Tells the peer why and cuts the connection if it does not answer. For others than the reader of the connection, who
  // sees the peer's half of the closing.
  void close_politely(const std::string& why);
  // The same for the reader itself.
  [[nodiscard]] asio::awaitable<void> say_why(std::string why);
  [[nodiscard]] bool closing() const { return closing_; }
  // Ends all that is under way.
  void cut();

  // Calls once, when the peer's certificate ends, unless the connection is closed before.
  void at_expiry(Time not_after, std::function<void()> call);

 private:
  void write_next();
  void cut_later();

  asio::ssl::context context_;
  WebSocket socket_;
  asio::steady_timer expiry_;  // of the peer's certificate; later: of an unanswered close
  SocketAddress peer_;
  std::string node_id_;
  std::deque<std::string> queue_;
  bool closing_ = false;
  bool cut_ = false;
};

}  // namespace mesh::cluster
