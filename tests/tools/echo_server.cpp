// mesh-echo: answers mesh-load's lines over TCP and UDP on one port, saying who it is and whom it sees.
//
//   mesh-echo [PORT] [LINGER_MS]       PORT 9000; LINGER_MS 3000
//
// SIGTERM: takes no new connections, marks each further answer as the connection's last and closes after it; idle
// connections are closed after LINGER_MS. That is what lets a client finish without an error.
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <unordered_map>

#include "base/fd.h"
#include "tests/tools/line.h"
#include "tests/tools/socket.h"

namespace mesh::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kEventsMax = 256;
constexpr int kBacklog = 4096;

// hostname-random: unlike any other run of any server.
std::string instance_name() {
  char host[65] = "";
  gethostname(host, sizeof host - 1);
  uint32_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) give_up("getrandom");
  return std::string(host) + '-' + std::to_string(random);
}

struct Peer {
  Fd fd;
  SocketAddress address;
  std::string input;
};

class EchoServer {
 public:
  EchoServer(uint16_t port, std::chrono::milliseconds linger)
      : linger_(linger),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        listener_(bound(SOCK_STREAM, port)),
        datagrams_(bound(SOCK_DGRAM, port)) {
    if (listen(listener_.get(), kBacklog) != 0) give_up("listen");
    sigset_t terminating;
    sigemptyset(&terminating);
    sigaddset(&terminating, SIGTERM);
    sigaddset(&terminating, SIGINT);
    sigprocmask(SIG_BLOCK, &terminating, nullptr);
    signals_ = Fd(signalfd(-1, &terminating, SFD_CLOEXEC | SFD_NONBLOCK));
    for (const int fd : {listener_.get(), datagrams_.get(), signals_.get()}) watch(fd);
  }

  void run() {
    epoll_event events[kEventsMax];
    while (!finished()) {
      const int count = epoll_wait(epoll_.get(), events, kEventsMax, closing_ ? 50 : -1);
      for (int i = 0; i < count; i++) handle(events[i].data.fd);
    }
  }

 private:
  static Fd bound(int type, uint16_t port) {
    Fd fd(socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int off = 0;
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // The answer to a datagram leaves from the address it came to.
    if (type == SOCK_DGRAM) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) {
      give_up("bind to port " + std::to_string(port));
    }
    return fd;
  }

  void watch(int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) give_up("epoll_ctl");
  }

  bool finished() { return closing_ && (peers_.empty() || Clock::now() > close_idle_at_); }

  void handle(int fd) {
    if (fd == signals_.get()) {
      signalfd_siginfo info{};
      if (read(fd, &info, sizeof info) != sizeof info) return;
      closing_ = true;
      close_idle_at_ = Clock::now() + linger_;
      accept_all();  // whoever is in the queue already is a client like the others
      listener_.reset();
    } else if (listener_.valid() && fd == listener_.get()) {
      accept_all();
    } else if (fd == datagrams_.get()) {
      answer_datagrams();
    } else {
      serve(fd);
    }
  }

  void accept_all() {
    while (true) {
      SocketAddress address;
      address.size = sizeof address.storage;
      Fd fd(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.size,
                    SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.valid()) return;
      const int on = 1;
      setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const int number = fd.get();
      watch(number);
      peers_[number] = Peer{std::move(fd), address, ""};
    }
  }

  std::string answer_to(const Request& request, const SocketAddress& address) const {
    const auto [text, port] = address.text();
    return encode(Answer{instance_, text, port, request, closing_});
  }

  void serve(int fd) {
    const auto found = peers_.find(fd);
    if (found == peers_.end()) return;
    if (!serve_lines(found->second)) peers_.erase(found);
  }

  // False when the connection is over.
  bool serve_lines(Peer& peer) const {
    char buffer[4096];
    ssize_t size = 0;
    while ((size = read(peer.fd.get(), buffer, sizeof buffer)) > 0) {
      peer.input.append(buffer, static_cast<size_t>(size));
      size_t end = 0;
      while ((end = peer.input.find('\n')) != std::string::npos) {
        const auto request = parse_request(std::string_view(peer.input).substr(0, end));
        peer.input.erase(0, end + 1);
        if (!request) return false;
        const std::string answer = answer_to(*request, peer.address);
        // Lines are far smaller than a socket's buffer, and a client has one request in flight.
        if (send(peer.fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(answer.size())) {
          return false;
        }
        if (closing_) return false;
      }
      if (peer.input.size() > kLineBytesMax) return false;
    }
    return size < 0 && errno == EAGAIN;
  }

  void answer_datagrams() const {
    while (true) {
      SocketAddress address;
      char text[kLineBytesMax];
      char control[CMSG_SPACE(sizeof(in6_pktinfo))];
      iovec io{.iov_base = text, .iov_len = sizeof text};
      msghdr message{};
      message.msg_name = &address.storage;
      message.msg_namelen = sizeof address.storage;
      message.msg_iov = &io;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      const ssize_t size = recvmsg(datagrams_.get(), &message, 0);
      if (size <= 0) return;
      std::string_view line(text, static_cast<size_t>(size));
      if (line.ends_with('\n')) line.remove_suffix(1);
      const auto request = parse_request(line);
      if (!request) continue;
      std::string answer = answer_to(*request, address);
      io = {.iov_base = answer.data(), .iov_len = answer.size()};
      // An answer that the kernel cannot send is a lost datagram to the client, which counts it.
      [[maybe_unused]] const ssize_t sent = sendmsg(datagrams_.get(), &message, MSG_NOSIGNAL);
    }
  }

  const std::string instance_ = instance_name();
  std::chrono::milliseconds linger_;
  Fd epoll_;
  Fd listener_;
  Fd datagrams_;
  Fd signals_;
  std::unordered_map<int, Peer> peers_;
  bool closing_ = false;
  Clock::time_point close_idle_at_;
};

}  // namespace
}  // namespace mesh::tools

int main(int argc, char** argv) {
  const int port = argc > 1 ? std::atoi(argv[1]) : 9000;
  const int linger_ms = argc > 2 ? std::atoi(argv[2]) : 3000;
  if (port < 1 || port > 65535 || linger_ms < 0) {
    std::fprintf(stderr, "usage: mesh-echo [PORT] [LINGER_MS]\n");
    return 2;
  }
  mesh::tools::want_files(1024);
  mesh::tools::EchoServer(static_cast<uint16_t>(port), std::chrono::milliseconds(linger_ms)).run();
  return 0;
}
