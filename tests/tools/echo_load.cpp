// Opens many connections to mesh-echo, keeps them open, sends on each from time to time and verifies every answer.
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <random>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/tools/line.h"
#include "tests/tools/load.h"

namespace mesh::tools {
namespace {

constexpr unsigned kOpeningMax = 512;  // connections in their handshake at once: below a listener's backlog
// Datagrams without an answer yet: below what a veth takes in one burst, because nobody sends a lost one again.
constexpr size_t kDatagramsInFlightMax = 128;
constexpr size_t kFailuresShown = 20;
constexpr Milliseconds kTick{10};
constexpr Milliseconds kDatagramTimeout{1000};

struct Connection {
  enum class State { kWaiting, kOpening, kOpen, kDone };

  State state = State::kWaiting;
  Fd fd;
  size_t target = 0;
  Request request;  // the one in flight, or the last one
  bool in_flight = false;
  Clock::time_point at;  // of the last request sent, or of connect()
  std::string input;
  std::string instance;  // of the server that gave the first answer
};

struct Totals {
  uint64_t opened = 0;       // first answer verified
  uint64_t refused = 0;      // no connection: reset or refused
  uint64_t unreachable = 0;  // no connection: any other error, or none within the timeout
  uint64_t broken = 0;       // reset, ended or silent while an answer was due, or reset at any time
  uint64_t crossed = 0;      // an answer that belongs to another connection, or comes from another server
  uint64_t closed = 0;       // ended by the server between two requests, or after an answer marked as the last
  uint64_t lost = 0;         // UDP: no answer in time
  uint64_t moved = 0;        // UDP: another server answers than before
  uint64_t sent = 0;
  uint64_t verified = 0;
  uint64_t wrong_address = 0;  // the server saw another client address than ours
  uint64_t other_port = 0;     // the server saw another client port than ours
};

class EchoLoad {
 public:
  explicit EchoLoad(const LoadOptions& options)
      : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)), connections_(options.connections) {
    std::random_device seed;
    const uint64_t run = uint64_t{seed()} << 32;
    for (size_t i = 0; i < connections_.size(); i++) {
      connections_[i].target = i % options.targets.size();
      connections_[i].request.id = run + i;
    }
  }

  int run() {
    StopSign stop(options_.duration);
    bool announced = false;
    while (!stop.reached()) {
      start_some();
      wait();
      tick();
      if (!announced && started_ == connections_.size() && opening_ == 0 && all_answered()) {
        report("open");
        announced = true;
      }
    }
    finish();
    report("end");
    return totals_.broken + totals_.crossed + totals_.refused + totals_.unreachable + totals_.wrong_address == 0 ? 0
                                                                                                                 : 1;
  }

 private:
  [[nodiscard]] bool all_answered() const {
    for (const auto& one : connections_) {
      if (one.state == Connection::State::kOpen && one.instance.empty()) return false;
    }
    return true;
  }

  void start_some() {
    for (; started_ < connections_.size() && opening_ < kOpeningMax && may_send(); started_++)
      start(connections_[started_], started_);
  }

  [[nodiscard]] bool may_send() const { return !options_.udp || opening_ + unanswered_ < kDatagramsInFlightMax; }

