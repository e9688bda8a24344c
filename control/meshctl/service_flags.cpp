#include "control/meshctl/service_flags.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "control/meshctl/parse.h"
#include "control/meshctl/publish_options.h"
#include "control/model/mesh_options.h"

namespace mesh::meshctl {
namespace {

using model::ServiceSpec;

model::ContainerSpec& container_of(ServiceSpec& spec) {
  auto& container = spec.task_template.container_spec;
  return container ? *container : container.emplace();
}

template <class T>
T& made(std::optional<T>& value) {
  return value ? *value : value.emplace();
}

Result<Duration> duration_flag(std::string_view flag, const std::string& text) {
  const auto duration = parse_duration(text);
  if (!duration) return fail(ErrorKind::kInvalid, fmt::format("{}: {}", flag, duration.error().message));
  return *duration;
}

Status apply_update_flags(std::string_view prefix, const UpdateFlags& flags, std::optional<model::UpdateConfig>& to) {
  if (flags.parallelism) made(to).parallelism = *flags.parallelism;
  if (flags.delay) made(to).delay = TRY(duration_flag(fmt::format("{}-delay", prefix), *flags.delay));
  if (flags.monitor) made(to).monitor = TRY(duration_flag(fmt::format("{}-monitor", prefix), *flags.monitor));
  if (flags.failure_action) {
    made(to).failure_action =
        TRY(parse_choice<model::FailureAction>(fmt::format("{}-failure-action", prefix), *flags.failure_action));
  }
  if (flags.order)
    made(to).order = TRY(parse_choice<model::UpdateOrder>(fmt::format("{}-order", prefix), *flags.order));
  if (flags.max_failure_ratio) made(to).max_failure_ratio = *flags.max_failure_ratio;
  return {};
}

Status apply_resources(const CommonFlags& flags, model::TaskSpec& task) {
  const auto limits = [&]() -> model::ResourceLimits& { return made(made(task.resources).limits); };
  const auto reservations = [&]() -> model::ResourceReservations& { return made(made(task.resources).reservations); };
  if (flags.limit_cpu) limits().nano_cpus = TRY_IN("--limit-cpu", parse_cpus(*flags.limit_cpu));
  if (flags.limit_memory) limits().memory_bytes = TRY_IN("--limit-memory", parse_bytes(*flags.limit_memory));
  if (flags.limit_pids) limits().pids = static_cast<std::int64_t>(*flags.limit_pids);
  if (flags.reserve_cpu) reservations().nano_cpus = TRY_IN("--reserve-cpu", parse_cpus(*flags.reserve_cpu));
  if (flags.reserve_memory)
    reservations().memory_bytes = TRY_IN("--reserve-memory", parse_bytes(*flags.reserve_memory));
  return {};
}

Status apply_restart(const CommonFlags& flags, std::optional<model::RestartPolicy>& to) {
  if (flags.restart_condition) {
    made(to).condition = TRY(parse_choice<model::RestartCondition>("--restart-condition", *flags.restart_condition));
  }
  if (flags.restart_delay) made(to).delay = TRY(duration_flag("--restart-delay", *flags.restart_delay));
  if (flags.restart_window) made(to).window = TRY(duration_flag("--restart-window", *flags.restart_window));
  if (flags.restart_max_attempts) made(to).max_attempts = flags.restart_max_attempts;
  return {};
}

Status apply_health(const CommonFlags& flags, std::optional<model::HealthConfig>& to) {
  const bool changes = flags.health_cmd || flags.health_interval || flags.health_timeout || flags.health_start_period ||
                       flags.health_start_interval || flags.health_retries;
  if (flags.no_healthcheck.value_or(false)) {
    if (changes) return fail(ErrorKind::kInvalid, "--no-healthcheck cannot be combined with other --health flags");
    to = model::HealthConfig{.test = {"NONE"}};
    return {};
  }
  if (!changes) return {};
  auto& health = made(to);
  if (flags.health_cmd) health.test = {"CMD-SHELL", *flags.health_cmd};
  if (flags.health_interval) health.interval = TRY(duration_flag("--health-interval", *flags.health_interval));
  if (flags.health_timeout) health.timeout = TRY(duration_flag("--health-timeout", *flags.health_timeout));
  if (flags.health_start_period) {
    health.start_period = TRY(duration_flag("--health-start-period", *flags.health_start_period));
  }
  if (flags.health_start_interval) {
    health.start_interval = TRY(duration_flag("--health-start-interval", *flags.health_start_interval));
  }
  if (flags.health_retries) health.retries = *flags.health_retries;
  return {};
}

void apply_mesh(const MeshFlags& flags, model::Labels& labels) {
  if (flags.return_mode) set_label(labels, model::kReturnLabel, *flags.return_mode);
  if (flags.affinity) set_label(labels, model::kAffinityLabel, *flags.affinity);
  if (flags.prefer) set_label(labels, model::kPreferLabel, *flags.prefer);
  if (flags.weight) set_label(labels, model::kWeightLabel, *flags.weight);
}

Status apply_common(const CommonFlags& flags, ServiceSpec& spec) {
  auto& container = container_of(spec);
  if (flags.hostname) container.hostname = *flags.hostname;
  if (flags.user) container.user = *flags.user;
  if (flags.workdir) container.dir = *flags.workdir;
  if (flags.entrypoint) container.command = TRY_IN("--entrypoint", split_shell_words(*flags.entrypoint));
  if (flags.stop_signal) container.stop_signal = *flags.stop_signal;
  if (flags.stop_grace_period) {
    container.stop_grace_period = TRY(duration_flag("--stop-grace-period", *flags.stop_grace_period));
  }
  if (flags.tty) container.tty = *flags.tty;
  if (flags.read_only) container.read_only = *flags.read_only;
  if (flags.init) container.init = flags.init;
  apply_mesh(flags.mesh, spec.labels);
  TRY(apply_health(flags, container.healthcheck));
  TRY(apply_resources(flags, spec.task_template));
  TRY(apply_restart(flags, spec.task_template.restart_policy));
  TRY(apply_update_flags("--update", flags.update, spec.update_config));
  TRY(apply_update_flags("--rollback", flags.rollback, spec.rollback_config));
  if (flags.max_replicas) made(spec.task_template.placement).max_replicas = *flags.max_replicas;
  if (flags.endpoint_mode) {
    made(spec.endpoint_spec).mode = TRY(parse_choice<model::ResolutionMode>("--endpoint-mode", *flags.endpoint_mode));
  }
  return {};
}

Status set_replicas(ServiceSpec& spec, std::uint64_t replicas) {
  if (!spec.mode.replicated) {
    return fail(ErrorKind::kInvalid, "--replicas: only a replicated service has a number of replicas");
  }
  spec.mode.replicated->replicas = replicas;
  return {};
}

Result<model::ServiceMode> parse_mode(const std::string& name) {
  model::ServiceMode mode;
  if (name == "replicated") {
    mode.replicated.emplace().replicas = 1;
  } else if (name == "global") {
    mode.global.emplace();
  } else {
    return fail(ErrorKind::kInvalid, fmt::format("--mode: \"{}\" is not one of replicated, global", name));
  }
  return mode;
}

// One entry per name: the last wins, as in a shell.
void set_variable(std::vector<std::string>& env, const std::string& assignment) {
  const auto name = parse_label(assignment).first;
  std::erase_if(env, [&](const std::string& old) { return parse_label(old).first == name; });
  env.push_back(assignment);
}

void change_labels(model::Labels& labels, const ListChange& change) {
  for (const auto& key : change.remove) labels.erase(key);
  for (const auto& label : change.add) {
    auto [key, value] = parse_label(label);
    labels[key] = value;
  }
}

// As Swarm, a port is removed by its *target*, with an optional protocol.
Status remove_ports(ServiceSpec& spec, const std::vector<std::string>& targets) {
  for (const auto& text : targets) {
    const auto wanted = TRY_IN("--publish-rm", parse_published(text));
    const bool any_protocol = text.find('/') == std::string::npos;
    const auto matches = [&](const model::PortConfig& port) {
      return port.target_port == wanted.published_port &&
             (any_protocol || model::protocol_of(port) == model::protocol_of(wanted));
    };
    if (withdraw_ports(spec, matches) == 0) {
      return fail(ErrorKind::kInvalid, fmt::format("--publish-rm {}: no port with this target is published", text));
    }
  }
  return {};
}

Status change_publish(ServiceSpec& spec, const ListChange& change) {
  TRY(remove_ports(spec, change.remove));
  return publish_ports(spec, "--publish-add", change.add);
}

Status change_networks(ServiceSpec& spec, const ListChange& change) {
  auto& networks = spec.task_template.networks;
  if (networks.empty()) networks = std::exchange(spec.networks, {});
  for (const auto& name : change.remove) {
    std::erase_if(networks, [&](const auto& network) { return network.target == name; });
  }
  for (const auto& text : change.add) networks.push_back(TRY_IN("--network-add", parse_network(text)));
  return {};
}

Status change_placement(ServiceSpec& spec, const UpdateServiceFlags& flags) {
  const auto placement = [&]() -> model::Placement& { return made(spec.task_template.placement); };
  for (const auto& text : flags.constraints.remove) std::erase(placement().constraints, text);
  for (const auto& text : flags.constraints.add) placement().constraints.push_back(text);
  for (const auto& text : flags.preferences.remove) {
    std::erase(placement().preferences, TRY_IN("--placement-pref-rm", parse_preference(text)));
  }
  for (const auto& text : flags.preferences.add) {
    placement().preferences.push_back(TRY_IN("--placement-pref-add", parse_preference(text)));
  }
  return {};
}

Status change_mounts(ServiceSpec& spec, const ListChange& change) {
  auto& mounts = container_of(spec).mounts;
  for (const auto& target : change.remove) {
    std::erase_if(mounts, [&](const model::Mount& mount) { return mount.target == target; });
  }
  for (const auto& text : change.add) {
    const auto mount = TRY_IN("--mount-add", parse_mount(text));
    std::erase_if(mounts, [&](const model::Mount& old) { return old.target == mount.target; });
    mounts.push_back(mount);
  }
  return {};
}

}  // namespace

bool add_port(ServiceSpec& spec, const model::PortConfig& port) {
  auto& ports = made(spec.endpoint_spec).ports;
  const auto same_port = [&](const model::PortConfig& old) {
    return old.published_port == port.published_port && model::protocol_of(old) == model::protocol_of(port) &&
           model::is_ingress(old) == model::is_ingress(port);
  };
  const auto found = std::ranges::find_if(ports, same_port);
  if (port.published_port == 0 || found == ports.end()) {
    ports.push_back(port);
    return true;
  }
  if (found->target_port == port.target_port) return false;
  *found = port;
  return true;
}

Result<ServiceSpec> make_spec(const CreateFlags& flags) {
  ServiceSpec spec;
  spec.name = flags.name;
  spec.mode = TRY(parse_mode(flags.mode));
  if (flags.common.replicas) TRY(set_replicas(spec, *flags.common.replicas));
  auto& container = container_of(spec);
  container.image = flags.image;
  container.args = flags.args;
  for (const auto& assignment : flags.env) set_variable(container.env, assignment);
  for (const auto& label : flags.labels)
    spec.labels.insert_or_assign(parse_label(label).first, parse_label(label).second);
  for (const auto& label : flags.container_labels) {
    container.labels.insert_or_assign(parse_label(label).first, parse_label(label).second);
  }
  TRY(publish_ports(spec, "--publish", flags.publish));
  for (const auto& text : flags.networks) {
    spec.task_template.networks.push_back(TRY_IN("--network", parse_network(text)));
  }
  for (const auto& text : flags.constraints) made(spec.task_template.placement).constraints.push_back(text);
  for (const auto& text : flags.preferences) {
    made(spec.task_template.placement).preferences.push_back(TRY_IN("--placement-pref", parse_preference(text)));
  }
  for (const auto& text : flags.mounts) container.mounts.push_back(TRY_IN("--mount", parse_mount(text)));
  TRY(apply_common(flags.common, spec));
  return spec;
}

Result<ServiceSpec> change_spec(ServiceSpec spec, const UpdateServiceFlags& flags) {
  auto& container = container_of(spec);
  if (flags.image) container.image = *flags.image;
  if (flags.args) container.args = TRY_IN("--args", split_shell_words(*flags.args));
  if (flags.common.replicas) TRY(set_replicas(spec, *flags.common.replicas));
  for (const auto& name : flags.env.remove) {
    std::erase_if(container.env, [&](const std::string& old) { return parse_label(old).first == name; });
  }
  for (const auto& assignment : flags.env.add) set_variable(container.env, assignment);
  change_labels(spec.labels, flags.labels);
  change_labels(container.labels, flags.container_labels);
  TRY(change_publish(spec, flags.publish));
  TRY(change_networks(spec, flags.networks));
  TRY(change_placement(spec, flags));
  TRY(change_mounts(spec, flags.mounts));
  TRY(apply_common(flags.common, spec));
  if (flags.force) ++spec.task_template.force_update;
  return spec;
}

}  // namespace mesh::meshctl
