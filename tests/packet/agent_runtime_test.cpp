// Real containers: conmon and an OCI runtime on this machine, in a cgroup prefix and directories of their own.
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/id.h"
#include "base/process.h"
#include "base/text.h"
#include "control/agent/container_runtime.h"
#include "control/agent/rootfs.h"
#include "tests/packet/agent_waiting.h"

namespace mesh::agent {
namespace {

using test::wait_until_gone;
using State = ObservedContainer::State;

constexpr const char* kLayer = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

// A layer with a static busybox and nothing else.
void make_busybox_layer(const ImagePaths& images) {
  const std::string root = images.layer(kLayer);
  for (const char* name : {"/bin", "/etc", "/tmp", "/srv"}) ASSERT_TRUE(make_directories(root + name));
  ASSERT_TRUE(run_for_output({.argv = {"cp", "/bin/busybox", root + "/bin/busybox"}}));
  for (const char* name :
       {"sh", "sleep", "cat", "id", "hostname", "stat", "env", "pwd", "grep", "ls", "touch", "mknod"}) {
    ASSERT_EQ(symlink("busybox", (root + "/bin/" + name).c_str()), 0);
  }
  ASSERT_TRUE(write_file(root + "/etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n"));
  ASSERT_TRUE(write_file(root + "/etc/group", "root:x:0:\nweb:x:34:\nextra:x:50:web\n"));
}

class RuntimeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    base_ = "/tmp/meshd-runtime-" + make_hex_id(4);
    prefix_ = "/meshd-test-" + make_hex_id(4);
    auto layout = find_cgroup_layout("");
    ASSERT_TRUE(layout) << layout.error().message;
    cgroups_ = *layout;
    cgroups_.prefix = prefix_;
    images_.root = base_ + "/data/images";
    make_busybox_layer(images_);
    open();
  }
  void TearDown() override {
    if (base_.empty()) return;
    if (runtime_) {
      for (const std::string& id : runtime_->list().value_or(std::vector<std::string>{})) {
        const Status removed = runtime_->remove(id);
        EXPECT_TRUE(removed) << removed.error().message;
      }
    }
    EXPECT_TRUE(remove_cgroups(cgroups_));
    for (const std::string& mount : cgroups_.v1_mounts) rmdir((mount + prefix_).c_str());
    rmdir((cgroups_.v2_mount + prefix_).c_str());
    EXPECT_TRUE(remove_tree(base_));
  }
  // A new object, as a restarted meshd makes one.
  void open() {
    auto runtime = ContainerRuntime::find({base_ + "/data", base_ + "/run", cgroups_});
    ASSERT_TRUE(runtime) << runtime.error().message;
    runtime_ = std::move(*runtime);
  }
  static ContainerConfig config(std::vector<std::string> argv) {
    ContainerConfig made;
    made.id = make_hex_id(32);
    made.layers = {kLayer};
    made.argv = std::move(argv);
    made.env = {"PATH=/bin"};
    made.hostname = "box";
    made.capabilities = *choose_capabilities({}, {});
    made.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "0"}};
    return made;
  }
  ObservedContainer start(const ContainerConfig& made) {
    auto started = runtime_->start(made, images_, "");
    EXPECT_TRUE(started) << started.error().message;
    return started.value_or(ObservedContainer{});
  }
  // Runs to its end and returns what it printed.
  std::string output_of(const ContainerConfig& made, int expected_code = 0) {
    const ObservedContainer started = start(made);
    if (started.state == State::kRunning) wait_until_gone(started.monitor_pid);
    const auto after = runtime_->observe(made.id);
    EXPECT_TRUE(after);
    EXPECT_EQ(after->state, State::kExited);
    EXPECT_EQ(after->exit_code, expected_code);
    std::string text;
    const std::string log = read_file(runtime_->log_path(made.id)).value_or("");
    // "<time> stdout F <text>"
    for (const std::string_view line : split(log, '\n')) {
      const auto parts = split(line, ' ');
      if (parts.size() < 4) continue;
      const std::size_t head = parts[0].size() + parts[1].size() + parts[2].size() + 3;
      text += std::string(line.substr(head)) + "\n";
    }
    return text;
  }
  void wait_for_log(const std::string& id, std::string_view text) {
    const auto is_there = [&] { return read_file(runtime_->log_path(id)).value_or("").contains(text); };
    ASSERT_TRUE(test::wait_until(is_there)) << "no \"" << text << "\" in the log";
  }
  std::string cgroup_value(const std::string& controller, const std::string& id, const std::string& file) {
    std::vector<std::string> mounts = cgroups_.v1_mounts;
    if (controller.empty()) mounts = {cgroups_.v2_mount};
    for (const std::string& mount : mounts) {
      if (controller.empty() || mount.ends_with("/" + controller)) {
        return std::string(trim(read_file(mount + cgroups_.container_path(id) + "/" + file).value_or("")));
      }
    }
    return {};
  }

  std::string base_, prefix_;
  CgroupLayout cgroups_;
  ImagePaths images_;
  std::optional<ContainerRuntime> runtime_;
};

