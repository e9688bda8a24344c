#include "control/model/validate.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "control/model/mesh_options.h"

namespace mesh::model {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// A DNS label: letters, digits, inner hyphens; Docker also takes '_', which stacks put into names ("todo_db").
bool is_dns_component(std::string_view name, std::string_view inner = "-_") {
  if (name.empty() || !is_alphanumeric(name.front()) || !is_alphanumeric(name.back())) return false;
  return std::ranges::all_of(name,
                             [&](char c) { return is_alphanumeric(c) || inner.find(c) != std::string_view::npos; });
}

Status validate_service_name(const std::string& name) {
  if (name.size() > kServiceNameMax) {
    return fail(ErrorKind::kInvalid, fmt::format("name must be {} characters or fewer", kServiceNameMax));
  }
  if (!is_dns_component(name)) {
    return fail(ErrorKind::kInvalid, fmt::format("name must be valid as a DNS name component, \"{}\" is not", name));
  }
  return {};
}

Status validate_amounts(std::int64_t nano_cpus, std::int64_t memory_bytes) {
  if (nano_cpus != 0 && nano_cpus < kNanoCpusMin) {
    return fail(ErrorKind::kInvalid,
                fmt::format("invalid cpu value {:g}: Must be at least {:g}", static_cast<double>(nano_cpus) / 1e9,
                            static_cast<double>(kNanoCpusMin) / 1e9));
  }
  if (memory_bytes != 0 && memory_bytes < kMemoryBytesMin) {
    return fail(ErrorKind::kInvalid, fmt::format("invalid memory value {}: Must be at least 4MiB", memory_bytes));
  }
  return {};
}

Status validate_resources(const TaskSpec& task) {
  if (!task.resources) return {};
  if (const auto& limits = task.resources->limits) {
    TRY(validate_amounts(limits->nano_cpus, limits->memory_bytes));
    if (limits->pids < 0) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("invalid pids limit {}: must be 0 (no limit) or more", limits->pids));
    }
  }
  if (const auto& wanted = task.resources->reservations) {
    TRY(validate_amounts(wanted->nano_cpus, wanted->memory_bytes));
  }
  return {};
}

Status validate_restart(const TaskSpec& task) {
  if (!task.restart_policy) return {};
  if (task.restart_policy->delay.value_or(Duration{}) < Duration{}) {
    return fail(ErrorKind::kInvalid, "TaskSpec: restart-delay cannot be negative");
  }
  if (task.restart_policy->window.value_or(Duration{}) < Duration{}) {
    return fail(ErrorKind::kInvalid, "TaskSpec: restart-window cannot be negative");
  }
  return {};
}

Status validate_health(const HealthConfig& health) {
  const auto check = [](std::string_view what, Duration value) -> Status {
    if (value != Duration{} && value < std::chrono::milliseconds(1)) {
      return fail(ErrorKind::kInvalid, fmt::format("ContainerSpec: {} in Healthcheck cannot be less than 1ms", what));
    }
    return {};
  };
  TRY(check("Interval", health.interval));
  TRY(check("Timeout", health.timeout));
  TRY(check("StartPeriod", health.start_period));
  TRY(check("StartInterval", health.start_interval));
  if (health.retries < 0) {
    return fail(ErrorKind::kInvalid, "ContainerSpec: Retries in Healthcheck cannot be negative");
  }
  return {};
}

Status validate_container(const ContainerSpec& container) {
  if (container.image.empty()) {
    return fail(ErrorKind::kInvalid, "ContainerSpec: image reference must be provided");
  }
  if (std::ranges::any_of(container.image, [](char c) { return c == ' ' || c == '\t' || c == '\n'; })) {
    return fail(ErrorKind::kInvalid,
                fmt::format("ContainerSpec: \"{}\" is not a valid repository/tag", container.image));
  }
  if (!container.secrets.empty() || !container.configs.empty()) {
    return fail(ErrorKind::kUnsupported, "ContainerSpec: secrets and configs are not supported by this version");
  }
  std::set<std::string> targets;
  for (const Mount& mount : container.mounts) {
    if (mount.target.empty()) return fail(ErrorKind::kInvalid, "ContainerSpec: mount target must not be empty");
    if (!targets.insert(mount.target).second) {
      return fail(ErrorKind::kInvalid, fmt::format("ContainerSpec: duplicate mount point: {}", mount.target));
    }
  }
  if (container.healthcheck) TRY(validate_health(*container.healthcheck));
  if (container.stop_grace_period.value_or(Duration{}) < Duration{}) {
    return fail(ErrorKind::kInvalid, "ContainerSpec: stop-grace-period cannot be negative");
  }
  return {};
}

