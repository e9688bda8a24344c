#include "control/model/service.h"
#include "control/model/task.h"

namespace mesh::model {

bool is_global(const ServiceSpec& spec) { return spec.mode.global.has_value(); }

bool is_replicated(const ServiceSpec& spec) {
  return !spec.mode.global && !spec.mode.replicated_job && !spec.mode.global_job;
}

std::uint64_t replicas_of(const ServiceSpec& spec) {
  if (!is_replicated(spec)) return 0;
  return spec.mode.replicated ? spec.mode.replicated->replicas.value_or(1) : 1;
}

const std::vector<NetworkAttachmentConfig>& networks_of(const ServiceSpec& spec) {
  return spec.task_template.networks.empty() ? spec.networks : spec.task_template.networks;
}

PortProtocol protocol_of(const PortConfig& port) {
  return port.protocol == PortProtocol::kUnset ? PortProtocol::kTcp : port.protocol;
}

bool is_ingress(const PortConfig& port) { return port.publish_mode != PublishMode::kHost; }

PublishedPort published_port(const PortConfig& port) { return {protocol_of(port), port.published_port}; }

bool is_dnsrr(const ServiceSpec& spec) {
  return spec.endpoint_spec && spec.endpoint_spec->mode == ResolutionMode::kDnsrr;
}

std::string protocol_name(PortProtocol protocol) {
  switch (protocol) {
    case PortProtocol::kUdp:
      return "udp";
    case PortProtocol::kSctp:
      return "sctp";
    case PortProtocol::kUnset:
    case PortProtocol::kTcp:
      break;
  }
  return "tcp";
}

std::string port_name(const PublishedPort& port) {
  return std::to_string(port.second) + "/" + protocol_name(port.first);
}

namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

void fill_in(std::optional<UpdateConfig>& config) {
  if (!config) config.emplace();
  if (config->failure_action == FailureAction::kUnset) config->failure_action = FailureAction::kPause;
  if (config->monitor == Duration::zero()) config->monitor = 5 * kSecond;
  if (config->order == UpdateOrder::kUnset) config->order = UpdateOrder::kStopFirst;
}

}  // namespace

void settle_mode(ServiceSpec& spec) {
  if (!is_replicated(spec)) return;
  if (!spec.mode.replicated) spec.mode.replicated.emplace();
  if (!spec.mode.replicated->replicas) spec.mode.replicated->replicas = 1;
}

ServiceSpec with_defaults(ServiceSpec spec) {
  settle_mode(spec);
  TaskSpec& task = spec.task_template;
  if (task.container_spec) {
    if (!task.container_spec->stop_grace_period) task.container_spec->stop_grace_period = 10 * kSecond;
    if (!task.container_spec->dns_config) task.container_spec->dns_config.emplace();
    if (task.container_spec->isolation.empty()) task.container_spec->isolation = "default";
  }
  if (!task.resources) task.resources.emplace();
  if (!task.resources->limits) task.resources->limits.emplace();
  if (!task.resources->reservations) task.resources->reservations.emplace();
  if (!task.restart_policy) task.restart_policy.emplace();
  RestartPolicy& restart = *task.restart_policy;
  if (restart.condition == RestartCondition::kUnset) restart.condition = RestartCondition::kAny;
  if (!restart.delay) restart.delay = 5 * kSecond;
  if (!restart.max_attempts) restart.max_attempts = 0;
  if (!task.placement) task.placement.emplace();
  if (task.runtime.empty()) task.runtime = "container";
  if (is_replicated(spec) || is_global(spec)) {
    fill_in(spec.update_config);
    fill_in(spec.rollback_config);
  }
  if (!spec.endpoint_spec) spec.endpoint_spec.emplace();
  if (spec.endpoint_spec->mode == ResolutionMode::kUnset) spec.endpoint_spec->mode = ResolutionMode::kVip;
  for (PortConfig& port : spec.endpoint_spec->ports) {
    port.protocol = protocol_of(port);
    if (port.publish_mode == PublishMode::kUnset) port.publish_mode = PublishMode::kIngress;
  }
  return spec;
}

std::string_view to_string(TaskState state) {
  for (const auto& entry : json_names(static_cast<const TaskState*>(nullptr))) {
    if (entry.value == state) return entry.name;
  }
  return "unknown";
}

}  // namespace mesh::model
