#include "examples/http/server.h"

#include <arpa/inet.h>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <semaphore>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace mesh::examples {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Readable from the moment on that the server was asked to stop, for ever: every poll() here watches it.
int g_stop_event = -1;
std::atomic<bool> g_stopping = false;

void on_stop_signal(int) {
  g_stopping = true;
  const std::uint64_t one = 1;
  // The counter cannot overflow by a handful of signals; nothing can be done in a handler if it did.
  [[maybe_unused]] const auto written = write(g_stop_event, &one, sizeof one);
}

SocketName name_of(const sockaddr_in6& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {
    inet_ntop(AF_INET, address.sin6_addr.s6_addr + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
  }
  return {text, ntohs(address.sin6_port)};
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

// Waits for bytes on `fd`. While the server runs, a stop wakes it; from then on an idle connection has kDrainIdle.
bool wait_readable(int fd) {
  auto deadline = SteadyClock::now() + kIdleMax;
  bool draining = false;
  for (;;) {
    if (!draining && g_stopping) {
      draining = true;
      deadline = std::min(deadline, SteadyClock::now() + kDrainIdle);
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (left <= 0) return false;
    pollfd watched[2] = {{fd, POLLIN, 0}, {g_stop_event, POLLIN, 0}};
    const int ready = poll(watched, draining ? 1 : 2, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return false;
    if (ready > 0 && watched[0].revents != 0) return true;
  }
}

// One connection from accept to close.
class Connection {
 public:
  Connection(int fd, const Handler& handle) : fd_(fd), handle_(handle) {
    // Seconds for a peer that neither reads nor goes away.
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(fd_); }

  void run() {
    Exchange exchange;
    sockaddr_in6 address{};
    socklen_t size = sizeof address;
    if (getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0) exchange.client = name_of(address);
    size = sizeof address;
    if (getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0) exchange.server = name_of(address);
    while (serve_one(exchange)) {
    }
    // The last answer must reach the client even if it has sent more than was read: shut down, then read to the end,
    // because close() with unread bytes sends a reset that can overtake the answer.
    shutdown(fd_, SHUT_WR);
    char rest[4096];
    pollfd watched{fd_, POLLIN, 0};
    while (poll(&watched, 1, 1000) > 0 && recv(fd_, rest, sizeof rest, MSG_DONTWAIT) > 0) {
    }
  }

 private:
  // Reads and answers one request; false when the connection has ended.
  bool serve_one(Exchange& exchange) {
    Parsed parsed = parse_request(buffer_);
    while (parsed.state == Parsed::State::kIncomplete) {
      if (!read_some()) return false;
      parsed = parse_request(buffer_);
    }
    if (parsed.state == Parsed::State::kBad) {
      const Response refusal{
          .status = parsed.status, .body = "The request is malformed or too large.\n", .headers = {}};
      send_all(fd_, format_response(refusal, false, false));
      return false;
    }
    buffer_.erase(0, parsed.bytes_used);
    const bool wants_more = parsed.request.keep_alive();
    exchange.request = std::move(parsed.request);
    const Response response = handle_(exchange);
    // Asked after the work, not before: a stop that came meanwhile is told at once.
    const bool keep = wants_more && !g_stopping;
    return send_all(fd_, format_response(response, keep, exchange.request.method == "HEAD")) && keep;
  }

  bool read_some() {
    if (!wait_readable(fd_)) return false;
    char bytes[16 * 1024];
    const auto got = recv(fd_, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EINTR) return true;
    if (got <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  int fd_;
  const Handler& handle_;
  std::string buffer_;
};

int listen_on(std::uint16_t port) {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int on = 1;
  const int off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd, SOMAXCONN) != 0) {
    const int code = errno;
    close(fd);
    errno = code;
    return -1;
  }
  return fd;
}

bool install_stop_signals() {
  g_stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action{};
  action.sa_handler = on_stop_signal;
  // Nobody may read the log any more; that ends no service.
  signal(SIGPIPE, SIG_IGN);
  return g_stop_event >= 0 && sigaction(SIGTERM, &action, nullptr) == 0 && sigaction(SIGINT, &action, nullptr) == 0;
}

using Slots = std::counting_semaphore<kConnectionsMax>;

// Accepts everything that waits now; false when accepting has become impossible.
bool accept_waiting(int listener, const Handler& handle, Slots& slots, std::atomic<int>& open) {
  for (;;) {
    if (!slots.try_acquire_for(std::chrono::milliseconds(100))) return true;
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      slots.release();
      return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED || errno == EMFILE || errno == ENFILE;
    }
    ++open;
    std::thread([fd, &handle, &slots, &open] {
      Connection(fd, handle).run();
      slots.release();
      --open;
    }).detach();
  }
}

}  // namespace

int serve(std::uint16_t port, const Handler& handle) {
  // Detached threads may use these until the process has gone.
  static Slots slots(kConnectionsMax);
  static std::atomic<int> open = 0;

  const int listener = install_stop_signals() ? listen_on(port) : -1;
  if (listener < 0) {
    std::fprintf(stderr, "cannot listen on port %u: %s\n", unsigned{port}, std::strerror(errno));
    return 1;
  }
  std::printf("listening on port %u\n", unsigned{port});
  std::fflush(stdout);

  auto drained_by = SteadyClock::time_point::max();
  while (SteadyClock::now() < drained_by) {
    if (g_stopping && drained_by == SteadyClock::time_point::max()) drained_by = SteadyClock::now() + kDrainMax;
    pollfd watched[2] = {{listener, POLLIN, 0}, {g_stop_event, POLLIN, 0}};
    // Draining: the stop event stays readable, so only the listener is watched, and looked away from often enough to
    // see the last connection end.
    const int ready = poll(watched, g_stopping ? 1 : 2, g_stopping ? 20 : -1);
    if (ready < 0 && errno != EINTR) break;
    if (ready > 0 && watched[0].revents != 0 && !accept_waiting(listener, handle, slots, open)) break;
    if (g_stopping && ready == 0 && open == 0) break;
  }
  close(listener);
  std::printf("stopped\n");
  std::fflush(stdout);
  // Threads that did not finish in time still use the caller's handler: leave without running destructors.
  std::_Exit(g_stopping ? 0 : 1);
}

}  // namespace mesh::examples
