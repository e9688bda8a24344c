#include <array>
#include <csignal>

#include <fmt/format.h>

#include "base/text.h"
#include "control/agent/container_config.h"

namespace mesh::agent {

Result<int> parse_signal(std::string_view text) {
  struct Row {
    std::string_view name;
    int number;
  };
  static constexpr std::array kRows = {
      Row{"HUP", SIGHUP},       Row{"INT", SIGINT},   Row{"QUIT", SIGQUIT},   Row{"ILL", SIGILL},
      Row{"TRAP", SIGTRAP},     Row{"ABRT", SIGABRT}, Row{"BUS", SIGBUS},     Row{"FPE", SIGFPE},
      Row{"KILL", SIGKILL},     Row{"USR1", SIGUSR1}, Row{"SEGV", SIGSEGV},   Row{"USR2", SIGUSR2},
      Row{"PIPE", SIGPIPE},     Row{"ALRM", SIGALRM}, Row{"TERM", SIGTERM},   Row{"CHLD", SIGCHLD},
      Row{"CONT", SIGCONT},     Row{"STOP", SIGSTOP}, Row{"TSTP", SIGTSTP},   Row{"TTIN", SIGTTIN},
      Row{"TTOU", SIGTTOU},     Row{"URG", SIGURG},   Row{"XCPU", SIGXCPU},   Row{"XFSZ", SIGXFSZ},
      Row{"VTALRM", SIGVTALRM}, Row{"PROF", SIGPROF}, Row{"WINCH", SIGWINCH}, Row{"IO", SIGIO},
      Row{"PWR", SIGPWR},       Row{"SYS", SIGSYS},
  };
  constexpr int kRealTimeMin = 34;  // as a container's libc counts them; 32 and 33 are the threading library's
  constexpr int kRealTimeMax = 64;
  std::string_view name = text;
  if (const auto number = parse_number<int>(name); number && *number >= 1 && *number <= kRealTimeMax) return *number;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (const Row& row : kRows) {
    if (row.name == name) return row.number;
  }
  if (name.starts_with("RTMIN")) {
    name.remove_prefix(5);
    if (name.empty()) return kRealTimeMin;
    const auto offset = parse_number<int>(name.substr(1));
    if (name.front() == '+' && offset && kRealTimeMin + *offset <= kRealTimeMax) return kRealTimeMin + *offset;
  }
  return fail(ErrorKind::kInvalid, fmt::format("unknown stop signal \"{}\"; write it as SIGTERM, TERM or 15", text));
}

}  // namespace mesh::agent
