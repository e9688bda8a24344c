#include "control/meshctl/converge.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include "control/meshctl/progress.h"

namespace mesh::meshctl {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr auto kPollPeriod = std::chrono::milliseconds(200);

std::atomic<bool> g_interrupted = false;

// While it lives, Ctrl-C ends the wait and not the program, so that the user is told what goes on.
class InterruptGuard {
 public:
  InterruptGuard() {
    struct sigaction action{};
    action.sa_handler = [](int) { g_interrupted = true; };
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptGuard() { sigaction(SIGINT, &before_, nullptr); }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction before_{};
};

// On a terminal the lines are redrawn in place; elsewhere each line is printed when it changes.
class Screen {
 public:
  explicit Screen(bool quiet) : quiet_(quiet), terminal_(isatty(STDOUT_FILENO) == 1) {}

  bool terminal() const { return terminal_; }

  void show(const std::vector<std::string>& lines) {
    if (quiet_ || lines == shown_) return;
    if (terminal_ && !shown_.empty()) fmt::print("\x1b[{}A\x1b[J", shown_.size());
    for (const auto& line : lines) {
      if (terminal_ || std::ranges::find(shown_, line) == shown_.end()) fmt::print("{}\n", line);
    }
    std::fflush(stdout);
    shown_ = lines;
  }

 private:
  bool quiet_;
  bool terminal_;
  std::vector<std::string> shown_;
};

Result<model::Service> service_with_status(const Client& client, const std::string& id) {
  auto services = TRY(list_services(client, filter_json("id", id)));
  const auto found = std::ranges::find(services, id, &model::Service::id);
  if (found == services.end()) return fail(ErrorKind::kNotFound, "service " + id + " was removed meanwhile");
  return *found;
}

std::int64_t seconds_up(Duration duration) { return std::chrono::ceil<std::chrono::seconds>(duration).count(); }

// How long the service has been complete without a break.
class Steadiness {
 public:
  // What is left of `monitor`; zero when it has passed.
  Duration left(bool complete, Duration monitor, SteadyClock::time_point now) {
    if (!complete) {
      since_.reset();
      return monitor;
    }
    if (!since_) since_ = now;
    return std::max(monitor - Duration(now - *since_), Duration::zero());
  }

 private:
  std::optional<SteadyClock::time_point> since_;
};

}  // namespace

Status wait_converged(const Client& client, const std::string& service_id, const ConvergeOptions& options) {
  const InterruptGuard guard;
  const auto begin = SteadyClock::now();
  Screen screen(options.quiet);
  Steadiness steadiness;
  bool rolled_back = false;
  for (;;) {
    const auto service = TRY(service_with_status(client, service_id));
    const auto tasks = TRY(list_tasks(client, filter_json("service", service_id)));
    const auto nodes = TRY(list_nodes(client));
    const auto progress = progress_of(service, tasks, nodes, options.rollback_wanted);
    rolled_back = rolled_back || progress.rolling_back;
    const auto now = SteadyClock::now();
    const auto monitor = monitor_of(service, rolled_back);
    const auto left = steadiness.left(progress.complete, monitor, now);

    auto lines = progress_lines(progress);
    const bool converged = progress.complete && left == Duration::zero();
    if (converged) {
      lines.push_back("verify: Service " + service_id + " converged");
    } else if (progress.complete) {
      // The countdown is for a terminal, where the line is redrawn.
      const auto shown = screen.terminal() ? left : monitor;
      lines.push_back(fmt::format("verify: Waiting {} seconds to verify that tasks are stable...", seconds_up(shown)));
    }
    screen.show(lines);
    if (progress.failure) return fail(ErrorKind::kConflict, *progress.failure);
    if (converged) return {};
    if (g_interrupted) {
      return fail(ErrorKind::kTimeout, fmt::format("interrupted; the operation goes on in the cluster, "
                                                   "'meshctl service ps {}' shows how far it is",
                                                   service.spec.name));
    }
    if (options.timeout && Duration(now - begin) > *options.timeout) {
      return fail(ErrorKind::kTimeout,
                  fmt::format("service {} has not converged within {}: {} of {} tasks run; 'meshctl service ps {}' "
                              "shows why",
                              service.spec.name, format_duration(*options.timeout), progress.running, progress.wanted,
                              service.spec.name));
    }
    std::this_thread::sleep_for(kPollPeriod);
  }
}

}  // namespace mesh::meshctl