TEST_F(RuntimeTest, RunsAndKeepsExitCodeAndLog) {
  const auto made = config({"sh", "-c", "echo hello; echo oops >&2; exit 7"});
  EXPECT_EQ(output_of(made, 7), "hello\noops\n");
  open();
  const auto again = runtime_->observe(made.id);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->state, State::kExited);
  EXPECT_EQ(again->exit_code, 7);
  EXPECT_FALSE(again->out_of_memory);
}

TEST_F(RuntimeTest, SurvivesItsOwnerAndIsAdopted) {
  const auto made = config({"sleep", "1000"});
  const ObservedContainer started = start(made);
  ASSERT_EQ(started.state, State::kRunning);
  // The monitor is nobody's child here: a meshd that ends cannot take it along.
  const std::string stat = read_file(fmt::format("/proc/{}/stat", started.monitor_pid)).value_or("");
  EXPECT_EQ(split(stat, ' ').at(3), "1") << stat;
  open();
  const auto adopted = runtime_->observe(made.id);
  ASSERT_TRUE(adopted);
  EXPECT_EQ(adopted->state, State::kRunning);
  EXPECT_EQ(adopted->pid, started.pid);
  EXPECT_EQ(adopted->started_at, started.started_at);
  ASSERT_TRUE(runtime_->signal(made.id, SIGKILL));
  wait_until_gone(started.monitor_pid);
  EXPECT_EQ(runtime_->observe(made.id)->exit_code, 137);
}

TEST_F(RuntimeTest, IsKilledWithoutTheRuntimesState) {
  const auto made = config({"sleep", "1000"});
  const ObservedContainer started = start(made);
  ASSERT_EQ(started.state, State::kRunning);
  ASSERT_TRUE(remove_tree(base_ + "/run/runtime/" + made.id));
  EXPECT_FALSE(runtime_->signal(made.id, SIGTERM)) << "not sent, and it says so";
  const Status killed = runtime_->signal(made.id, SIGKILL);
  ASSERT_TRUE(killed) << killed.error().message;
  wait_until_gone(started.monitor_pid);
  EXPECT_EQ(runtime_->observe(made.id)->exit_code, 137);
}

TEST_F(RuntimeTest, StopSignalReachesTheProgram) {
  const auto made = config({"sh", "-c", "trap 'echo bye; exit 3' USR1; echo ready; while :; do sleep 0.05; done"});
  const ObservedContainer started = start(made);
  wait_for_log(made.id, "ready");
  ASSERT_TRUE(runtime_->signal(made.id, SIGUSR1));
  wait_until_gone(started.monitor_pid);
  EXPECT_EQ(runtime_->observe(made.id)->exit_code, 3);
}

TEST_F(RuntimeTest, KilledMonitorIsLostNotRunning) {
  const auto made = config({"sleep", "1000"});
  const ObservedContainer started = start(made);
  ASSERT_EQ(kill(started.monitor_pid, SIGKILL), 0);
  wait_until_gone(started.monitor_pid);
  EXPECT_EQ(runtime_->observe(made.id)->state, State::kLost);
  ASSERT_TRUE(runtime_->remove(made.id));
  wait_until_gone(started.pid);
  EXPECT_EQ(runtime_->observe(made.id)->state, State::kAbsent);
}

TEST_F(RuntimeTest, LimitsAreInTheKernel) {
  auto made = config({"sleep", "1000"});
  made.nano_cpus = 500'000'000;
  made.memory_bytes = 64 << 20;
  made.pids = 20;
  start(made);
  if (cgroups_.v2_only()) {
    EXPECT_EQ(cgroup_value("", made.id, "cpu.max"), "50000 100000");
    EXPECT_EQ(cgroup_value("", made.id, "memory.max"), std::to_string(64 << 20));
    EXPECT_EQ(cgroup_value("", made.id, "pids.max"), "20");
  } else {
    EXPECT_EQ(cgroup_value("cpu", made.id, "cpu.cfs_quota_us"), "50000");
    EXPECT_EQ(cgroup_value("cpu", made.id, "cpu.cfs_period_us"), "100000");
    EXPECT_EQ(cgroup_value("memory", made.id, "memory.limit_in_bytes"), std::to_string(64 << 20));
    EXPECT_EQ(cgroup_value("pids", made.id, "pids.max"), "20");
  }
  // The connect hooks see the container by its cgroup2 directory.
  struct stat found{};
  EXPECT_EQ(stat((cgroups_.v2_mount + cgroups_.container_path(made.id)).c_str(), &found), 0);
}

