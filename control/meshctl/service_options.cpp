#include "control/meshctl/service_options.h"

#include <CLI/CLI.hpp>

#include "control/meshctl/cli.h"

namespace mesh::meshctl {
namespace {

void add_rollout_flags(CLI::App& command, const std::string& prefix, UpdateFlags& flags) {
  command.add_option(prefix + "-parallelism", flags.parallelism, "slots at a time; 0: all (1)");
  command.add_option(prefix + "-delay", flags.delay, "between slots (0s)");
  command.add_option(prefix + "-monitor", flags.monitor, "time that a new task must stay up (5s)");
  command.add_option(prefix + "-max-failure-ratio", flags.max_failure_ratio, "failures to bear, 0 to 1 (0)");
  command.add_option(prefix + "-order", flags.order, "stop-first or start-first (stop-first)");
  command.add_option(prefix + "-failure-action", flags.failure_action, "pause, continue or rollback (pause)");
}

// Absent when it is not given. (CLI11's add_flag() takes an optional for a counter and sets it to 0 at once: every
// update would switch off what it does not name.)
void add_switch(CLI::App& command, const std::string& name, std::optional<bool>& to, const std::string& what) {
  command.add_flag_function(name, [&to](std::int64_t count) { to = count > 0; }, what);
}

void add_container_flags(CLI::App& command, CommonFlags& flags) {
  command.add_option("--hostname", flags.hostname, "of the containers");
  command.add_option("-u,--user", flags.user, "NAME|UID[:GROUP|GID]");
  command.add_option("-w,--workdir", flags.workdir, "working directory");
  command.add_option("--entrypoint", flags.entrypoint, "instead of the image's");
  command.add_option("--stop-signal", flags.stop_signal, "instead of the image's");
  command.add_option("--stop-grace-period", flags.stop_grace_period, "until it is killed (10s)");
  add_switch(command, "-t,--tty", flags.tty, "with a pseudo-terminal");
  add_switch(command, "--read-only", flags.read_only, "root file system read-only");
  add_switch(command, "--init", flags.init, "with an init process");
}

void add_health_flags(CLI::App& command, CommonFlags& flags) {
  command.add_option("--health-cmd", flags.health_cmd, "probe, run by a shell");
  command.add_option("--health-interval", flags.health_interval, "between probes");
  command.add_option("--health-timeout", flags.health_timeout, "of one probe");
  command.add_option("--health-retries", flags.health_retries, "failures until unhealthy");
  command.add_option("--health-start-period", flags.health_start_period, "in which failures do not count");
  command.add_option("--health-start-interval", flags.health_start_interval, "between probes in the start period");
  add_switch(command, "--no-healthcheck", flags.no_healthcheck, "ignore the image's probe");
}

void add_mesh_flags(CLI::App& command, MeshFlags& flags) {
  command.add_option("--mesh-return", flags.return_mode,
                     "how answers travel: tunnel, or dsr past the host that was asked (tunnel)");
  command.add_option("--mesh-affinity", flags.affinity,
                     "client-ip[:DURATION]: a client keeps its task so long after its last connection (3h)");
  command.add_option("--mesh-prefer", flags.prefer, "local: tasks of the host that was asked, if it has one");
  command.add_option("--mesh-weight", flags.weight,
                     "node label whose value, 1 to 100, is the share of tasks on that node");
}

void add_common_flags(CLI::App& command, CommonFlags& flags) {
  command.add_option("--replicas", flags.replicas, "number of tasks");
  command.add_option("--replicas-max-per-node", flags.max_replicas, "0: no limit");
  command.add_option("--endpoint-mode", flags.endpoint_mode, "vip or dnsrr (vip)");
  command.add_option("--limit-cpu", flags.limit_cpu, "CPUs, such as 0.5");
  command.add_option("--limit-memory", flags.limit_memory, "such as 64m");
  command.add_option("--limit-pids", flags.limit_pids, "processes; 0: no limit");
  command.add_option("--reserve-cpu", flags.reserve_cpu, "CPUs that its node must have to spare");
  command.add_option("--reserve-memory", flags.reserve_memory, "memory that its node must have to spare");
  command.add_option("--restart-condition", flags.restart_condition, "any, on-failure or none (any)");
  command.add_option("--restart-delay", flags.restart_delay, "before a replacement starts (5s)");
  command.add_option("--restart-max-attempts", flags.restart_max_attempts, "0: no limit");
  command.add_option("--restart-window", flags.restart_window, "time in which attempts count");
  add_container_flags(command, flags);
  add_health_flags(command, flags);
  add_rollout_flags(command, "--update", flags.update);
  add_rollout_flags(command, "--rollback", flags.rollback);
  add_mesh_flags(command, flags.mesh);
}

void add_change_flags(CLI::App& command, const std::string& name, ListChange& change, const std::string& added,
                      const std::string& removed) {
  add_list(command, name + "-add", change.add, added);
  add_list(command, name + "-rm", change.remove, removed);
}

}  // namespace

void add_create_flags(CLI::App& command, CreateFlags& flags) {
  command.add_option("--name", flags.name, "of the service; otherwise one is made up");
  command.add_option("--mode", flags.mode, "replicated or global")->capture_default_str();
  add_list(command, "-e,--env", flags.env, "KEY=VALUE; KEY takes the value from here");
  add_list(command, "-l,--label", flags.labels, "KEY=VALUE of the service");
  add_list(command, "--container-label", flags.container_labels, "KEY=VALUE of its containers");
  add_list(command, "-p,--publish", flags.publish,
           "[ADDRESS|INTERFACE:]PUBLISHED:TARGET[/udp], or published=…,target=…,mode=…");
  add_list(command, "--network", flags.networks, "NETWORK, or name=…,alias=…");
  add_list(command, "--constraint", flags.constraints, "such as node.labels.disk==ssd");
  add_list(command, "--placement-pref", flags.preferences, "spread=KEY");
  add_list(command, "--mount", flags.mounts, "type=…,source=…,target=…[,readonly]");
  add_common_flags(command, flags.common);
}

void add_update_flags(CLI::App& command, UpdateServiceFlags& flags) {
  command.add_option("--image", flags.image, "the new image");
  command.add_option("--args", flags.args, "the new arguments of the command");
  command.add_flag("--force", flags.force, "replace every task, even if nothing changed");
  add_change_flags(command, "--env", flags.env, "KEY=VALUE", "KEY");
  add_change_flags(command, "--label", flags.labels, "KEY=VALUE of the service", "KEY");
  add_change_flags(command, "--container-label", flags.container_labels, "KEY=VALUE of its containers", "KEY");
  add_change_flags(command, "--publish", flags.publish, "[ADDRESS|INTERFACE:]PUBLISHED:TARGET[/udp]", "TARGET[/udp]");
  add_change_flags(command, "--network", flags.networks, "NETWORK", "NETWORK");
  add_change_flags(command, "--constraint", flags.constraints, "such as node.role==worker", "as it was added");
  add_change_flags(command, "--placement-pref", flags.preferences, "spread=KEY", "spread=KEY");
  add_change_flags(command, "--mount", flags.mounts, "type=…,source=…,target=…", "TARGET");
  add_common_flags(command, flags.common);
}

}  // namespace mesh::meshctl
