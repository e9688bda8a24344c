#include "control/api/host_port.h"

#include <cerrno>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "base/fd.h"

namespace mesh::api {
namespace {

// Zero, or the errno of the bind.
int try_bind(int family, int type, std::uint16_t port) {
  const Fd fd(::socket(family, type | SOCK_CLOEXEC, 0));
  if (!fd) return 0;  // a host without this family has no server there either
  const int on = 1;
  // Connections that are over keep a TCP port for a minute; only a server that listens counts.
  if (type == SOCK_STREAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  int result = 0;
  if (family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    result = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    result = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  return result == 0 ? 0 : errno;
}

}  // namespace

Status port_is_free(const std::string& protocol, std::uint16_t port) {
  if (protocol != "tcp" && protocol != "udp") return {};
  const int type = protocol == "tcp" ? SOCK_STREAM : SOCK_DGRAM;
  for (const int family : {AF_INET, AF_INET6}) {
    if (try_bind(family, type, port) != EADDRINUSE) continue;
    return fail(ErrorKind::kConflict,
                fmt::format("published port {}/{} is already in use on this host by another program; stop that program "
                            "(see \"ss -lnp sport = {}\") or publish another port",
                            port, protocol, port));
  }
  return {};
}

}  // namespace mesh::api
