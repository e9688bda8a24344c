#include <cerrno>
#include <cstdlib>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/id.h"
#include "base/process.h"
#include "base/text.h"

namespace mesh {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

ProcessSpec shell(const std::string& script) { return {.argv = {"sh", "-c", script}}; }

TEST(Process, keeps_both_streams_and_the_status) {
  const auto outcome = run_process(shell("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->out, "out\n");
  EXPECT_EQ(outcome->err, "err\n");
  EXPECT_EQ(outcome->exit_status, 3);
  EXPECT_FALSE(outcome->truncated);
}

TEST(Process, a_signal_is_128_and_its_number) {
  EXPECT_EQ(run_process(shell("kill -TERM $$"))->exit_status, 128 + SIGTERM);
}

TEST(Process, hands_over_input_larger_than_a_pipe) {
  ProcessSpec spec{.argv = {"cat"}};
  spec.stdin_text.assign(1'000'000, 'x');
  EXPECT_EQ(run_process(spec)->out, spec.stdin_text);
  spec.argv = {"true"};  // does not read it
  EXPECT_EQ(run_process(spec)->exit_status, 0);
}

TEST(Process, without_input_reads_end_of_file) { EXPECT_EQ(run_process({.argv = {"cat"}})->out, ""); }

TEST(Process, environment_and_directory) {
  ProcessSpec spec = shell("echo $A; pwd; env | wc -l");
  spec.environment = {"A=b", "PATH=/usr/bin:/bin"};
  spec.directory = "/usr/share";
  const auto outcome = run_process(spec);
  ASSERT_TRUE(outcome);
  EXPECT_THAT(outcome->out, testing::StartsWith("b\n/usr/share\n"));
}

TEST(Process, inherits_the_environment_but_not_the_service_manager) {
  ::setenv("NOTIFY_SOCKET", "/run/nowhere", 1);
  ::setenv("MESH_TEST_VARIABLE", "kept", 1);
  ProcessSpec spec = shell("echo [$NOTIFY_SOCKET] [$MESH_TEST_VARIABLE] [$MESH_TEST_EXTRA]");
  spec.extra_environment = {"MESH_TEST_EXTRA=added"};
  const auto outcome = run_process(spec);
  spec.extra_environment = {"MESH_TEST_VARIABLE=replaced"};
  const auto replaced = run_process(spec);
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("MESH_TEST_VARIABLE");
  ASSERT_TRUE(outcome && replaced);
  EXPECT_EQ(outcome->out, "[] [kept] [added]\n");
  EXPECT_EQ(replaced->out, "[] [replaced] []\n");
}

TEST(Process, output_is_limited_and_the_child_is_not_blocked) {
  ProcessSpec spec = shell("head -c 3000000 /dev/zero; echo done >&2");
  spec.output_bytes_max = 1'000;
  const auto outcome = run_process(spec);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->out.size(), 1'000U);
  EXPECT_TRUE(outcome->truncated);
  EXPECT_EQ(outcome->err, "done\n");
}

// Waits until a process that is not our child has ended; false after 20 s.
bool ends_soon(pid_t pid) {
  const Fd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!handle) return errno == ESRCH;
  pollfd polled{handle.get(), POLLIN, 0};
  return ::poll(&polled, 1, 20'000) == 1;
}

TEST(Process, timeout_kills_the_whole_group) {
  const std::string file = testing::TempDir() + "mesh-process-" + make_hex_id(4);
  ProcessSpec spec = shell("sleep 1000 & echo $! > " + file + "; wait");
  spec.timeout = 1s;
  const auto outcome = run_process(spec);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::kTimeout);
  EXPECT_THAT(outcome.error().message, HasSubstr("within 1s"));
  const auto grandchild = read_file(file);
  ASSERT_TRUE(grandchild);
  EXPECT_TRUE(remove_tree(file));
  const auto pid = parse_number<pid_t>(trim(*grandchild));
  ASSERT_TRUE(pid);
  EXPECT_TRUE(ends_soon(*pid));
}

TEST(Process, does_not_wait_for_a_grandchild_that_keeps_the_pipe) {
  const auto started = std::chrono::steady_clock::now();
  const auto outcome = run_process(shell("sleep 60 & echo $!"));
  ASSERT_TRUE(outcome);
  EXPECT_LT(std::chrono::steady_clock::now() - started, 20s);
  const auto pid = parse_number<pid_t>(trim(outcome->out));
  ASSERT_TRUE(pid);
  EXPECT_EQ(::kill(*pid, SIGKILL), 0);
}

TEST(Process, missing_program_is_named) {
  const auto outcome = run_process({.argv = {"no-such-program"}});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(outcome.error().message, HasSubstr("no-such-program"));
  EXPECT_FALSE(run_process({}));
}

TEST(Process, child_inherits_only_three_descriptors) {
  // ls itself opens one descriptor to list them.
  const auto outcome = run_process({.argv = {"ls", "/proc/self/fd"}});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(split(trim(outcome->out), '\n').size(), 4U) << outcome->out;
}

TEST(Process, child_has_default_signals) {
  ::signal(SIGPIPE, SIG_IGN);
  const auto outcome = run_process(shell("kill -PIPE $$; echo survived"));
  ::signal(SIGPIPE, SIG_DFL);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_status, 128 + SIGPIPE);
}

TEST(Process, many_threads_at_once) {
  std::vector<std::thread> threads;
  std::vector<int> good(8, 0);
  for (std::size_t i = 0; i < good.size(); ++i) {
    threads.emplace_back([&good, i] {
      for (int round = 0; round < 10; ++round) {
        const std::string text = std::to_string(i) + "." + std::to_string(round);
        const auto outcome = run_process({.argv = {"echo", text}});
        good[i] += outcome && outcome->out == text + "\n" ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(good, testing::Each(10));
}

TEST(Process, output_of_a_child_that_must_succeed) {
  EXPECT_EQ(run_for_output({.argv = {"echo", "x"}}), "x\n");
  const auto failed = run_for_output(shell("echo first >&2; echo reason >&2; exit 5"));
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, testing::AllOf(HasSubstr("status 5"), HasSubstr("reason"), HasSubstr("sh -c")));
}

}  // namespace
}  // namespace mesh
