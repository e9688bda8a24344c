// What both kinds of load share: when to stop, and how results are printed.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/tools/socket.h"

namespace mesh::tools {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

struct LoadOptions {
  std::vector<SocketAddress> targets;
  unsigned connections = 1;    // open at a time
  Milliseconds interval{500};  // between two requests of one connection
  Milliseconds duration{0};    // 0: until standard input ends
  Milliseconds timeout{10'000};
  std::string source;  // local address, "" = the kernel's choice
  // echo
  bool udp = false;
  uint16_t first_port = 0;  // n targets share each local port from here on; 0 = the kernel's choice
  // http
  std::string path = "/";
  std::string expect;  // text that every body must contain
};

// True once the duration has passed or standard input has ended.
class StopSign {
 public:
  explicit StopSign(Milliseconds duration);
  bool reached();

 private:
  Clock::time_point end_;
  bool until_input_ends_;
};

// A non-blocking socket bound to the source address and port of the options (port 0: the kernel's choice).
int open_socket(const LoadOptions& options, const SocketAddress& target, int type, uint16_t port);

using Counts = std::map<std::string, uint64_t>;

// One line of JSON: {"event": …, counts…, "backends": {…}, "failures": […]}, flushed.
void print_report(const char* event, std::initializer_list<std::pair<const char*, uint64_t>> counts,
                  const Counts& backends, const std::vector<std::string>& failures);

// Each returns the exit status.
int run_echo_load(const LoadOptions& options);
int run_http_load(const LoadOptions& options);

}  // namespace mesh::tools