  void start(Connection& one, size_t index) {
    const SocketAddress& target = options_.targets[one.target];
    const size_t shared = index / options_.targets.size();
    const auto port = static_cast<uint16_t>(options_.first_port == 0 ? 0 : options_.first_port + shared);
    one.fd = Fd(open_socket(options_, target, options_.udp ? SOCK_DGRAM : SOCK_STREAM, port));
    one.at = Clock::now();
    one.state = Connection::State::kOpening;
    opening_++;
    epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.u64 = index}};
    if (connect(one.fd.get(), target.get(), target.size) != 0 && errno != EINPROGRESS) {
      return connect_failed(one, errno);
    }
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, one.fd.get(), &event) != 0) give_up("epoll_ctl");
  }

  void wait() {
    epoll_event events[256];
    const int count = epoll_wait(epoll_.get(), events, 256, static_cast<int>(kTick.count()));
    for (int i = 0; i < count; i++) {
      Connection& one = connections_[events[i].data.u64];
      if (one.state == Connection::State::kOpening) connected(one, events[i].data.u64);
      if (one.state == Connection::State::kOpen && (events[i].events & ~unsigned{EPOLLOUT})) receive(one);
    }
  }

  void connected(Connection& one, size_t index) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(one.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return connect_failed(one, error);
    opening_--;
    one.state = Connection::State::kOpen;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, one.fd.get(), &event);
    const int on = 1;
    if (!options_.udp) setsockopt(one.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    send_next(one);
  }

  void connect_failed(Connection& one, int error) {
    opening_--;
    (error == ECONNREFUSED || error == ECONNRESET ? totals_.refused : totals_.unreachable)++;
    finish_one(one, std::string("connect: ") + std::strerror(error));
  }

  void send_next(Connection& one) {
    one.request.sequence++;
    unanswered_ += one.in_flight ? 0 : 1;
    one.in_flight = true;
    one.at = Clock::now();
    totals_.sent++;
    const std::string line = encode(one.request);
    const ssize_t sent = send(one.fd.get(), line.data(), line.size(), MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(line.size())) return;
    // A datagram socket reports here the ICMP error of an earlier datagram.
    if (options_.udp) return;
    totals_.broken++;
    finish_one(one, std::string("send: ") + std::strerror(errno));
  }

  void receive(Connection& one) {
    char buffer[1024];
    ssize_t size = 0;
    while (one.state == Connection::State::kOpen && (size = recv(one.fd.get(), buffer, sizeof buffer, 0)) > 0) {
      one.input.append(buffer, static_cast<size_t>(size));
      size_t end = 0;
      while (one.state == Connection::State::kOpen && (end = one.input.find('\n')) != std::string::npos) {
        const auto answer = parse_answer(std::string_view(one.input).substr(0, end));
        one.input.erase(0, end + 1);
        verify(one, answer);
      }
    }
    if (one.state != Connection::State::kOpen || options_.udp || (size < 0 && errno == EAGAIN)) return;
    if (size == 0 && !one.in_flight) {
      totals_.closed++;
      return finish_one(one, "");
    }
    totals_.broken++;
    finish_one(one, size == 0 ? "ended while an answer was due" : std::string("recv: ") + std::strerror(errno));
  }

  void verify(Connection& one, const std::optional<Answer>& answer) {
    const bool expected = answer && one.in_flight && answer->request == one.request;
    // A late datagram answers an earlier request of this very connection.
    if (options_.udp && answer && !expected && answer->request.id == one.request.id) return;
    if (!expected || (!options_.udp && !one.instance.empty() && one.instance != answer->instance)) {
      totals_.crossed++;
      return finish_one(one, "an answer that is not ours" + (answer ? ", from " + answer->instance : std::string()));
    }
    const auto [address, port] = local_address(one.fd.get()).text();
    if (one.instance.empty()) {
      totals_.opened++;
      backends_[answer->instance]++;
      if (address != answer->address) {
        totals_.wrong_address++;
        note(one, "the server saw " + answer->address);
      }
      if (port != answer->port) totals_.other_port++;
    } else if (one.instance != answer->instance) {
      totals_.moved++;
    }
    one.instance = answer->instance;
    one.in_flight = false;
    unanswered_--;
    totals_.verified++;
    if (!options_.udp && answer->last) {
      totals_.closed++;
      finish_one(one, "");
    }
  }

  void tick() {
    const auto now = Clock::now();
    if (now - last_tick_ < kTick) return;
    last_tick_ = now;
    for (auto& one : connections_) {
      const auto age = now - one.at;
      if (one.state == Connection::State::kOpening && age > options_.timeout) connect_failed(one, ETIMEDOUT);
      if (one.state != Connection::State::kOpen) continue;
      if (one.in_flight && options_.udp && age > kDatagramTimeout) {
        totals_.lost++;
        send_next(one);
      } else if (one.in_flight && age > options_.timeout) {
        totals_.broken++;
        finish_one(one, "no answer in time");
      } else if (!one.in_flight && age > options_.interval && may_send()) {
        send_next(one);
      }
    }
  }

  // Answers that are still due are waited for; nothing new is sent.
  void finish() {
    const auto end = Clock::now() + options_.timeout;
    while (Clock::now() < end && unanswered_ > 0) wait();
    for (auto& one : connections_) {
      if (one.state == Connection::State::kOpen && one.in_flight) (options_.udp ? totals_.lost : totals_.broken)++;
    }
  }

  void note(const Connection& one, const std::string& reason) {
    if (failures_.size() == kFailuresShown) return;
    const auto [address, port] = options_.targets[one.target].text();
    const auto local_port = one.fd.valid() ? local_address(one.fd.get()).text().second : uint16_t{0};
    failures_.push_back("port " + std::to_string(local_port) + " to " + address + " port " + std::to_string(port) +
                        (one.instance.empty() ? "" : " at " + one.instance) + ": " + reason);
  }

  // reason "": nothing went wrong.
  void finish_one(Connection& one, const std::string& reason) {
    if (!reason.empty()) note(one, reason);
    unanswered_ -= one.in_flight ? 1 : 0;
    one.in_flight = false;
    one.state = Connection::State::kDone;
    one.fd.reset();
  }

  [[nodiscard]] uint64_t open_now() const {
    uint64_t count = 0;
    for (const auto& one : connections_) count += one.state == Connection::State::kOpen ? 1 : 0;
    return count;
  }

  void report(const char* event) const {
    print_report(event,
                 {{"opened", totals_.opened},
                  {"open", open_now()},
                  {"refused", totals_.refused},
                  {"unreachable", totals_.unreachable},
                  {"broken", totals_.broken},
                  {"crossed", totals_.crossed},
                  {"closed", totals_.closed},
                  {"lost", totals_.lost},
                  {"moved", totals_.moved},
                  {"sent", totals_.sent},
                  {"verified", totals_.verified},
                  {"wrong_address", totals_.wrong_address},
                  {"other_port", totals_.other_port}},
                 backends_, failures_);
  }

  const LoadOptions& options_;
  Fd epoll_;
  std::vector<Connection> connections_;
  size_t started_ = 0;
  unsigned opening_ = 0;
  size_t unanswered_ = 0;  // requests in flight
  Clock::time_point last_tick_;
  Totals totals_;
  Counts backends_;
  std::vector<std::string> failures_;
};

}  // namespace

int run_echo_load(const LoadOptions& options) { return EchoLoad(options).run(); }

}  // namespace mesh::tools
