#include "examples/http/client.h"

#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace mesh::examples {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Socket {
  int fd = -1;
  explicit Socket(int number) : fd(number) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

int left_ms(SteadyClock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

// Waits until `fd` is ready for `events`; errno says why not.
bool wait_for(int fd, short events, SteadyClock::time_point deadline) {
  pollfd watched{fd, events, 0};
  int ready = 0;
  do {
    ready = poll(&watched, 1, left_ms(deadline));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) errno = ETIMEDOUT;
  return ready > 0;
}

bool connect_within(int fd, const addrinfo& to, SteadyClock::time_point deadline) {
  if (connect(fd, to.ai_addr, to.ai_addrlen) == 0) return true;
  if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, deadline)) return false;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  return error == 0;
}

bool send_request(int fd, std::string_view bytes, SteadyClock::time_point deadline) {
  while (!bytes.empty()) {
    if (!wait_for(fd, POLLOUT, deadline)) return false;
    const auto sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool read_to_end(int fd, std::string& answer, SteadyClock::time_point deadline) {
  char bytes[16 * 1024];
  while (wait_for(fd, POLLIN, deadline)) {
    const auto got = recv(fd, bytes, sizeof bytes, 0);
    if (got == 0) return true;
    if (got < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (got > 0) answer.append(bytes, static_cast<std::size_t>(got));
    if (answer.size() > kHeadBytesMax + kBodyBytesMax) {
      errno = EMSGSIZE;
      return false;
    }
  }
  return false;
}

Fetched exchange(const addrinfo& to, const std::string& request, SteadyClock::time_point deadline) {
  Fetched result;
  const Socket socket(::socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  std::string answer;
  if (socket.fd < 0 || !connect_within(socket.fd, to, deadline)) {
    result.error = std::string("cannot connect: ") + std::strerror(errno);
  } else if (!send_request(socket.fd, request, deadline) || !read_to_end(socket.fd, answer, deadline)) {
    result.error = std::string("connected, but no whole answer came: ") + std::strerror(errno);
  } else if (auto response = parse_response(answer); !response) {
    result.error = "the answer is not HTTP or was cut short";
  } else {
    result.response = std::move(*response);
    result.ok = result.response.status / 100 == 2;
    if (!result.ok) result.error = "answered with status " + std::to_string(result.response.status);
  }
  return result;
}

Fetched fetch_now(const std::string& method, const std::string& text, const std::string& body,
                  SteadyClock::time_point deadline) {
  Fetched result;
  const auto url = parse_url(text);
  if (!url) {
    result.error = text + ": not an http:// address";
    return result;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(url->host.c_str(), url->port.c_str(), &hints, &found); error != 0) {
    result.error = text + ": the name \"" + url->host + "\" has no address: " + gai_strerror(error);
    return result;
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  const std::string request = format_request(method, url->host, url->path, body);
  for (const addrinfo* to = found; to != nullptr; to = to->ai_next) {
    result = exchange(*to, request, deadline);
    // A server that answered is not asked again elsewhere: the request may have had its effect.
    if (result.ok || !result.error.starts_with("cannot connect")) break;
  }
  if (!result.ok) result.error = text + ": " + result.error;
  return result;
}

}  // namespace

Fetched fetch(std::string_view method, std::string_view url, std::string_view body, std::chrono::milliseconds within) {
  // getaddrinfo() cannot be bounded, so a thread does the work and may be left behind.
  std::packaged_task<Fetched()> work(
      [method = std::string(method), url = std::string(url), body = std::string(body),
       deadline = SteadyClock::now() + within] { return fetch_now(method, url, body, deadline); });
  auto result = work.get_future();
  std::thread(std::move(work)).detach();
  // A moment more than the exchange itself has, so that its own words arrive.
  if (result.wait_for(within + std::chrono::milliseconds(100)) == std::future_status::ready) return result.get();
  Fetched late;
  late.error = std::string(url) + ": no answer within " + std::to_string(within.count()) + " ms";
  return late;
}

}  // namespace mesh::examples
