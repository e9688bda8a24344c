// Whether a port of this host is free to be published: another program's server would lose its clients to the mesh.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace mesh::api {

// Tries to bind it on all addresses and lets it go. kConflict: "published port 8033/tcp is already in use on this host
// by another program; …". Protocols other than tcp and udp are not looked at.
[[nodiscard]] Status port_is_free(const std::string& protocol, std::uint16_t port);

}  // namespace mesh::api
