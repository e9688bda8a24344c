// mesh-pingpong: round-trip time of small messages over one TCP connection.
//   mesh-pingpong serve PORT                                  echoes, IPv4 and IPv6, until SIGTERM
//   mesh-pingpong ask ADDRESS:PORT [--count 20000] [--bytes 64]   prints JSON: minimum, p50, p99 in microseconds
//   mesh-pingpong visit ADDRESS:PORT [--seconds 1] [--bytes 64]   a connection for each message; prints JSON: how many
//   mesh-pingpong take PORT                                   takes what comes and closes when the sender does
//   mesh-pingpong bulk ADDRESS:PORT [--seconds 1]             prints JSON: bytes and seconds until all of it was taken
//   mesh-pingpong connect ONE:PORT OTHER:PORT [--count N]     prints JSON: p50 of connect() to each, in turn, in
//                                                             microseconds (UDP: no packet, so only the kernel's way)
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/address.h"
#include "base/fd.h"

namespace {

using mesh::Fd;
using mesh::Status;

constexpr std::size_t kBytesMax = 65536;

void no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

bool send_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

Status serve(std::uint16_t port, bool echo) {
  const Fd listener(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) return mesh::fail_errno("socket", errno);
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), 16) != 0) {
    return mesh::fail_errno("listen on port " + std::to_string(port), errno);
  }
  std::vector<pollfd> polled = {{.fd = listener.get(), .events = POLLIN, .revents = 0}};
  std::array<char, kBytesMax> buffer{};
  for (;;) {
    if (::poll(polled.data(), polled.size(), -1) < 0) return mesh::fail_errno("poll", errno);
    for (std::size_t i = polled.size(); i-- > 1;) {
      if (polled[i].revents == 0) continue;
      const ssize_t got = ::recv(polled[i].fd, buffer.data(), buffer.size(), 0);
      if (got > 0 && !echo) continue;
      if (got > 0 && send_all(polled[i].fd, buffer.data(), static_cast<std::size_t>(got))) continue;
      ::close(polled[i].fd);
      polled.erase(polled.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (polled[0].revents == 0) continue;
    const int accepted = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0) continue;
    no_delay(accepted);
    polled.push_back({.fd = accepted, .events = POLLIN, .revents = 0});
  }
}

mesh::Result<Fd> connect_to(const mesh::SocketAddress& peer) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(peer.port);
  std::memcpy(&address.sin6_addr, peer.ip.bytes().data(), 16);
  Fd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return mesh::fail_errno("connect to " + peer.to_string(), errno);
  }
  no_delay(fd.get());
  return fd;
}

// One message there and back.
Status exchange(int fd, const std::string& target, const std::vector<char>& message, std::vector<char>& reply) {
  if (!send_all(fd, message.data(), message.size())) return mesh::fail_errno("send", errno);
  for (std::size_t have = 0; have < reply.size();) {
    const ssize_t got = ::recv(fd, reply.data() + have, reply.size() - have, 0);
    if (got <= 0) return mesh::fail(mesh::ErrorKind::kUnavailable, target + " closed the connection");
    have += static_cast<std::size_t>(got);
  }
  return {};
}

Status ask(const std::string& target, std::size_t count, std::size_t bytes) {
  const Fd fd = TRY(connect_to(TRY(mesh::SocketAddress::parse(target))));
  const std::vector<char> message(bytes, 'p');
  std::vector<char> reply(bytes);
  std::vector<double> times_us;
  times_us.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    TRY(exchange(fd.get(), target, message, reply));
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
    times_us.push_back(elapsed.count());
  }
  std::ranges::sort(times_us);
  std::printf("{\"count\": %zu, \"bytes\": %zu, \"min_us\": %.2f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", count, bytes,
              times_us.front(), times_us[count / 2], times_us[count * 99 / 100]);
  return {};
}

Status visit(const std::string& target, double seconds, std::size_t bytes) {
  const mesh::SocketAddress peer = TRY(mesh::SocketAddress::parse(target));
  const std::vector<char> message(bytes, 'v');
  std::vector<char> reply(bytes);
  std::uint64_t count = 0;
  const auto start = std::chrono::steady_clock::now();
  std::chrono::duration<double> elapsed{};
  while (elapsed.count() < seconds) {
    const Fd fd = TRY(connect_to(peer));
    // Ends by a reset: otherwise all ports wait for late packets (TIME_WAIT) within a second or two.
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    TRY(exchange(fd.get(), target, message, reply));
    ++count;
    elapsed = std::chrono::steady_clock::now() - start;
  }
  std::printf("{\"count\": %llu, \"seconds\": %.4f}\n", static_cast<unsigned long long>(count), elapsed.count());
  return {};
}

