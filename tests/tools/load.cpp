#include "tests/tools/load.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

namespace mesh::tools {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + '"';
}

}  // namespace

StopSign::StopSign(Milliseconds duration) : end_(Clock::now() + duration), until_input_ends_(duration.count() == 0) {}

bool StopSign::reached() {
  if (!until_input_ends_) return Clock::now() >= end_;
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (poll(&input, 1, 0) <= 0) return false;
  char buffer[256];
  return read(STDIN_FILENO, buffer, sizeof buffer) <= 0;
}

int open_socket(const LoadOptions& options, const SocketAddress& target, int type, uint16_t port) {
  const int fd = socket(target.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) give_up("socket");
  if (options.source.empty() && port == 0) return fd;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (port == 0) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  const bool v6 = target.family() == AF_INET6;
  const std::string any = v6 ? "::" : "0.0.0.0";
  const std::string host = options.source.empty() ? any : options.source;
  const SocketAddress local = parse_address((v6 ? '[' + host + ']' : host) + ':' + std::to_string(port));
  if (bind(fd, local.get(), local.size) != 0) give_up("bind to " + host + " port " + std::to_string(port));
  return fd;
}

void print_report(const char* event, std::initializer_list<std::pair<const char*, uint64_t>> counts,
                  const Counts& backends, const std::vector<std::string>& failures) {
  std::string line = "{\"event\":" + quoted(event);
  for (const auto& [name, count] : counts) line += ',' + quoted(name) + ':' + std::to_string(count);
  line += ",\"backends\":{";
  for (const char* comma = ""; const auto& [name, count] : backends) {
    line += comma + quoted(name) + ':' + std::to_string(count);
    comma = ",";
  }
  line += "},\"failures\":[";
  for (const char* comma = ""; const auto& failure : failures) {
    line += comma + quoted(failure);
    comma = ",";
  }
  line += "]}";
  std::puts(line.c_str());
  std::fflush(stdout);
}

}  // namespace mesh::tools