TEST_F(RuntimeTest, OutOfMemoryIsMarked) {
  auto made = config({"sh", "-c", "x=a; while :; do x=$x$x; done"});
  made.memory_bytes = 16 << 20;
  const ObservedContainer started = start(made);
  if (started.state == State::kRunning) wait_until_gone(started.monitor_pid);
  const auto after = runtime_->observe(made.id);
  EXPECT_EQ(after->exit_code, 137);
  EXPECT_TRUE(after->out_of_memory);
}

TEST_F(RuntimeTest, UserGroupsEnvAndDirectory) {
  auto made = config({"sh", "-c", "id -u; id -g; id -G; pwd; echo $HOME; echo $A; hostname"});
  made.user = "web";
  made.cwd = "/srv/here";
  made.env.emplace_back("A=b c");
  EXPECT_EQ(output_of(made), "33\n34\n34 50\n/srv/here\n/srv\nb c\nbox\n");
}

TEST_F(RuntimeTest, Confinement) {
  const auto made = config({"sh", "-c",
                            "grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status;"
                            "ls /sys/firmware | grep -c . ;"
                            "touch /proc/sys/kernel/hostname 2>/dev/null; echo sys=$?;"
                            "touch /sys/x 2>/dev/null; echo sysfs=$?;"
                            "stat -c %a /dev/shm; stat -c %a /dev;"
                            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start;"
                            "cat /etc/resolv.conf; cat /etc/hostname"});
  const std::string out = output_of(made);
  // 14 capabilities of docker: 0xa80425fb.
  EXPECT_NE(out.find("CapEff:\t00000000a80425fb"), std::string::npos) << out;
  EXPECT_NE(out.find("CapBnd:\t00000000a80425fb"), std::string::npos) << out;
  EXPECT_NE(out.find("Seccomp:\t2"), std::string::npos) << out;
  EXPECT_NE(out.find("\n0\nsys=1\nsysfs=1\n1777\n755\n0\nnameserver 127.0.0.11\noptions ndots:0\nbox\n"),
            std::string::npos)
      << out;
}

TEST_F(RuntimeTest, ReadOnlyRootAndTmpfs) {
  auto made = config({"sh", "-c", "touch /x 2>/dev/null; echo $?; touch /scratch/x; echo $?; stat -c %a /scratch"});
  made.read_only = true;
  made.mounts = {{"tmpfs", "tmpfs", "/scratch", {"nosuid", "nodev", "noexec", "size=65536", "mode=1777", "rw"}}};
  EXPECT_EQ(output_of(made), "1\n0\n1777\n");
}

TEST_F(RuntimeTest, ExecRunsInsideAndTimesOut) {
  const auto made = config({"sleep", "1000"});
  start(made);
  const auto good = runtime_->exec(made.id, {"sh", "-c", "hostname; exit 4"}, std::chrono::seconds(20), 4096);
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->exit_code, 4);
  EXPECT_EQ(good->output, "box\n");
  const auto slow = runtime_->exec(made.id, {"sleep", "777"}, std::chrono::milliseconds(500), 4096);
  ASSERT_TRUE(slow) << slow.error().message;
  EXPECT_TRUE(slow->timed_out);
  // What it ran is gone too.
  const auto left = runtime_->exec(made.id, {"sh", "-c", "cat /proc/[0-9]*/cmdline | grep -c 777; true"},
                                   std::chrono::seconds(20), 4096);
  ASSERT_TRUE(left);
  EXPECT_EQ(std::string(trim(left->output)), "1") << "only the shell's own command line names 777";
}

TEST_F(RuntimeTest, StartErrorsSayWhyAndLeaveNothingMounted) {
  struct Row {
    const char* what;
    std::vector<std::string> argv;
    std::string user;
    const char* expected;
  };
  for (const Row& row : {Row{"no such program", {"/nope"}, "", "no such file or directory"},
                         Row{"no such user", {"sh"}, "nobody-here", "unable to find user nobody-here"}}) {
    auto made = config(row.argv);
    made.user = row.user;
    const auto started = runtime_->start(made, images_, "");
    ASSERT_FALSE(started) << row.what;
    EXPECT_NE(started.error().message.find(row.expected), std::string::npos)
        << row.what << ": " << started.error().message;
    EXPECT_EQ(read_file("/proc/self/mountinfo")->find(made.id), std::string::npos) << row.what;
    ASSERT_TRUE(runtime_->remove(made.id));
  }
}

}  // namespace
}  // namespace mesh::agent