// "node.labels.disk==ssd": a key, == or !=, a value.
Status validate_constraint(const std::string& constraint) {
  const std::size_t at = constraint.find("==") != std::string::npos ? constraint.find("==") : constraint.find("!=");
  if (at == std::string::npos) {
    return fail(ErrorKind::kInvalid, fmt::format("constraint expected one operator from ==, != in \"{}\"", constraint));
  }
  const std::string_view key = std::string_view(constraint).substr(0, at);
  const std::string_view value = std::string_view(constraint).substr(at + 2);
  if (key.find_first_not_of(" \t") == std::string_view::npos ||
      value.find_first_not_of(" \t") == std::string_view::npos) {
    return fail(ErrorKind::kInvalid, fmt::format("constraint \"{}\" has no key or no value", constraint));
  }
  return {};
}

Status validate_task(const TaskSpec& task) {
  if (!task.container_spec) {
    return fail(ErrorKind::kInvalid, "TaskSpec: a ContainerSpec is required; plugins and attachments are not run");
  }
  TRY(validate_container(*task.container_spec));
  TRY(validate_resources(task));
  TRY(validate_restart(task));
  if (task.placement) {
    for (const std::string& constraint : task.placement->constraints) TRY(validate_constraint(constraint));
  }
  return {};
}

Status validate_update_config(const std::optional<UpdateConfig>& config, bool rollback) {
  if (!config) return {};
  const std::string_view what = rollback ? "RollbackConfig" : "UpdateConfig";
  if (config->delay < Duration{}) {
    return fail(ErrorKind::kInvalid, fmt::format("{}: update-delay cannot be negative", what));
  }
  if (config->monitor < Duration{}) {
    return fail(ErrorKind::kInvalid, fmt::format("{}: update-monitor cannot be negative", what));
  }
  if (!(config->max_failure_ratio >= 0 && config->max_failure_ratio <= 1)) {
    return fail(ErrorKind::kInvalid,
                fmt::format("{}: update-maxfailureratio cannot be less than 0 or bigger than 1", what));
  }
  if (rollback && config->failure_action == FailureAction::kRollback) {
    return fail(ErrorKind::kInvalid, "RollbackConfig: a failed rollback cannot be rolled back; use pause or continue");
  }
  return {};
}

Status validate_mode(const ServiceSpec& spec) {
  const int modes =
      static_cast<int>(spec.mode.replicated.has_value()) + static_cast<int>(spec.mode.global.has_value()) +
      static_cast<int>(spec.mode.replicated_job.has_value()) + static_cast<int>(spec.mode.global_job.has_value());
  if (modes > 1) return fail(ErrorKind::kInvalid, "must specify only one service mode");
  if (spec.mode.replicated_job || spec.mode.global_job) {
    return fail(ErrorKind::kUnsupported, "services of mode replicated-job and global-job are not supported yet");
  }
  if (replicas_of(spec) > kReplicasMax) {
    return fail(ErrorKind::kInvalid, fmt::format("number of replicas {} is over the limit of {} for one service",
                                                 replicas_of(spec), kReplicasMax));
  }
  return {};
}

Status validate_ports(const EndpointSpec& endpoint) {
  if (endpoint.ports.size() > kPortsMax) {
    return fail(ErrorKind::kInvalid, fmt::format("EndpointSpec: more than {} published ports", kPortsMax));
  }
  std::set<PublishedPort> published;
  for (const PortConfig& port : endpoint.ports) {
    if (port.target_port == 0) {
      return fail(ErrorKind::kInvalid, "EndpointSpec: a published port has no target port; use PUBLISHED:TARGET");
    }
    if (!is_ingress(port) && port.published_port == 0) {
      return fail(ErrorKind::kUnsupported,
                  fmt::format("EndpointSpec: port {} is to be published with mode=host under a number that each host "
                              "chooses, which is not supported; name it: published=NUMBER,target={},mode=host",
                              port.target_port, port.target_port));
    }
    if (protocol_of(port) == PortProtocol::kSctp && port.published_port != port.target_port) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("EndpointSpec: port {} is to be published for sctp under {}; SCTP's checksum covers the "
                              "ports, so none is changed on the way: publish it as {}:{}/sctp, or let the service "
                              "listen on another port",
                              port.target_port,
                              port.published_port == 0 ? "a number of the cluster's choice"
                                                       : std::to_string(port.published_port),
                              port.target_port, port.target_port));
    }
    if (endpoint.mode == ResolutionMode::kDnsrr && is_ingress(port)) {
      return fail(ErrorKind::kInvalid, "EndpointSpec: port published with ingress mode can't be used with dnsrr mode");
    }
    if (port.published_port == 0) continue;
    if (!published.insert(published_port(port)).second) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("EndpointSpec: duplicate published ports provided: {}", port_name(published_port(port))));
    }
  }
  return {};
}

