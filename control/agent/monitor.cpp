#include "control/agent/monitor.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"

namespace mesh::agent {
namespace {

// The descriptors that conmon finds in its environment.
constexpr int kSyncPipe = 3;
constexpr int kStartPipe = 4;
constexpr std::size_t kAnswerBytesMax = 64U << 10U;

struct Pipe {
  Fd read_end, write_end;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("make a pipe", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// A copy above the numbers that the child uses, so that dup2 cannot step on it.
Result<Fd> lifted(const Fd& fd) {
  Fd copy(fcntl(fd.get(), F_DUPFD_CLOEXEC, 16));
  if (!copy) return fail_errno("duplicate a pipe", errno);
  return copy;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

Result<pid_t> spawn(const std::vector<std::string>& argv, const std::string& directory, int sync_fd, int start_fd) {
  std::vector<std::string> env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                  fmt::format("_OCI_SYNCPIPE={}", kSyncPipe),
                                  fmt::format("_OCI_STARTPIPE={}", kStartPipe)};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_adddup2(&actions, 0, 2);
  posix_spawn_file_actions_adddup2(&actions, sync_fd, kSyncPipe);
  posix_spawn_file_actions_adddup2(&actions, start_fd, kStartPipe);
  // A monitor outlives meshd: with a listening socket of ours it would keep the next meshd from its port.
  posix_spawn_file_actions_addclosefrom_np(&actions, kStartPipe + 1);
  sigset_t none{}, all{};
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  pid_t pid = 0;
  const int code =
      posix_spawnp(&pid, argv[0].c_str(), &actions, &attributes, pointers(argv).data(), pointers(env).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) return fail_errno("start " + argv[0], code);
  return pid;
}

// The first process of conmon forks the monitor and ends.
Result<int> wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno("wait for conmon", errno);
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// One line of JSON: {"data": PID} or {"data": -1, "message": "why"}.
Result<std::string> read_answer(const Fd& pipe, Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::string text;
  while (text.find('\n') == std::string::npos && text.size() < kAnswerBytesMax) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0)
      return fail(ErrorKind::kTimeout,
                  fmt::format("conmon did not create the container in {}", format_duration(timeout)));
    pollfd waiting{pipe.get(), POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(left.count())) < 0 && errno != EINTR)
      return fail_errno("wait for conmon", errno);
    if ((waiting.revents & (POLLIN | POLLHUP)) == 0) continue;
    std::array<char, 4096> buffer{};
    const ssize_t got = read(pipe.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read from conmon", errno);
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

struct Answer {
  std::int64_t data = -1;
  std::string message;
};
template <class Visit>
constexpr bool json_fields(const Answer*, Visit&& visit) {
  return visit("data", &Answer::data) && visit("message", &Answer::message);
}

}  // namespace

Result<pid_t> start_monitor(const MonitorSpec& spec, const CgroupLayout& cgroups) {
  Pipe sync = TRY(make_pipe());
  Pipe start = TRY(make_pipe());
  Fd sync_child = TRY(lifted(sync.write_end));
  Fd start_child = TRY(lifted(start.read_end));
  sync.write_end.reset();
  start.read_end.reset();
  const pid_t pid = TRY(spawn(spec.argv, spec.directory, sync_child.get(), start_child.get()));
  sync_child.reset();
  start_child.reset();

  // conmon waits for this byte before it forks: the monitor and the runtime begin in their cgroup.
  const Status entered = enter_monitor_cgroup(cgroups, pid);
  if (!entered) kill(pid, SIGKILL);
  if (entered && write(start.write_end.get(), "", 1) != 1) kill(pid, SIGKILL);
  start.write_end.reset();
  const int status = TRY(wait_for(pid));
  TRY(entered);
  if (status != 0) return fail(ErrorKind::kInternal, fmt::format("conmon ended with status {}", status));

  const std::string text = TRY(read_answer(sync.read_end, spec.timeout));
  if (trim(text).empty()) return fail(ErrorKind::kInternal, "conmon ended without creating the container");
  const Json value = TRY_IN("answer of conmon", parse_json(text));
  const Answer answer = TRY_IN("answer of conmon", decode<Answer>(value));
  if (answer.data <= 0) {
    return fail(ErrorKind::kInternal, fmt::format("container could not be created: {}",
                                                  answer.message.empty() ? "no reason given" : trim(answer.message)));
  }
  return static_cast<pid_t>(answer.data);
}

}  // namespace mesh::agent
