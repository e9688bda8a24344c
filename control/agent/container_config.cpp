#include "control/agent/container_config.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "control/agent/placeholder.h"
#include "control/agent/sha256.h"

namespace mesh::agent {
namespace {

constexpr const char* kDefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string_view key_of(std::string_view entry) { return entry.substr(0, entry.find('=')); }

// Later entries win; "KEY" without a value removes the variable, as docker does.
void merge_env(std::vector<std::string>& env, const std::string& entry) {
  std::erase_if(env, [&](const std::string& old) { return key_of(old) == key_of(entry); });
  if (entry.find('=') != std::string::npos) env.push_back(entry);
}

Result<std::vector<std::string>> make_env(const model::Task& task, const ContainerConfig& config,
                                          const ImageRunConfig& image) {
  std::vector<std::string> env = {kDefaultPath, "HOSTNAME=" + config.hostname};
  if (config.tty) env.emplace_back("TERM=xterm");
  for (const std::string& entry : image.env) merge_env(env, entry);
  for (const std::string& entry : task.spec.container_spec->env) {
    merge_env(env, TRY_IN("environment " + std::string(key_of(entry)), expand_placeholders(entry, task)));
  }
  return env;
}

std::vector<std::string> make_argv(const model::ContainerSpec& spec, const ImageRunConfig& image) {
  std::vector<std::string> argv = spec.command.empty() ? image.entrypoint : spec.command;
  // A new entry point drops the image's command, as docker does.
  const std::vector<std::string>& args = spec.args.empty() && spec.command.empty() ? image.cmd : spec.args;
  argv.insert(argv.end(), args.begin(), args.end());
  return argv;
}

template <class T>
T first_set(const T& spec, const T& image, const T& otherwise) {
  return spec != T{} ? spec : image != T{} ? image : otherwise;
}

Result<std::optional<HealthPlan>> make_health(const model::ContainerSpec& spec, const ImageRunConfig& image) {
  const model::HealthConfig asked = spec.healthcheck.value_or(model::HealthConfig{});
  const ImageHealthcheck built = image.healthcheck.value_or(ImageHealthcheck{});
  const std::vector<std::string>& test = asked.test.empty() ? built.test : asked.test;
  if (test.empty() || test[0] == "NONE") return std::optional<HealthPlan>{};
  HealthPlan plan;
  if (test[0] == "CMD-SHELL") {
    plan.argv = image.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : image.shell;
    plan.argv.push_back(test.size() > 1 ? test[1] : "");
  } else if (test[0] == "CMD") {
    plan.argv.assign(test.begin() + 1, test.end());
  } else {
    return fail(ErrorKind::kInvalid,
                fmt::format("health check: unknown form \"{}\"; it starts with CMD, CMD-SHELL or NONE", test[0]));
  }
  if (plan.argv.empty()) return fail(ErrorKind::kInvalid, "health check: CMD without a command");
  plan.interval = first_set(asked.interval, built.interval, plan.interval);
  plan.timeout = first_set(asked.timeout, built.timeout, plan.timeout);
  plan.start_period = first_set(asked.start_period, built.start_period, plan.start_period);
  plan.start_interval = first_set(asked.start_interval, built.start_interval, plan.start_interval);
  plan.retries = first_set(asked.retries, static_cast<std::int64_t>(built.retries), plan.retries);
  return std::optional(plan);
}

Result<ContainerMount> make_mount(const model::Mount& mount, const model::Task& task) {
  ContainerMount made;
  made.target = mount.target;
  made.type = mount.type.empty() ? "volume" : mount.type;
  if (!mount.target.starts_with('/')) {
    return fail(ErrorKind::kInvalid, fmt::format("mount target \"{}\" must be an absolute path", mount.target));
  }
  if (made.type == "bind") {
    made.source = TRY_IN("mount source", expand_placeholders(mount.source, task));
    if (!made.source.starts_with('/')) {
      return fail(ErrorKind::kInvalid, fmt::format("bind mount source \"{}\" must be an absolute path", made.source));
    }
    const std::string propagation = mount.bind_options ? mount.bind_options->propagation : "";
    made.options = {mount.bind_options && mount.bind_options->non_recursive ? "bind" : "rbind",
                    propagation.empty() ? "rprivate" : propagation};
  } else if (made.type == "tmpfs") {
    made.source = "tmpfs";
    made.options = {"nosuid", "nodev", "noexec"};
    const model::TmpfsOptions options = mount.tmpfs_options.value_or(model::TmpfsOptions{});
    if (options.size_bytes > 0) made.options.push_back(fmt::format("size={}", options.size_bytes));
    made.options.push_back(fmt::format("mode={:o}", options.mode == 0 ? 01777U : options.mode));
  } else {
    return fail(
        ErrorKind::kUnsupported,
        fmt::format("mount of type \"{}\" at {} is not supported yet; bind and tmpfs are", made.type, mount.target));
  }
  made.options.emplace_back(mount.read_only ? "ro" : "rw");
  return made;
}

Status refuse_unsupported(const model::ContainerSpec& spec) {
  if (!spec.secrets.empty()) return fail(ErrorKind::kUnsupported, "secrets are not supported yet");
  if (!spec.configs.empty()) return fail(ErrorKind::kUnsupported, "configs are not supported yet");
  return {};
}

void set_limits(ContainerConfig& config, const std::optional<model::Resources>& resources) {
  if (!resources || !resources->limits) return;
  config.nano_cpus = resources->limits->nano_cpus;
  config.memory_bytes = resources->limits->memory_bytes;
  config.pids = resources->limits->pids;
}

// Labels that docker's tools look for (docker ps --filter, Traefik).
void set_labels(ContainerConfig& config, const model::Task& task, const ImageRunConfig& image) {
  config.labels = image.labels;
  for (const auto& [key, value] : task.spec.container_spec->labels) config.labels[key] = value;
  config.labels["com.docker.swarm.node.id"] = task.node_id;
  config.labels["com.docker.swarm.service.id"] = task.service_id;
  config.labels["com.docker.swarm.service.name"] = task.mesh.service_name;
  config.labels["com.docker.swarm.task.id"] = task.id;
  config.labels["com.docker.swarm.task.name"] = config.name;
}

}  // namespace

std::string container_id_of(const std::string& task_id) { return sha256_of("container of task " + task_id).substr(7); }

Result<std::vector<std::string>> choose_capabilities(const std::vector<std::string>& add,
                                                     const std::vector<std::string>& drop) {
  static const std::set<std::string> kDefault = {
      "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
      "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",   "CAP_SETFCAP",
      "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};
  static const std::set<std::string> kMore = {
      "CAP_AUDIT_CONTROL",   "CAP_AUDIT_READ",   "CAP_BLOCK_SUSPEND", "CAP_BPF",           "CAP_CHECKPOINT_RESTORE",
      "CAP_DAC_READ_SEARCH", "CAP_IPC_LOCK",     "CAP_IPC_OWNER",     "CAP_LEASE",         "CAP_LINUX_IMMUTABLE",
      "CAP_MAC_ADMIN",       "CAP_MAC_OVERRIDE", "CAP_NET_ADMIN",     "CAP_NET_BROADCAST", "CAP_PERFMON",
      "CAP_SYS_ADMIN",       "CAP_SYS_BOOT",     "CAP_SYS_MODULE",    "CAP_SYS_NICE",      "CAP_SYS_PACCT",
      "CAP_SYS_PTRACE",      "CAP_SYS_RAWIO",    "CAP_SYS_RESOURCE",  "CAP_SYS_TIME",      "CAP_SYS_TTY_CONFIG",
      "CAP_SYSLOG",          "CAP_WAKE_ALARM"};
  std::set<std::string> chosen = kDefault;
  const auto full_name = [](std::string name) -> Result<std::string> {
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    if (name != "ALL" && !name.starts_with("CAP_")) name.insert(0, "CAP_");
    if (name == "CAP_ALL") name = "ALL";
    if (name == "ALL" || kDefault.contains(name) || kMore.contains(name)) return name;
    return fail(ErrorKind::kInvalid, fmt::format("unknown capability \"{}\"", name));
  };
  // "ALL" first, then single names of the other list, as docker orders it.
  std::set<std::string> added, dropped;
  for (const std::string& name : add) added.insert(TRY(full_name(name)));
  for (const std::string& name : drop) dropped.insert(TRY(full_name(name)));
  if (added.contains("ALL")) chosen.insert(kMore.begin(), kMore.end());
  if (dropped.contains("ALL")) chosen.clear();
  for (const std::string& name : added) {
    if (name != "ALL") chosen.insert(name);
  }
  for (const std::string& name : dropped) chosen.erase(name);
  return std::vector<std::string>(chosen.begin(), chosen.end());
}

Result<ContainerConfig> make_container_config(const model::Task& task, const StoredImage& image) {
  if (!task.spec.container_spec) return fail(ErrorKind::kInvalid, "the task has no container specification");
  const model::ContainerSpec& spec = *task.spec.container_spec;
  const ImageRunConfig& built = image.config.config;
  TRY(refuse_unsupported(spec));
  ContainerConfig config;
  config.id = container_id_of(task.id);
  config.task_id = task.id;
  config.name = task.mesh.container_name;
  config.image = spec.image;
  config.image_id = image.id;
  config.layers = image.config.rootfs.diff_ids;
  config.argv = make_argv(spec, built);
  if (config.argv.empty()) {
    return fail(ErrorKind::kInvalid,
                fmt::format("no command: neither the service nor the image {} names one", spec.image));
  }
  config.hostname =
      spec.hostname.empty() ? config.id.substr(0, 12) : TRY_IN("hostname", expand_placeholders(spec.hostname, task));
  config.tty = spec.tty;
  config.open_stdin = spec.open_stdin;
  config.init = spec.init.value_or(false);
  config.read_only = spec.read_only;
  config.env = TRY(make_env(task, config, built));
  config.cwd = first_set<std::string>(spec.dir, built.working_dir, "/");
  if (!config.cwd.starts_with('/')) {
    return fail(ErrorKind::kInvalid, fmt::format("working directory \"{}\" must be an absolute path", config.cwd));
  }
  config.user = spec.user.empty() ? built.user : spec.user;
  config.groups = spec.groups;
  config.stop_signal = TRY(parse_signal(first_set<std::string>(spec.stop_signal, built.stop_signal, "SIGTERM")));
  config.stop_grace = spec.stop_grace_period.value_or(config.stop_grace);
  set_limits(config, task.spec.resources);
  config.oom_score_adj = spec.oom_score_adj;
  config.capabilities = TRY(choose_capabilities(spec.capability_add, spec.capability_drop));
  config.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "0"}};
  for (const auto& [key, value] : spec.sysctls) config.sysctls[key] = value;
  config.ulimits = spec.ulimits;
  for (const model::Mount& mount : spec.mounts) config.mounts.push_back(TRY(make_mount(mount, task)));
  config.hosts = spec.hosts;
  config.dns = spec.dns_config.value_or(model::DnsConfig{});
  config.ingress_v4 = task.mesh.ingress_v4;
  config.ingress_v6 = task.mesh.ingress_v6;
  config.health = TRY(make_health(spec, built));
  set_labels(config, task, built);
  return config;
}

}  // namespace mesh::agent
