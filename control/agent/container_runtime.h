// Containers of this host: conmon and an OCI runtime (runc or crun), one directory per container.
//
//   <data_dir>/containers/<id>/   container.json (our config), config.json (OCI), rootfs upper work, hosts hostname
//                                 resolv.conf, log (k8s-file), exit/<id>, persist/oom, container.pid, conmon.pid
//   <runtime_dir>/runtime         state of the OCI runtime
//
// All functions block (child processes of 10-50 ms) and are safe from any thread; two on the same container must not
// overlap. A container outlives meshd; observe() finds it again.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "control/agent/cgroup_layout.h"
#include "control/agent/container_config.h"
#include "control/agent/oci_spec.h"

namespace mesh::agent {

struct RuntimeOptions {
  std::string data_dir;
  std::string runtime_dir;
  CgroupLayout cgroups;
};

struct ObservedContainer {
  enum class State : std::uint8_t {
    kAbsent,    // no directory
    kPrepared,  // a directory, but nothing was ever started in it
    kRunning,
    kExited,  // exit_code is known
    kLost,    // its monitor is gone without an exit code: killed from outside, or the host was restarted
  };
  State state = State::kAbsent;
  pid_t pid = 0;          // kRunning: first process of the container
  pid_t monitor_pid = 0;  // kRunning: conmon
  int exit_code = 0;      // 128 + signal as a shell counts
  bool out_of_memory = false;
  Time started_at{}, finished_at{};
};

struct ExecOutcome {
  int exit_code = 0;
  bool timed_out = false;  // its process was killed
  std::string output;      // standard output and error, cut at output_bytes_max
};

class ContainerRuntime {
 public:
  // Looks for conmon and a runtime that works with this host's cgroups (crun refuses hybrid ones). kUnsupported names
  // what is missing and the package that has it.
  [[nodiscard]] static Result<ContainerRuntime> find(RuntimeOptions options);

  [[nodiscard]] const std::string& runtime_path() const { return runtime_path_; }

  // Makes directory, root file system and spec, creates the container in `netns_path` and starts its program.
  // After an error nothing of it is left but the directory (with the runtime's log).
  [[nodiscard]] Result<ObservedContainer> start(const ContainerConfig& config, const ImagePaths& images,
                                                const std::string& netns_path) const;
  [[nodiscard]] Result<ObservedContainer> observe(const std::string& id) const;
  // The config it was started with. kNotFound: no such container.
  [[nodiscard]] Result<ContainerConfig> read_config(const std::string& id) const;
  // Ids of all container directories.
  [[nodiscard]] Result<std::vector<std::string>> list() const;
  // To the first process; a container that is gone is success. SIGKILL arrives without the OCI runtime too.
  Status signal(const std::string& id, int signal_number) const;
  // Runs a command inside, as the container's user and environment.
  [[nodiscard]] Result<ExecOutcome> exec(const std::string& id, const std::vector<std::string>& argv, Duration timeout,
                                         std::size_t output_bytes_max) const;
  // Frees everything but directory and log: runtime state, cgroups, mounts. Kills what still runs.
  Status release(const std::string& id) const;
  // release() and removes the directory.
  Status remove(const std::string& id) const;

  [[nodiscard]] std::string directory(const std::string& id) const { return containers_ + "/" + id; }
  [[nodiscard]] std::string log_path(const std::string& id) const { return directory(id) + "/log"; }

 private:
  ContainerRuntime() = default;
  Status prepare(const ContainerConfig& config, const ImagePaths& images, const std::string& netns_path) const;
  [[nodiscard]] Result<pid_t> create(const ContainerConfig& config) const;
  [[nodiscard]] std::vector<std::string> runtime_command() const;
  [[nodiscard]] Result<std::string> find_init() const;
  [[nodiscard]] bool kill_directly(const std::string& id, pid_t pid) const;

  std::string containers_;
  std::string runtime_state_;
  CgroupLayout cgroups_;
  std::string conmon_path_;
  std::string runtime_path_;
};

}  // namespace mesh::agent
