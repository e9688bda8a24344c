// Names from Asio and Beast that both ends of a session share. For the .cpp files of this folder: heavy to include.
#pragma once

#include <functional>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"

namespace mesh::cluster {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// co_await operations give (error, value) tuples instead of exceptions.
inline constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// Called once, from the loop, never from inside the call that starts the operation.
using Finished = std::move_only_function<void(ErrorCode)>;
using Start = std::move_only_function<void(Finished)>;

// Makes an operation awaitable. Composed operations are compiled anew for each type of their handler, and cost seconds
// each: those of this folder know the type Finished alone and are awaited through here.
[[nodiscard]] asio::awaitable<ErrorCode> finished(Start start);

[[nodiscard]] Tcp::endpoint to_endpoint(const SocketAddress& address);
[[nodiscard]] SocketAddress from_endpoint(const Tcp::endpoint& endpoint);
[[nodiscard]] std::chrono::steady_clock::duration to_steady(Duration duration);

// What went wrong, for a person: OpenSSL's alert or verification reason instead of "asio.ssl error".
[[nodiscard]] std::string describe(const ErrorCode& error, SSL* connection);

// Asio does not open its sockets so: a monitor or mesh-dns that inherited one would keep the port after our death.
void close_on_exec(int descriptor);

// Options of every connection of the cluster; it is closed on exec.
void set_tcp_options(Tcp::socket& socket);

}  // namespace mesh::cluster
