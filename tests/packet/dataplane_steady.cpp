#include "tests/packet/dataplane_steady.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <set>
#include <sstream>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <fmt/format.h>

#include "tests/packet/dataplane_lab.h"

namespace mesh::lab {
namespace {

constexpr std::uint64_t kAtOnce = 8;                     // requests of a flow on their way together
constexpr std::size_t kProblemsMax = 20;                 // that are told
constexpr int kCounterReads = 100;                       // at most, kCounterPauseUs apart: of a kernel's counter
constexpr useconds_t kCounterPauseUs = 10'000;           // ... that tells nobody of its changes
constexpr timeval kPatience{.tv_sec = 2, .tv_usec = 0};  // a lost SYN or segment comes again within it

sockaddr_in to_socket(const SocketAddress& to) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(to.port);
  address.sin_addr.s_addr = htonl(to.ip.v4_host_order());
  return address;
}

// The number at the end of "<task> <peer> <number>".
std::uint64_t number_of(std::string_view answer) {
  const std::string_view text = answer.substr(answer.rfind(' ') + 1);
  std::uint64_t number = UINT64_MAX;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Of a file of pairs of lines, names and values.
std::uint64_t kernel_counter(const char* path, const std::string& group, const std::string& name) {
  std::ifstream file(path);
  std::string names, values;
  while (std::getline(file, names) && std::getline(file, values)) {
    std::istringstream name_words(names), value_words(values);
    std::string one_name, one_value;
    for (bool first = true; name_words >> one_name && value_words >> one_value; first = false) {
      if (first && one_name != group) break;
      if (one_name == name) return std::stoull(one_value);
    }
  }
  throw std::runtime_error(fmt::format("{} has no {} {}", path, group, name));
}

Fd open_socket(const SteadyTraffic::Way& way) {
  Fd socket;
  Cluster::inside(way.netns, [&] {
    socket.reset(::socket(AF_INET, (way.tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
    const sockaddr_in address = to_socket(way.to);
    if (way.tcp && connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error(fmt::format("{}: connect: {}", way.name, strerror(errno)));
    }
    const int on = 1;
    if (way.tcp) setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  });
  return socket;
}

}  // namespace

SteadyTraffic::SteadyTraffic(const std::vector<Way>& ways, const std::vector<std::string>& netns) {
  for (const std::string& one : netns) resent_before_[one] = resent(one);
  for (const Way& way : ways) {
    flows_.push_back({.way = way, .socket = open_socket(way), .number = 0, .input = {}});
    ask(flows_.back());
    hear(flows_.back());
  }
  if (!problems_.empty()) throw std::runtime_error(problems_.front());
  thread_ = std::thread([this] { run(); });
}

SteadyTraffic::~SteadyTraffic() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void SteadyTraffic::run() {
  while (!stopping_ && !troubled_) {
    for (Flow& flow : flows_) ask(flow);
    for (Flow& flow : flows_) hear(flow);
    const std::lock_guard lock(mutex_);
    news_.notify_all();
  }
}

void SteadyTraffic::note(const std::string& name, const std::string& what) {
  troubled_ = true;
  if (problems_.size() < kProblemsMax) problems_.push_back(name + ": " + what);
}

void SteadyTraffic::ask(Flow& flow) {
  const std::uint64_t first = flow.number;
  const sockaddr_in address = to_socket(flow.way.to);
  for (; flow.number < first + kAtOnce; ++flow.number) {
    const std::string text = std::to_string(flow.number) + (flow.way.tcp ? "\n" : "");
    const auto* to = flow.way.tcp ? nullptr : reinterpret_cast<const sockaddr*>(&address);
    if (sendto(flow.socket.get(), text.data(), text.size(), MSG_NOSIGNAL, to, flow.way.tcp ? 0 : sizeof address) < 0) {
      note(flow.way.name, fmt::format("send {}: {}", flow.number, strerror(errno)));
    }
  }
}

void SteadyTraffic::hear(Flow& flow) {
  std::set<std::uint64_t> missing;
  for (std::uint64_t number = flow.number - kAtOnce; number < flow.number; ++number) missing.insert(number);
  const auto take = [&](std::string_view answer) {
    if (missing.erase(number_of(answer)) == 1) {
      ++answered_;
    } else {
      note(flow.way.name, fmt::format("not asked for: {}", answer));
    }
  };
  std::array<char, 4096> buffer{};
  while (!missing.empty()) {
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t got =
        recvfrom(flow.socket.get(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got <= 0) {
      note(flow.way.name, fmt::format("{} of the requests from {} on are lost: {}", missing.size(), *missing.begin(),
                                      got == 0 ? "closed" : strerror(errno)));
      return;
    }
    const std::string_view text(buffer.data(), static_cast<std::size_t>(got));
    if (!flow.way.tcp) {
      const sockaddr_in asked = to_socket(flow.way.to);
      if (from.sin_addr.s_addr != asked.sin_addr.s_addr || from.sin_port != asked.sin_port) {
        note(flow.way.name, fmt::format("answer {} comes from another address", text));
      }
      take(text);
      continue;
    }
    flow.input += text;
    for (std::size_t end = flow.input.find('\n'); end != std::string::npos; end = flow.input.find('\n')) {
      take(std::string_view(flow.input).substr(0, end));
      flow.input.erase(0, end + 1);
    }
  }
}

SteadyTraffic::Resent SteadyTraffic::resent(const std::string& netns) {
  Resent resent;
  Cluster::inside(netns, [&] {
    resent.segments = kernel_counter("/proc/thread-self/net/snmp", "Tcp:", "RetransSegs");
    resent.needless = kernel_counter("/proc/thread-self/net/netstat", "TcpExt:", "TCPDSACKRecv");
  });
  return resent;
}

// What was sent again since; the last that it was needless may still be on its way back.
SteadyTraffic::Resent SteadyTraffic::wait_for_all_needless(const std::string& netns, const Resent& before) {
  Resent since;
  for (int attempt = 0; attempt < kCounterReads; ++attempt) {
    const Resent now = resent(netns);
    since = {now.segments - before.segments, now.needless - before.needless};
    if (since.segments <= since.needless) break;
    usleep(kCounterPauseUs);
  }
  return since;
}

void SteadyTraffic::wait_for_answers(std::uint64_t more) {
  const std::uint64_t wanted = answered_ + more;
  std::unique_lock lock(mutex_);
  news_.wait(lock, [&] { return answered_ >= wanted || troubled_; });
}

SteadyTraffic::Outcome SteadyTraffic::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  Outcome outcome{.answered = answered_, .late = 0, .problems = {}};
  for (const auto& [netns, before] : resent_before_) {
    const Resent since = wait_for_all_needless(netns, before);
    outcome.late += since.needless;
    if (since.segments > since.needless) {
      note(netns, fmt::format("{} TCP segments were lost and sent again", since.segments - since.needless));
    }
  }
  outcome.problems = problems_;
  return outcome;
}

}  // namespace mesh::lab
