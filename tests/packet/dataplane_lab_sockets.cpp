// Cluster's sockets: servers in tasks, clients anywhere.
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include "tests/packet/dataplane_lab.h"

namespace mesh::lab {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);
  [[nodiscard]] sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address to_socket(const SocketAddress& to) {
  Address address;
  if (to.ip.is_v4()) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(to.port);
    v4->sin_addr.s_addr = htonl(to.ip.v4_host_order());
    address.size = sizeof *v4;
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(to.port);
    std::memcpy(&v6->sin6_addr, to.ip.bytes().data(), 16);
    address.size = sizeof *v6;
  }
  return address;
}

std::string to_text(const Address& address) {
  if (address.storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    return SocketAddress{IpAddress::v4(ntohl(v4->sin_addr.s_addr)), ntohs(v4->sin_port)}.to_string();
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
  IpAddress::Bytes bytes{};
  std::memcpy(bytes.data(), &v6->sin6_addr, bytes.size());
  return SocketAddress{IpAddress(bytes), ntohs(v6->sin6_port)}.to_string();
}

// Requests and answers end with a line end.
std::optional<std::string> read_line(int socket) {
  std::string line;
  char c = 0;
  while (line.size() < 65536) {
    const ssize_t size = recv(socket, &c, 1, 0);
    if (size <= 0) return std::nullopt;
    if (c == '\n') return line;
    line.push_back(c);
  }
  return std::nullopt;
}

void set_timeout(int socket) {
  const timeval timeout{.tv_sec = 3, .tv_usec = 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

Answer parse_answer(const std::string& line, int socket) {
  Answer answer;
  const std::size_t first = line.find(' ');
  const std::size_t second = line.find(' ', first + 1);
  answer.task = line.substr(0, first);
  answer.peer = line.substr(first + 1, second - first - 1);
  answer.payload = line.substr(second + 1);
  Address peer;
  if (getpeername(socket, peer.raw(), &peer.size) == 0) answer.named = to_text(peer);
  Address own;
  if (getsockname(socket, own.raw(), &own.size) == 0) {
    answer.client_port = ntohs(reinterpret_cast<sockaddr_in*>(&own.storage)->sin_port);
  }
  return answer;
}

Fd connect_tcp(const std::string& netns, const SocketAddress& to, std::uint16_t source_port, std::string* error) {
  Fd socket;
  Cluster::inside(netns, [&] {
    Address address = to_socket(to);
    Fd fresh(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    set_timeout(fresh.get());
    if (source_port != 0) {
      const int on = 1;
      setsockopt(fresh.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      Address local = to_socket({to.ip.is_v4() ? IpAddress::v4(0) : IpAddress(), source_port});
      if (bind(fresh.get(), local.raw(), local.size) != 0) throw std::runtime_error("bind");
    }
    if (connect(fresh.get(), address.raw(), address.size) != 0) {
      if (error != nullptr) *error = strerror(errno);
      return;
    }
    socket = std::move(fresh);
  });
  return socket;
}

std::optional<Answer> exchange(int socket, const std::string& payload) {
  const std::string line = payload + "\n";
  if (send(socket, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) return std::nullopt;
  const auto answer = read_line(socket);
  if (!answer) return std::nullopt;
  return parse_answer(*answer, socket);
}

}  // namespace

Server::Server(std::string name, const std::string& netns) : name_(std::move(name)) {
  Cluster::inside(netns, [&] {
    Address any = to_socket({IpAddress(), 80});
    tcp_.reset(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    udp_.reset(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    setsockopt(tcp_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(tcp_.get(), any.raw(), any.size) != 0 || listen(tcp_.get(), 4096) != 0 ||
        bind(udp_.get(), any.raw(), any.size) != 0) {
      throw std::runtime_error(std::string("server: ") + strerror(errno));
    }
  });
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  stop_read_.reset(ends[0]);
  stop_write_.reset(ends[1]);
  thread_ = std::thread([this] { serve(); });
}

Server::~Server() {
  stop_write_.reset();
  thread_.join();
}

void Server::serve() {
  struct Client {
    Fd socket;
    std::string peer;
    std::string input;
  };
  std::map<int, Client> clients;
  while (true) {
    std::vector<pollfd> waiting = {{stop_read_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}};
    for (const auto& [fd, client] : clients) waiting.push_back({fd, POLLIN, 0});
    poll(waiting.data(), waiting.size(), -1);
    if (waiting[0].revents != 0) return;
    Address peer;
    if (waiting[2].revents != 0) {
      std::array<char, 65536> buffer{};
      const ssize_t size = recvfrom(udp_.get(), buffer.data(), buffer.size(), 0, peer.raw(), &peer.size);
      if (size >= 0) {
        const std::string answer = fmt::format("{} {} {}", name_, to_text(peer),
                                               std::string_view(buffer.data(), static_cast<std::size_t>(size)));
        sendto(udp_.get(), answer.data(), answer.size(), 0, peer.raw(), peer.size);
      }
    }
    for (std::size_t i = 3; i < waiting.size(); ++i) {
      if (waiting[i].revents == 0) continue;
      Client& client = clients.at(waiting[i].fd);
      std::array<char, 65536> buffer{};
      const ssize_t size = recv(waiting[i].fd, buffer.data(), buffer.size(), 0);
      if (size <= 0) {
        clients.erase(waiting[i].fd);
        continue;
      }
      client.input.append(buffer.data(), static_cast<std::size_t>(size));
      for (std::size_t end = client.input.find('\n'); end != std::string::npos; end = client.input.find('\n')) {
        const std::string answer = fmt::format("{} {} {}\n", name_, client.peer, client.input.substr(0, end));
        send(waiting[i].fd, answer.data(), answer.size(), MSG_NOSIGNAL);
        client.input.erase(0, end + 1);
      }
    }
    if (waiting[1].revents == 0) continue;
    Fd accepted(accept4(tcp_.get(), peer.raw(), &peer.size, SOCK_CLOEXEC));
    if (!accepted) continue;
    const int fd = accepted.get();
    clients[fd] = {std::move(accepted), to_text(peer), {}};
  }
}

std::optional<Answer> ask_tcp(const std::string& netns, const SocketAddress& to, const std::string& payload,
                              std::uint16_t source_port, std::string* error) {
  const Fd socket = connect_tcp(netns, to, source_port, error);
  if (!socket) return std::nullopt;
  return exchange(socket.get(), payload);
}

std::optional<Answer> ask_udp(const std::string& netns, const SocketAddress& to, const std::string& payload) {
  std::optional<Answer> answer;
  Cluster::inside(netns, [&] {
    Address address = to_socket(to);
    const Fd socket(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    set_timeout(socket.get());
    if (connect(socket.get(), address.raw(), address.size) != 0) return;
    if (send(socket.get(), payload.data(), payload.size(), 0) < 0) return;
    std::array<char, 65536> buffer{};
    const ssize_t size = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size > 0) answer = parse_answer(std::string(buffer.data(), static_cast<std::size_t>(size)), socket.get());
  });
  return answer;
}

Connection::Connection(const std::string& netns, const SocketAddress& to)
    : socket_(connect_tcp(netns, to, 0, nullptr)) {}

std::optional<Answer> Connection::ask(const std::string& payload) { return exchange(socket_.get(), payload); }

}  // namespace mesh::lab
