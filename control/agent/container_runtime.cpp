#include "control/agent/container_runtime.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "control/agent/monitor.h"
#include "control/agent/rootfs.h"
#include "control/agent/seccomp.h"

namespace mesh::agent {
namespace {

constexpr std::int64_t kLogBytesMax = 128 << 20;  // conmon starts the log anew beyond it

std::string find_program(const std::vector<std::string>& paths) {
  const auto found =
      std::ranges::find_if(paths, [](const std::string& path) { return access(path.c_str(), X_OK) == 0; });
  return found == paths.end() ? std::string() : *found;
}

// Whether this process has CAP_SYS_RESOURCE, which some virtual machines take from root.
bool may_raise_limits() {
  constexpr unsigned kSysResource = 24;  // linux/capability.h
  const std::string status = read_file("/proc/self/status").value_or("");
  const auto at = status.find("CapEff:");
  if (at == std::string::npos) return false;
  const std::uint64_t effective = std::strtoull(status.c_str() + at + 7, nullptr, 16);
  return (effective >> kSysResource & 1U) != 0;
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// The number in a pid file, or 0.
pid_t read_pid(const std::string& path) {
  const auto text = read_file(path);
  return text ? parse_number<pid_t>(trim(*text)).value_or(0) : 0;
}

// Process ids are reused: a monitor is the one whose command line names the container.
bool is_monitor_of(pid_t pid, const std::string& id) {
  if (pid <= 0) return false;
  const auto command = read_file(fmt::format("/proc/{}/cmdline", pid));
  if (!command || command->find("conmon") == std::string::npos || command->find(id) == std::string::npos) return false;
  const auto state = read_file(fmt::format("/proc/{}/stat", pid));
  const auto close = state ? state->rfind(") ") : std::string::npos;
  return close != std::string::npos && (*state)[close + 2] != 'Z';
}

Time modified(const std::string& path) {
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) return {};
  return Time(std::chrono::seconds(found.st_mtim.tv_sec) + std::chrono::nanoseconds(found.st_mtim.tv_nsec));
}

// The runtime's own words from its JSON log, which are better than "exit status 1".
std::string runtime_complaint(const std::string& log_path, std::string_view otherwise) {
  const auto text = read_file(log_path);
  std::string found(trim(otherwise));
  if (!text) return found;
  for (const std::string_view line : split(*text, '\n')) {
    const auto value = parse_json(line);
    if (!value || !value->is_object()) continue;
    const Json* level = value->as_object().if_contains("level");
    const Json* message = value->as_object().if_contains("msg");
    if (level != nullptr && message != nullptr && level->is_string() && message->is_string() &&
        level->as_string() == "error") {
      found = std::string(message->as_string());
    }
  }
  return found;
}

}  // namespace

Result<ContainerRuntime> ContainerRuntime::find(RuntimeOptions options) {
  ContainerRuntime runtime;
  runtime.cgroups_ = std::move(options.cgroups);
  runtime.containers_ = options.data_dir + "/containers";
  runtime.runtime_state_ = options.runtime_dir + "/runtime";
  if (options.data_dir.find_first_of(",:\\\"") != std::string::npos) {
    return fail(ErrorKind::kInvalid,
                fmt::format("data directory {}: overlayfs takes no path with , : \\ or \"", options.data_dir));
  }
  runtime.conmon_path_ = find_program({"/usr/bin/conmon", "/usr/libexec/podman/conmon", "/usr/local/bin/conmon"});
  if (runtime.conmon_path_.empty()) {
    return fail(ErrorKind::kUnsupported, "conmon is not installed, containers need it; try \"apt install conmon\"");
  }
  const std::string crun = find_program({"/usr/bin/crun", "/usr/local/bin/crun"});
  const std::string runc = find_program({"/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"});
  // crun is quicker to start, but refuses hosts that have both cgroup versions, and must be allowed to lock memory for
  // its device program.
  const bool crun_works = runtime.cgroups_.v2_only() && may_raise_limits();
  runtime.runtime_path_ = !crun.empty() && (crun_works || runc.empty()) ? crun : runc;
  if (runtime.runtime_path_.empty()) {
    return fail(ErrorKind::kUnsupported,
                "no OCI runtime for this host's cgroups is installed; try \"apt install runc\"");
  }
  TRY(make_directories(runtime.containers_, 0700));
  TRY(make_directories(runtime.runtime_state_, 0700));
  return runtime;
}

std::vector<std::string> ContainerRuntime::runtime_command() const { return {runtime_path_, "--root", runtime_state_}; }

Result<std::string> ContainerRuntime::find_init() const {
  std::string init = find_program({"/usr/libexec/docker/docker-init", "/usr/bin/docker-init", "/usr/bin/tini-static",
                                   "/usr/bin/catatonit", "/usr/libexec/podman/catatonit"});
  if (init.empty()) {
    return fail(ErrorKind::kUnsupported,
                "the service asks for an init process, but this host has none; try \"apt install tini\"");
  }
  return init;
}

Status ContainerRuntime::prepare(const ContainerConfig& config, const ImagePaths& images,
                                 const std::string& netns_path) const {
  const std::string place = directory(config.id);
  TRY(make_directories(place, 0711));
  for (const char* name : {"/exit", "/persist"}) TRY(make_directories(place + name, 0700));
  TRY(write_file(place + "/container.json", to_pretty_text(encode(config)), 0600));
  TRY(mount_rootfs(images, config.layers, place));
  TRY(write_file(place + "/hosts", make_hosts_file(config)));
  TRY(write_file(place + "/resolv.conf", make_resolv_conf(config)));
  TRY(write_file(place + "/hostname", config.hostname + "\n"));

  ContainerPlaces places;
  places.directory = place;
  places.netns_path = netns_path;
  places.cgroup_path = cgroups_.container_path(config.id);
  places.cgroup_namespace = cgroups_.v2_only();
  if (config.init) places.init_path = TRY(find_init());
  const ContainerUser user = TRY(read_user(places.rootfs(), config.user, config.groups));
  const std::string profile =
      TRY_IN("seccomp profile (package golang-github-containers-common)", read_file(kSeccompProfilePath));
  const Json seccomp = TRY(resolve_seccomp(profile, host_architecture(), config.capabilities));
  return write_file(place + "/config.json", to_text(make_oci_spec(config, user, seccomp, places)), 0600);
}

Result<pid_t> ContainerRuntime::create(const ContainerConfig& config) const {
  const std::string place = directory(config.id);
  MonitorSpec spec;
  spec.directory = place;
  spec.argv = {conmon_path_,
               "--api-version",
               "1",
               "--cid",
               config.id,
               "--cuuid",
               config.id,
               "--name",
               config.id,
               "--runtime",
               runtime_path_,
               "--bundle",
               place,
               "--container-pidfile",
               place + "/container.pid",
               "--conmon-pidfile",
               place + "/conmon.pid",
               "--log-path",
               "k8s-file:" + place + "/log",
               "--log-size-max",
               std::to_string(kLogBytesMax),
               "--exit-dir",
               place + "/exit",
               "--persist-dir",
               place + "/persist",
               "--full-attach",
               "--no-sync-log",
               "--log-level",
               "error"};
  if (config.tty) spec.argv.emplace_back("--terminal");
  if (config.open_stdin) spec.argv.insert(spec.argv.end(), {"--stdin", "--leave-stdin-open"});
  for (const std::string& arg : {std::string("--root"), runtime_state_, std::string("--log"), place + "/runtime.log",
                                 std::string("--log-format"), std::string("json")}) {
    spec.argv.insert(spec.argv.end(), {"--runtime-arg", arg});
  }
  auto pid = start_monitor(spec, cgroups_);
  if (!pid) pid.error().message = runtime_complaint(place + "/runtime.log", pid.error().message);
  return pid;
}

Result<ObservedContainer> ContainerRuntime::start(const ContainerConfig& config, const ImagePaths& images,
                                                  const std::string& netns_path) const {
  const std::string place = directory(config.id);
  // What a start that was interrupted left behind.
  if (exists(place)) TRY(remove(config.id));
  if (Status prepared = prepare(config, images, netns_path); !prepared) {
    (void)release(config.id);
    return std::unexpected(std::move(prepared).error());
  }
  if (auto pid = create(config); !pid) {
    (void)release(config.id);
    return std::unexpected(std::move(pid).error());
  }
  ProcessSpec go;
  go.argv = runtime_command();
  go.argv.insert(go.argv.end(), {"--log", place + "/runtime.log", "--log-format", "json", "start", config.id});
  const auto outcome = run_process(go);
  if (!outcome || outcome->exit_status != 0) {
    const std::string why = runtime_complaint(place + "/runtime.log", outcome ? outcome->err : outcome.error().message);
    (void)release(config.id);
    return fail(ErrorKind::kInternal, fmt::format("container could not be started: {}", why));
  }
  TRY(write_file(place + "/started", format_time(wall_now())));
  return observe(config.id);
}

Result<ObservedContainer> ContainerRuntime::observe(const std::string& id) const {
  const std::string place = directory(id);
  ObservedContainer found;
  if (!exists(place)) return found;
  found.state = ObservedContainer::State::kPrepared;
  found.out_of_memory = exists(place + "/persist/oom") || exists(place + "/oom");
  found.started_at = modified(place + "/started");
  // Looked at before the exit file: a monitor that ends in between has written it.
  const pid_t monitor = read_pid(place + "/conmon.pid");
  const bool monitored = is_monitor_of(monitor, id);
  const std::string exit_file = place + "/exit/" + id;
  if (exists(exit_file)) {
    const std::string text = TRY(read_file(exit_file));
    if (const auto code = parse_number<int>(trim(text))) {
      found.state = ObservedContainer::State::kExited;
      found.exit_code = *code;
      found.finished_at = modified(exit_file);
      return found;
    }
  }
  // Without "started" the program may never have begun: a start that was interrupted is done again.
  if (!exists(place + "/started")) return found;
  found.state = monitored ? ObservedContainer::State::kRunning : ObservedContainer::State::kLost;
  found.monitor_pid = monitored ? monitor : 0;
  found.pid = monitored ? read_pid(place + "/container.pid") : 0;
  return found;
}

Result<ContainerConfig> ContainerRuntime::read_config(const std::string& id) const {
  const std::string path = directory(id) + "/container.json";
  const std::string text = TRY(read_file(path));
  const Json value = TRY_IN(path, parse_json(text));
  return TRY_IN(path, decode<ContainerConfig>(value));
}

Result<std::vector<std::string>> ContainerRuntime::list() const { return list_directory(containers_); }

Status ContainerRuntime::signal(const std::string& id, int signal_number) const {
  ProcessSpec spec;
  spec.argv = runtime_command();
  spec.argv.insert(spec.argv.end(), {"kill", id, std::to_string(signal_number)});
  const auto outcome = run_process(spec);
  if (outcome && outcome->exit_status == 0) return {};
  const ObservedContainer now = TRY(observe(id));
  if (now.state != ObservedContainer::State::kRunning) return {};
  // Its process ended and the monitor is about to say so.
  if (now.pid > 0 && ::kill(now.pid, 0) != 0 && errno == ESRCH) return {};
  const std::string why = outcome ? std::string(trim(outcome->err)) : outcome.error().message;
  if (signal_number == SIGKILL && kill_directly(id, now.pid)) {
    spdlog::warn("container killed without {} container={} reason=\"{}\"", runtime_path_, id, why);
    return {};
  }
  return fail(ErrorKind::kInternal, fmt::format("signal {} to container {}: {}", signal_number, id, why));
}

// By its cgroup, which no process of it can leave (cgroup.kill: cgroup2, kernel 5.14); else by its first process, with
// which all of its process namespace ends. The monitor lives, so the pid is still that process.
bool ContainerRuntime::kill_directly(const std::string& id, pid_t pid) const {
  const std::string file = cgroups_.v2_mount + cgroups_.container_path(id) + "/cgroup.kill";
  const bool by_cgroup = cgroups_.v2_only() && write_kernel_file(file, "1");
  return by_cgroup || (pid > 0 && ::kill(pid, SIGKILL) == 0);
}

Result<ExecOutcome> ContainerRuntime::exec(const std::string& id, const std::vector<std::string>& argv,
                                           Duration timeout, std::size_t output_bytes_max) const {
  const std::string pid_file = directory(id) + "/exec.pid";
  ProcessSpec spec;
  spec.argv = runtime_command();
  spec.argv.insert(spec.argv.end(), {"exec", "--pid-file", pid_file, id});
  spec.argv.insert(spec.argv.end(), argv.begin(), argv.end());
  spec.timeout = timeout;
  spec.output_bytes_max = output_bytes_max;
  (void)remove_tree(pid_file);
  auto outcome = run_process(spec);
  ExecOutcome result;
  if (!outcome && outcome.error().kind == ErrorKind::kTimeout) {
    // The runtime was killed, its child inside the container was not.
    if (const pid_t pid = read_pid(pid_file); pid > 0) (void)::kill(pid, SIGKILL);
    result.timed_out = true;
    result.exit_code = -1;
    return result;
  }
  if (!outcome) return std::unexpected(std::move(outcome).error());
  result.exit_code = outcome->exit_status;
  result.output = outcome->out + outcome->err;
  if (result.output.size() > output_bytes_max) result.output.resize(output_bytes_max);
  return result;
}

Status ContainerRuntime::release(const std::string& id) const {
  ProcessSpec spec;
  spec.argv = runtime_command();
  spec.argv.insert(spec.argv.end(), {"delete", "--force", id});
  const ProcessOutcome outcome = TRY(run_process(spec));
  // What runc and crun say of a container that was never created or is gone.
  const bool unknown = outcome.err.find("does not exist") != std::string::npos ||
                       outcome.err.find("No such file or directory") != std::string::npos;
  if (outcome.exit_status != 0 && !unknown) {
    return fail(ErrorKind::kInternal, fmt::format("delete container {}: {}", id, trim(outcome.err)));
  }
  return unmount_rootfs(directory(id));
}

Status ContainerRuntime::remove(const std::string& id) const {
  TRY(release(id));
  return remove_tree(directory(id));
}

}  // namespace mesh::agent
