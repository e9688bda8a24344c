#include "tests/tools/socket.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/resource.h>

namespace mesh::tools {

void give_up(const std::string& what) {
  std::fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what.c_str(), std::strerror(errno));
  std::exit(2);
}

std::pair<std::string, uint16_t> SocketAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = "?";
  if (family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
    inet_ntop(AF_INET, &v4->sin_addr, buffer, sizeof buffer);
    return {buffer, ntohs(v4->sin_port)};
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
  if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
    inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], buffer, sizeof buffer);
  } else {
    inet_ntop(AF_INET6, &v6->sin6_addr, buffer, sizeof buffer);
  }
  return {buffer, ntohs(v6->sin6_port)};
}

SocketAddress parse_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  errno = EINVAL;
  if (colon == std::string_view::npos) give_up("no port in address " + std::string(text));
  std::string host(text.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), std::string(text.substr(colon + 1)).c_str(), &hints, &found)) {
    std::fprintf(stderr, "%s: address %.*s: %s\n", program_invocation_short_name, static_cast<int>(text.size()),
                 text.data(), gai_strerror(error));
    std::exit(2);
  }
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  freeaddrinfo(found);
  return address;
}

std::vector<SocketAddress> parse_addresses(std::string_view text) {
  std::vector<SocketAddress> addresses;
  while (!text.empty()) {
    const size_t end = text.find(',');
    addresses.push_back(parse_address(text.substr(0, end)));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return addresses;
}

SocketAddress local_address(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0) give_up("getsockname");
  return address;
}

void want_files(uint64_t wanted) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < wanted) {
    errno = EMFILE;
    give_up(std::to_string(wanted) + " open files are needed, the hard limit is " + std::to_string(limit.rlim_max));
  }
}

}  // namespace mesh::tools