Status validate_ipam(const IpamConfig& config) {
  Cidr subnet;
  if (!config.subnet.empty()) subnet = TRY_IN("invalid subnet", Cidr::parse(config.subnet));
  if (!config.ip_range.empty()) {
    return fail(ErrorKind::kUnsupported,
                fmt::format("an IP range of its own ({}) is not supported by this version: addresses are taken from "
                            "all of the subnet; leave --ip-range out or give a smaller --subnet",
                            config.ip_range));
  }
  if (!config.auxiliary_addresses.empty()) {
    return fail(ErrorKind::kUnsupported, "auxiliary addresses are not supported by this version; leave them out");
  }
  if (config.gateway.empty()) return {};
  const IpAddress gateway = TRY_IN("invalid gateway", IpAddress::parse(config.gateway));
  if (config.subnet.empty() || gateway != subnet.network.plus(1)) {
    return fail(ErrorKind::kUnsupported,
                fmt::format("gateway {} is not supported by this version: it is always the subnet's first address; "
                            "leave --gateway out",
                            config.gateway));
  }
  return {};
}

Status validate_attachments(const ServiceSpec& spec) {
  if (!spec.networks.empty() && !spec.task_template.networks.empty() && spec.networks != spec.task_template.networks) {
    return fail(ErrorKind::kInvalid,
                "networks are given in the service and in its task template; use the latter alone");
  }
  const auto& networks = networks_of(spec);
  if (networks.size() > kNetworksMax) {
    return fail(ErrorKind::kInvalid,
                fmt::format("{} networks are over the limit of {} for one service", networks.size(), kNetworksMax));
  }
  std::set<std::string> targets;
  for (const NetworkAttachmentConfig& network : networks) {
    if (network.target.empty()) return fail(ErrorKind::kInvalid, "a network attachment has no target");
    if (!targets.insert(network.target).second) {
      return fail(ErrorKind::kInvalid, fmt::format("network {} is attached twice", network.target));
    }
  }
  return {};
}

}  // namespace

Status validate_service_spec(const ServiceSpec& spec) {
  TRY(validate_service_name(spec.name));
  TRY(validate_mode(spec));
  TRY(validate_task(spec.task_template));
  TRY(validate_update_config(spec.update_config, false));
  TRY(validate_update_config(spec.rollback_config, true));
  if (spec.endpoint_spec) TRY(validate_ports(*spec.endpoint_spec));
  TRY(parse_mesh_options(spec.labels));
  return validate_attachments(spec);
}

Status validate_service_update(const ServiceSpec& from, const ServiceSpec& to) {
  TRY(validate_service_spec(to));
  if (from.name != to.name) {
    return fail(ErrorKind::kUnsupported,
                fmt::format("renaming services is not supported: {} to {}", from.name, to.name));
  }
  if (is_global(from) != is_global(to)) {
    return fail(ErrorKind::kUnsupported, "service mode change is not allowed; remove the service and create it anew");
  }
  return {};
}

Status validate_node_spec(const NodeSpec& spec) {
  for (const auto& [key, value] : spec.labels) {
    if (key.empty()) return fail(ErrorKind::kInvalid, "a node label has an empty key");
    if (key.size() > 1024 || value.size() > 65536) {
      return fail(ErrorKind::kInvalid, fmt::format("node label {:.64} is too long", key));
    }
  }
  return {};
}

Status validate_network(const Network& network) {
  if (network.name.size() > kNetworkNameMax) {
    return fail(ErrorKind::kInvalid, fmt::format("name must be {} characters or fewer", kNetworkNameMax));
  }
  if (!is_dns_component(network.name, "-_.")) {
    return fail(ErrorKind::kInvalid,
                fmt::format("invalid network name \"{}\": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", network.name));
  }
  if (!network.driver.empty() && network.driver != "overlay") {
    return fail(ErrorKind::kUnsupported,
                fmt::format("network driver \"{}\" is not supported; use --driver overlay", network.driver));
  }
  if (network.config_only || !network.config_from.network.empty()) {
    return fail(ErrorKind::kUnsupported, "config-only networks are not supported");
  }
  if (network.options.contains("encrypted")) {
    return fail(ErrorKind::kUnsupported,
                "encrypted networks are not supported by this version; leave --opt encrypted out");
  }
  for (const IpamConfig& config : network.ipam.config) TRY(validate_ipam(config));
  return {};
}

Status validate_cluster_spec(const ClusterSpec& spec) {
  const Duration period = spec.dispatcher.heartbeat_period;
  if (period < Duration{} || (period != Duration{} && period < std::chrono::milliseconds(100))) {
    return fail(ErrorKind::kInvalid, "heartbeat time period must be at least 100ms");
  }
  if (spec.ca_config.node_cert_expiry != Duration{} && spec.ca_config.node_cert_expiry < std::chrono::hours(1)) {
    return fail(ErrorKind::kInvalid, "minimum certificate expiry time must be at least 1h0m0s");
  }
  return {};
}

}  // namespace mesh::model
