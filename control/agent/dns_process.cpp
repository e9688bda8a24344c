#include "control/agent/dns_process.h"

#include <cerrno>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"

namespace mesh::agent {
namespace {

constexpr Duration kStartTimeout = std::chrono::seconds(5);
constexpr Duration kStopTimeout = std::chrono::seconds(5);
constexpr Duration kPoll = std::chrono::milliseconds(5);

// Changes whenever another binary is installed.
std::string build_of(const std::string& program) {
  struct stat found{};
  if (stat(program.c_str(), &found) != 0) return "unknown";
  return fmt::format("{:x}-{:x}", found.st_size, found.st_mtim.tv_sec * 1'000'000'000 + found.st_mtim.tv_nsec);
}

}  // namespace

DnsProcess::DnsProcess(DnsProcessOptions options) : options_(std::move(options)), build_(build_of(options_.program)) {}

Result<dns::ServerState> DnsProcess::state() const { return dns::ask_state(options_.socket_path); }

Status DnsProcess::start(const SocketAddress& listen) {
  const std::vector<std::string> argv = {
      options_.program,     "dns",     "--listen",          listen.to_string(), "--socket",
      options_.socket_path, "--state", options_.state_path, "--build",          build_};
  std::vector<char*> pointers;
  pointers.reserve(argv.size() + 1);
  for (const std::string& arg : argv) pointers.push_back(const_cast<char*>(arg.c_str()));
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, options_.log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0640);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  sigset_t none{}, all{};
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  pid_t pid = 0;
  const int code = posix_spawn(&pid, argv[0].c_str(), &actions, &attributes, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) return fail_errno("start mesh-dns from " + options_.program, code);
  child_ = pid;
  listen_ = listen;
  if (Status entered = enter_monitor_cgroup(options_.cgroups, pid); !entered) {
    spdlog::warn("mesh-dns stays in meshd's own cgroup reason=\"{}\"", entered.error().message);
  }
  return {};
}

Status DnsProcess::stop() {
  const auto running = state();
  const pid_t pid = running ? running->pid : child_;
  if (pid <= 0) return {};
  (void)kill(pid, SIGTERM);
  for (Duration waited{}; waited < kStopTimeout; waited += kPoll) {
    if (child_ == pid && waitpid(pid, nullptr, WNOHANG) == pid) break;
    if (kill(pid, 0) != 0) break;
    if (!state()) break;
    std::this_thread::sleep_for(kPoll);
  }
  if (child_ == pid) child_ = 0;
  return {};
}

Result<dns::ServerState> DnsProcess::feed(const SocketAddress& listen, const dns::Desired& desired) {
  if (child_ > 0 && waitpid(child_, nullptr, WNOHANG) == child_) child_ = 0;
  auto running = state();
  const bool moved = listen_.port != 0 && listen_ != listen;
  if (running && (running->build != build_ || moved)) {
    spdlog::info("mesh-dns replaced build={} by={}", running->build, build_);
    TRY(stop());
    running = state();
  }
  if (!running) TRY(start(listen));
  if (running && running->version == desired.version) {  // it has these names already
    listen_ = listen;
    return running;
  }
  for (Duration waited{};; waited += kPoll) {
    auto fed = dns::feed(options_.socket_path, desired);
    if (fed) {
      listen_ = listen;
      return fed;
    }
    if (child_ > 0 && waitpid(child_, nullptr, WNOHANG) == child_) {
      child_ = 0;
      const std::string log = read_file(options_.log_path).value_or("");
      return fail(ErrorKind::kUnavailable, fmt::format("mesh-dns ended at once: {}", log.empty() ? "no reason" : log));
    }
    if (waited >= kStartTimeout) return std::unexpected(std::move(fed).error().in("mesh-dns does not answer"));
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace mesh::agent