Status bulk(const std::string& target, double seconds) {
  const Fd fd = TRY(connect_to(TRY(mesh::SocketAddress::parse(target))));
  const std::vector<char> data(kBytesMax, 'b');
  std::uint64_t bytes = 0;
  const auto start = std::chrono::steady_clock::now();
  std::chrono::duration<double> elapsed{};
  while (elapsed.count() < seconds) {
    if (!send_all(fd.get(), data.data(), data.size())) return mesh::fail_errno("send", errno);
    bytes += data.size();
    elapsed = std::chrono::steady_clock::now() - start;
  }
  // The other end closes when it has read everything.
  char last = 0;
  if (::shutdown(fd.get(), SHUT_WR) != 0 || ::recv(fd.get(), &last, 1, 0) != 0) {
    return mesh::fail(mesh::ErrorKind::kUnavailable, target + " did not take everything; is it `mesh-pingpong take`?");
  }
  elapsed = std::chrono::steady_clock::now() - start;
  std::printf("{\"bytes\": %llu, \"seconds\": %.4f}\n", static_cast<unsigned long long>(bytes), elapsed.count());
  return {};
}

// Microseconds that connect() of a fresh socket takes.
mesh::Result<double> connect_us(const sockaddr_in& to) {
  const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return mesh::fail_errno("socket", errno);
  const auto start = std::chrono::steady_clock::now();
  const int outcome = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
  if (outcome != 0) return mesh::fail_errno("connect", errno);
  return elapsed.count();
}

Status compare_connects(const std::vector<std::string>& targets, std::size_t count) {
  std::vector<sockaddr_in> addresses;
  for (const std::string& text : targets) {
    const mesh::SocketAddress target = TRY(mesh::SocketAddress::parse(text));
    if (!target.ip.is_v4()) return mesh::fail(mesh::ErrorKind::kInvalid, text + ": an IPv4 address is needed");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(target.port);
    address.sin_addr.s_addr = htonl(target.ip.v4_host_order());
    addresses.push_back(address);
  }
  std::vector<std::vector<double>> times_us(addresses.size());
  for (std::size_t i = 0; i < count * addresses.size(); ++i) {
    const std::size_t turn = i % addresses.size();
    times_us[turn].push_back(TRY(connect_us(addresses[turn])));
  }
  std::printf("{\"p50_us\": [");
  for (std::size_t i = 0; i < times_us.size(); ++i) {
    std::ranges::sort(times_us[i]);
    std::printf("%s%.4f", i == 0 ? "" : ", ", times_us[i][count / 2]);
  }
  std::puts("]}");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("round-trip time of small messages");
  app.require_subcommand(1);
  std::uint16_t port = 0;
  std::string target;
  std::size_t count = 20000;
  std::size_t bytes = 64;
  CLI::App* server = app.add_subcommand("serve", "echo what comes");
  server->add_option("port", port)->required();
  CLI::App* client = app.add_subcommand("ask", "measure");
  client->add_option("target", target, "ADDRESS:PORT")->required();
  client->add_option("--count", count)->check(CLI::Range(std::size_t{1}, std::size_t{10'000'000}));
  client->add_option("--bytes", bytes)->check(CLI::Range(std::size_t{1}, kBytesMax));
  double seconds = 1;
  CLI::App* visitor = app.add_subcommand("visit", "measure connections, each for one message");
  visitor->add_option("target", target, "ADDRESS:PORT")->required();
  visitor->add_option("--seconds", seconds);
  visitor->add_option("--bytes", bytes)->check(CLI::Range(std::size_t{1}, kBytesMax));
  CLI::App* taker = app.add_subcommand("take", "take what comes");
  taker->add_option("port", port)->required();
  CLI::App* sender = app.add_subcommand("bulk", "send as much as goes");
  sender->add_option("target", target, "ADDRESS:PORT")->required();
  sender->add_option("--seconds", seconds);
  std::vector<std::string> targets;
  CLI::App* connector = app.add_subcommand("connect", "measure connect() to each in turn");
  connector->add_option("targets", targets, "ADDRESS:PORT …")->required();
  connector->add_option("--count", count)->check(CLI::Range(std::size_t{1}, std::size_t{10'000'000}));
  CLI11_PARSE(app, argc, argv);
  Status status;
  if (*server || *taker) {
    status = serve(port, server->parsed());
  } else if (*sender) {
    status = bulk(target, seconds);
  } else if (*visitor) {
    status = visit(target, seconds, bytes);
  } else {
    status = *connector ? compare_connects(targets, count) : ask(target, count, bytes);
  }
  if (status) return 0;
  std::fprintf(stderr, "mesh-pingpong: %s\n", status.error().message.c_str());
  return 1;
}
