// What the servers of this folder share: taking connections.
#pragma once

#include <fcntl.h>
#include <optional>
#include <string_view>

#include <boost/asio.hpp>

#include "base/log.h"

namespace mesh::api {

// Asio does not open its sockets so: a monitor that inherited one would keep our clients waiting after our death.
inline void close_on_exec(int descriptor) { ::fcntl(descriptor, F_SETFD, FD_CLOEXEC); }

// The next connection, closed on exec; nothing once the acceptor is closed. Out of descriptors or memory, it is tried
// again after a pause: those in use end sooner or later. `who` names the server in the log and outlives the wait.
template <class Protocol>
boost::asio::awaitable<std::optional<typename Protocol::socket>> next_connection(
    boost::asio::basic_socket_acceptor<Protocol>& acceptor, std::string_view who) {
  constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);
  while (acceptor.is_open()) {
    auto [error, socket] = co_await acceptor.async_accept(kAwait);
    if (!error) {
      close_on_exec(socket.native_handle());
      co_return std::move(socket);
    }
    if (!acceptor.is_open()) break;
    spdlog::warn("{}: accept failed error=\"{}\"", who, error.message());
    boost::asio::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(100));
    [[maybe_unused]] auto [ignored] = co_await pause.async_wait(kAwait);
  }
  co_return std::nullopt;
}

}  // namespace mesh::api
