// Requests pages without pause, each on a connection of its own, and verifies that every answer is whole.
#include <cerrno>
#include <charconv>
#include <cstring>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/tools/load.h"

namespace mesh::tools {
namespace {

constexpr size_t kFailuresShown = 20;
constexpr size_t kAnswerBytesMax = 4 * 1024 * 1024;
constexpr Milliseconds kTick{5};

// One of the clients that work side by side.
struct Visitor {
  Fd fd;
  size_t target = 0;
  bool asked = false;
  Clock::time_point at;  // of connect(), or of the end of the last visit
  std::string answer;
};

// "" when the answer is whole and right, the reason otherwise.
std::string fault_of(const std::string& answer, const std::string& expect) {
  const size_t head_end = answer.find("\r\n\r\n");
  if (answer.empty()) return "empty answer";
  if (head_end == std::string::npos) return "answer ends within its head";
  if (!answer.starts_with("HTTP/1.1 200 ")) return "status " + answer.substr(0, answer.find('\r'));
  const std::string_view head = std::string_view(answer).substr(0, head_end);
  const std::string_view body = std::string_view(answer).substr(head_end + 4);
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  if (const size_t at = head.find(kLength); at != std::string_view::npos) {
    size_t length = 0;
    const char* first = head.data() + at + kLength.size();
    std::from_chars(first, head.data() + head.size(), length);
    if (length != body.size()) {
      return "body has " + std::to_string(body.size()) + " of " + std::to_string(length) + " bytes";
    }
  }
  if (body.find(expect) == std::string_view::npos) return "body lacks the expected text";
  return "";
}

class HttpLoad {
 public:
  explicit HttpLoad(const LoadOptions& options)
      : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)), visitors_(options.connections) {}

  int run() {
    StopSign stop(options_.duration);
    const auto start = Clock::now();
    for (size_t i = 0; i < visitors_.size(); i++) visitors_[i].at = start - options_.interval;
    bool announced = false;
    bool stopping = false;
    while (!stopping || under_way()) {
      stopping = stopping || stop.reached();
      tick(!stopping);
      wait();
      if (!announced && requests_ >= visitors_.size()) {
        report("open");
        announced = true;
      }
    }
    report("end");
    return failed_ == 0 ? 0 : 1;
  }

 private:
  [[nodiscard]] bool under_way() const {
    for (const auto& one : visitors_) {
      if (one.fd.valid()) return true;
    }
    return false;
  }

  void tick(bool may_start) {
    const auto now = Clock::now();
    for (size_t i = 0; i < visitors_.size(); i++) {
      Visitor& one = visitors_[i];
      if (one.fd.valid() && now - one.at > options_.timeout)
        end_visit(one, one.asked ? "no answer in time" : "no connection in time");
      if (!one.fd.valid() && may_start && now - one.at >= options_.interval) start(one, i);
    }
  }

  void start(Visitor& one, size_t index) {
    one.target = next_target_++ % options_.targets.size();
    const SocketAddress& target = options_.targets[one.target];
    one.fd = Fd(open_socket(options_, target, SOCK_STREAM, 0));
    one.asked = false;
    one.answer.clear();
    one.at = Clock::now();
    if (connect(one.fd.get(), target.get(), target.size) != 0 && errno != EINPROGRESS) {
      return end_visit(one, std::string("connect: ") + std::strerror(errno));
    }
    epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.u64 = index}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, one.fd.get(), &event) != 0) give_up("epoll_ctl");
  }

  void wait() {
    epoll_event events[256];
    const int count = epoll_wait(epoll_.get(), events, 256, static_cast<int>(kTick.count()));
    for (int i = 0; i < count; i++) {
      Visitor& one = visitors_[events[i].data.u64];
      if (!one.fd.valid()) continue;
      if (!one.asked) ask(one, events[i].data.u64);
      if (one.fd.valid() && one.asked && (events[i].events & ~unsigned{EPOLLOUT})) receive(one);
    }
  }

  void ask(Visitor& one, size_t index) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(one.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return end_visit(one, std::string("connect: ") + std::strerror(error));
    const std::string request = "GET " + options_.path + " HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n";
    if (send(one.fd.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
      return end_visit(one, std::string("send: ") + std::strerror(errno));
    }
    one.asked = true;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, one.fd.get(), &event);
  }

  void receive(Visitor& one) {
    char buffer[16 * 1024];
    ssize_t size = 0;
    while ((size = recv(one.fd.get(), buffer, sizeof buffer, 0)) > 0) {
      one.answer.append(buffer, static_cast<size_t>(size));
      if (one.answer.size() > kAnswerBytesMax) return end_visit(one, "answer has no end");
    }
    if (size == 0) return end_visit(one, fault_of(one.answer, options_.expect));
    if (errno != EAGAIN) end_visit(one, std::string("recv: ") + std::strerror(errno));
  }

  void end_visit(Visitor& one, const std::string& fault) {
    requests_++;
    const auto [address, port] = options_.targets[one.target].text();
    if (fault.empty()) {
      per_target_[address]++;
    } else {
      failed_++;
      const auto local = local_address(one.fd.get()).text().second;
      if (failures_.size() < kFailuresShown) {
        failures_.push_back("request " + std::to_string(requests_) + " from port " + std::to_string(local) + " to " +
                            address + " port " + std::to_string(port) + ": " + fault);
      }
    }
    one.fd.reset();
    one.at = Clock::now();
  }

  void report(const char* event) const {
    print_report(event, {{"requests", requests_}, {"failed", failed_}}, per_target_, failures_);
  }

  const LoadOptions& options_;
  Fd epoll_;
  std::vector<Visitor> visitors_;
  size_t next_target_ = 0;
  uint64_t requests_ = 0;
  uint64_t failed_ = 0;
  Counts per_target_;  // good answers by the address that was asked
  std::vector<std::string> failures_;
};

}  // namespace

int run_http_load(const LoadOptions& options) { return HttpLoad(options).run(); }

}  // namespace mesh::tools
