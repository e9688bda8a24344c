// Sockets for the test tools. Failures that end the tool are printed with their reason; the tool exits with status 2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace mesh::tools {

// Prints "program: what: reason of errno" and exits with status 2.
[[noreturn]] void give_up(const std::string& what);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
  // Numeric address (v4-mapped as plain IPv4) and port.
  [[nodiscard]] std::pair<std::string, uint16_t> text() const;
};

// "1.2.3.4:80", "[fd00::1]:80", or a name as in "localhost:80". Comma separated: parse_addresses.
SocketAddress parse_address(std::string_view text);
std::vector<SocketAddress> parse_addresses(std::string_view text);
SocketAddress local_address(int fd);

// Soft limit of open files up to the hard one; gives up when even that is below `wanted`.
void want_files(uint64_t wanted);

}  // namespace mesh::tools
