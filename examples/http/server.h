#pragma once
// A small HTTP server for the example programs: one thread per connection, IPv4 and IPv6 on one socket.
//
// On SIGTERM or SIGINT it finishes what it has: requests in work are answered, every answer from then on says
// `Connection: close`, connections that are open but idle get a moment for a last request, and serve() returns when
// none is left (or kDrainMax has passed). New connections are still accepted meanwhile, so that nobody who was sent
// here a moment ago is refused.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "examples/http/message.h"

namespace mesh::examples {

// An open connection without a request is closed after this.
inline constexpr std::chrono::milliseconds kIdleMax{60'000};
// Idle connections get this long for a last request once the server was asked to stop.
inline constexpr std::chrono::milliseconds kDrainIdle{1'000};
// Shorter than the ten seconds after which a container is killed.
inline constexpr std::chrono::milliseconds kDrainMax{8'000};
// Connections served at once; more wait in the kernel's queue.
inline constexpr int kConnectionsMax = 512;

// One end of a connection as text: an IPv4 address never shows as IPv6-mapped.
struct SocketName {
  std::string address;
  std::uint16_t port = 0;
};

struct Exchange {
  Request request;
  SocketName client;  // whom the socket is connected to
  SocketName server;  // the address that the client reached here
};

using Handler = std::function<Response(const Exchange&)>;

// Serves until asked to stop. Returns the process's exit code; what went wrong is printed. `handle` is called from
// several threads at once.
int serve(std::uint16_t port, const Handler& handle);

}  // namespace mesh::examples
