#include "base/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/text.h"

namespace mesh {
namespace {

struct Pipe {
  Fd read_end;
  Fd write_end;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("make a pipe", errno);
  Pipe pipe{Fd(ends[0]), Fd(ends[1])};
  // Only our end: the child expects blocking output.
  if (::fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno("make a pipe", errno);
  return pipe;
}

// Standard input as a file in memory: no pipe to fill while the child runs, no SIGPIPE when it does not read.
Result<Fd> make_input(const std::string& text) {
  if (text.empty()) {
    Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!null) return fail_errno("open /dev/null", errno);
    return null;
  }
  Fd memory(::memfd_create("stdin", MFD_CLOEXEC));
  if (!memory) return fail_errno("make a file in memory", errno);
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(memory.get(), text.data() + written, text.size() - written);
    if (count < 0) return fail_errno("fill standard input", errno);
    written += static_cast<std::size_t>(count);
  }
  if (::lseek(memory.get(), 0, SEEK_SET) != 0) return fail_errno("rewind standard input", errno);
  return memory;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

std::vector<char*> environment_of(const ProcessSpec& spec) {
  constexpr std::array<std::string_view, 6> kOurs{
      "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES="};
  const auto is_ours = [&](std::string_view entry) {
    return std::ranges::any_of(kOurs, [&](std::string_view name) { return entry.starts_with(name); });
  };
  const auto is_replaced = [&](std::string_view entry) {
    const std::string_view name = entry.substr(0, entry.find('=') + 1);
    return std::ranges::any_of(spec.extra_environment,
                               [&](const std::string& extra) { return extra.starts_with(name); });
  };
  std::vector<char*> list = pointers(spec.extra_environment);
  list.pop_back();
  if (spec.environment) {
    for (const std::string& entry : *spec.environment) list.push_back(const_cast<char*>(entry.c_str()));
  } else {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      if (!is_ours(*entry) && !is_replaced(*entry)) list.push_back(*entry);
    }
  }
  list.push_back(nullptr);
  return list;
}

// posix_spawn's two option objects with their lifetime.
class SpawnOptions {
 public:
  SpawnOptions() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none{};
    sigset_t all{};
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;
  ~SpawnOptions() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  void directory(const std::string& path) { ::posix_spawn_file_actions_addchdir_np(&actions_, path.c_str()); }
  void connect(int from, int to) { ::posix_spawn_file_actions_adddup2(&actions_, from, to); }
  // Also what was opened without CLOEXEC, by a library or by whoever started us.
  void close_the_rest() { ::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1); }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

// A started child. Destroyed while it runs, its whole group is killed and it is reaped: no zombie, no stray.
class Child {
 public:
  Child(pid_t pid, Fd handle) : pid_(pid), handle_(std::move(handle)) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (reaped_) return;
    (void)::kill(-pid_, SIGKILL);
    (void)reap();
  }
  int handle() const { return handle_.get(); }

  // Waits for its end; 0-255, or 128 + signal.
  int reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_;
  Fd handle_;
  bool reaped_ = false;
};

// One output stream of the child.
class Capture {
 public:
  Capture(Fd fd, std::string& text, bool& truncated, std::size_t bytes_max)
      : fd_(std::move(fd)), text_(text), truncated_(truncated), bytes_max_(bytes_max) {}
  int fd() const { return fd_.get(); }  // -1 after its end: poll(2) ignores it

  // Takes what is there now.
  void drain() {
    std::array<char, 16384> buffer{};
    while (fd_) {
      const ssize_t count = ::read(fd_.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) return;
      if (count <= 0) {
        fd_.reset();
        return;
      }
      const std::size_t kept = std::min(static_cast<std::size_t>(count), bytes_max_ - text_.size());
      text_.append(buffer.data(), kept);
      truncated_ = truncated_ || kept < static_cast<std::size_t>(count);
    }
  }

 private:
  Fd fd_;
  std::string& text_;
  bool& truncated_;
  std::size_t bytes_max_;
};

int milliseconds_until(std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

std::string last_line(std::string_view text) {
  text = trim(text);
  return std::string(text.substr(text.rfind('\n') + 1).substr(0, 512));
}

Status follow(Child& child, Capture& out, Capture& err, const ProcessSpec& spec) {
  // steady_clock: a step of the wall clock must not kill children.
  const auto deadline = std::chrono::steady_clock::now() + spec.timeout;
  for (;;) {
    std::array<pollfd, 3> polled{{{child.handle(), POLLIN, 0}, {out.fd(), POLLIN, 0}, {err.fd(), POLLIN, 0}}};
    const int count = ::poll(polled.data(), polled.size(), milliseconds_until(deadline));
    if (count < 0 && errno != EINTR) return fail_errno(fmt::format("wait for {}", spec.argv[0]), errno);
    const bool ended = count > 0 && polled[0].revents != 0;
    out.drain();
    err.drain();
    if (ended) return {};
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorKind::kTimeout, fmt::format("{} did not end within {} and was killed", fmt::join(spec.argv, " "),
                                                   format_duration(spec.timeout)));
    }
  }
}

}  // namespace

Result<ProcessOutcome> run_process(const ProcessSpec& spec) {
  if (spec.argv.empty()) return fail(ErrorKind::kInvalid, "run a program: no command given");
  const Fd input = TRY(make_input(spec.stdin_text));
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  SpawnOptions options;
  if (!spec.directory.empty()) options.directory(spec.directory);
  options.connect(input.get(), STDIN_FILENO);
  options.connect(out.write_end.get(), STDOUT_FILENO);
  options.connect(err.write_end.get(), STDERR_FILENO);
  options.close_the_rest();
  const std::vector<char*> arguments = pointers(spec.argv);
  const std::vector<char*> environment = environment_of(spec);
  pid_t pid = -1;
  const int code = ::posix_spawnp(&pid, spec.argv[0].c_str(), options.actions(), options.attributes(), arguments.data(),
                                  environment.data());
  if (code != 0) return fail_errno(fmt::format("run {}", spec.argv[0]), code);
  // By the raw system call: glibc 2.36 has the wrapper, but no header that C++ may include beside <signal.h>.
  Child child(pid, Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
  if (child.handle() < 0) return fail_errno(fmt::format("watch {}", spec.argv[0]), errno);
  out.write_end.reset();
  err.write_end.reset();

  ProcessOutcome outcome;
  Capture out_capture(std::move(out.read_end), outcome.out, outcome.truncated, spec.output_bytes_max);
  Capture err_capture(std::move(err.read_end), outcome.err, outcome.truncated, spec.output_bytes_max);
  TRY(follow(child, out_capture, err_capture, spec));
  outcome.exit_status = child.reap();
  return outcome;
}

Result<std::string> run_for_output(const ProcessSpec& spec) {
  ProcessOutcome outcome = TRY(run_process(spec));
  if (outcome.exit_status == 0) return std::move(outcome.out);
  return fail(ErrorKind::kInternal, fmt::format("{} ended with status {}: {}", fmt::join(spec.argv, " "),
                                                outcome.exit_status, last_line(outcome.err)));
}

}  // namespace mesh
