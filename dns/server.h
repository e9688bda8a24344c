// mesh-dns: the process that answers names on this host. It outlives meshd and keeps its last table (also over its own
// restart), so that a restart of meshd costs no resolver its five-second retry.
#pragma once

#include <string>

#include "base/address.h"
#include "base/result.h"

namespace mesh::dns {

struct ServerOptions {
  SocketAddress listen;    // the gateway address of the containers; it need not exist yet (IP_FREEBIND)
  std::string feed_path;   // unix socket for feed()
  std::string state_path;  // the last table, JSON; read at start, rewritten at each change
  std::string build;       // reported in ServerState
};

// Runs until SIGTERM or SIGINT. Errors: the addresses cannot be bound; the text says which and why.
[[nodiscard]] Status run_server(const ServerOptions& options);

}  // namespace mesh::dns
