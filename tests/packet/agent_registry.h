// A real registry on the loopback of the test's own network namespace.
#pragma once

#include <csignal>
#include <cstdio>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/process.h"
#include "tests/packet/agent_waiting.h"

namespace mesh::agent::test {

inline constexpr const char* kRegistry = "127.0.0.1:5000";

class Registry {
 public:
  static constexpr const char* kNeeds = "needs root and the registry that scripts/setup unpacks";
  [[nodiscard]] static bool can_run() { return geteuid() == 0 && access(kProgram, X_OK) == 0; }

  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry() { stop(); }

  // Keeps its blobs in `base`/registry. `more`: of its configuration.
  void start(const std::string& base, const std::string& more = "") {
    const std::string config = base + "/registry.yml";
    ASSERT_TRUE(write_file(config, fmt::format("version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: "
                                               "{{rootdirectory: {}/registry}}}}\nhttp: {{addr: \"{}\"}}\n{}",
                                               base, kRegistry, more)));
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (freopen("/dev/null", "w", stderr) == nullptr || freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
      execl(kProgram, kProgram, "serve", config.c_str(), nullptr);
      _exit(127);
    }
  }
  void stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  // Pushes an image directory as library/`name`. A registry that was started a moment ago does not listen yet.
  static void push(const std::string& directory, const std::string& name) {
    const std::string target = fmt::format("docker://{}/library/{}", kRegistry, name);
    std::string why;
    const auto is_pushed = [&] {
      const auto pushed = run_process({.argv = {"skopeo", "--insecure-policy", "copy", "--preserve-digests",
                                                "--dest-tls-verify=false", "dir:" + directory, target}});
      why = pushed ? pushed->err : pushed.error().message;
      return pushed && pushed->exit_status == 0;
    };
    ASSERT_TRUE(wait_until(is_pushed)) << why;
  }

 private:
  static constexpr const char* kProgram = "/var/cache/meshd-dev/docker-registry/usr/bin/docker-registry";
  pid_t pid_ = 0;
};

}  // namespace mesh::agent::test
