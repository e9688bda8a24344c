// A node's end of its session with a manager: one WebSocket over mutual TLS 1.3, opened again by itself with a back-off
// of 0.1 to 8 s, going round the known managers. Sends hello first, then heartbeats as the manager's welcome says;
// renews the node's certificate when its time comes and goes on with the new one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/cluster/identity.h"
#include "control/cluster/messages.h"

namespace boost::asio {
class io_context;
}

namespace mesh::cluster {

enum class SessionState : std::uint8_t { kDown, kUp };

class AgentSession {
 public:
  // All called on the loop's thread.
  struct Callbacks {
    std::function<Hello()> hello;  // asked for each new connection
    std::function<void(const ManagerMessage&)> on_message;
    // kUp: the manager has accepted the hello; its welcome follows as the first message. kDown: with the reason; also
    // after each vain attempt.
    std::function<void(SessionState, const std::string& why)> on_state;
    std::function<void(const NodeIdentity&)> on_identity;  // renewed; to be saved
  };
  struct Options {
    Duration backoff_min = std::chrono::milliseconds(100);
    Duration backoff_max = std::chrono::seconds(8);
    Duration handshake_timeout = std::chrono::seconds(5);  // each of: connect, TLS, upgrade, welcome
  };

  AgentSession(boost::asio::io_context& loop, NodeIdentity identity, std::vector<SocketAddress> managers,
               Callbacks callbacks, Options options);
  AgentSession(boost::asio::io_context& loop, NodeIdentity identity, std::vector<SocketAddress> managers,
               Callbacks callbacks);
  ~AgentSession();  // as stop()
  AgentSession(const AgentSession&) = delete;
  AgentSession& operator=(const AgentSession&) = delete;

  void start();
  // Ends the session; no callback comes afterwards.
  void stop();
  // Ends this connection and opens a new one: the next hello makes the manager send everything again.
  void restart(const std::string& why);
  // kUnavailable while down; kExhausted if the manager does not read (the session is then restarted). The agent says
  // everything again at the next kUp, so a refused message need not be kept.
  Status send(const AgentMessage& message);
  [[nodiscard]] bool up() const;
  // Addresses of managers to try from now on; the running connection stays.
  void use_managers(std::vector<SocketAddress> managers);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::cluster
