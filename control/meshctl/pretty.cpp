#include "control/meshctl/pretty.h"

#include <fmt/format.h>

#include "control/meshctl/wording.h"

namespace mesh::meshctl {
namespace {

// Lines "Key:  value" below headings, as docker aligns them.
class Page {
 public:
  void line(std::string_view key, std::string_view value, int depth = 0) {
    if (value.empty()) return;
    const std::string name = std::string(static_cast<std::size_t>(depth), ' ') + std::string(key) + ":";
    text_ += fmt::format("{:<24}{}\n", name, value);
  }
  void heading(std::string_view name) { text_ += fmt::format("{}:\n", name); }
  void labels(const model::Labels& labels) {
    if (labels.empty()) return;
    heading("Labels");
    for (const auto& [key, value] : labels) text_ += fmt::format(" - {}={}\n", key, value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

std::string cpus(std::int64_t nano) { return nano == 0 ? "" : fmt::format("{:g}", static_cast<double>(nano) / 1e9); }

std::string memory(std::int64_t bytes) { return bytes == 0 ? "" : format_memory(bytes); }

void add_update(Page& page, std::string_view name, const std::optional<model::UpdateConfig>& config) {
  if (!config) return;
  page.heading(name);
  page.line("Parallelism", fmt::format("{}", config->parallelism), 1);
  if (config->delay > Duration::zero()) page.line("Delay", format_duration(config->delay), 1);
  page.line("On failure", name_of(config->failure_action), 1);
  if (config->monitor > Duration::zero()) page.line("Monitoring Period", format_duration(config->monitor), 1);
  page.line("Max failure ratio", fmt::format("{:g}", config->max_failure_ratio), 1);
  page.line("Update order", name_of(config->order), 1);
}

void add_status(Page& page, const std::optional<model::UpdateStatus>& status) {
  if (!status) return;
  page.heading("UpdateStatus");
  page.line("State", name_of(status->state), 1);
  if (status->started_at) page.line("Started", format_time(*status->started_at), 1);
  if (status->completed_at) page.line("Completed", format_time(*status->completed_at), 1);
  page.line("Message", status->message, 1);
}

void add_container(Page& page, const model::ContainerSpec& container) {
  page.heading("ContainerSpec");
  page.line("Image", container.image, 1);
  page.line("Command", joined(container.command, " "), 1);
  page.line("Args", joined(container.args, " "), 1);
  page.line("Env", joined(container.env, " "), 1);
  page.line("Hostname", container.hostname, 1);
  page.line("Dir", container.dir, 1);
  page.line("User", container.user, 1);
  page.line("StopSignal", container.stop_signal, 1);
  for (const auto& mount : container.mounts) {
    page.line("Mount",
              fmt::format("{} {} -> {}{}", mount.type, mount.source, mount.target, mount.read_only ? " (ro)" : ""), 1);
  }
}

void add_resources(Page& page, const model::Resources& resources) {
  page.heading("Resources");
  if (resources.reservations) {
    page.line("Reserved CPU", cpus(resources.reservations->nano_cpus), 1);
    page.line("Reserved memory", memory(resources.reservations->memory_bytes), 1);
  }
  if (resources.limits) {
    page.line("CPU limit", cpus(resources.limits->nano_cpus), 1);
    page.line("Memory limit", memory(resources.limits->memory_bytes), 1);
    if (resources.limits->pids > 0) page.line("PIDs limit", fmt::format("{}", resources.limits->pids), 1);
  }
}

}  // namespace

std::string pretty_node(const model::Node& node) {
  Page page;
  page.line("ID", node.id);
  page.labels(node.spec.labels);
  page.line("Hostname", node.description.hostname);
  page.line("Joined at", format_time(node.created_at));
  page.heading("Status");
  page.line("State", titled(name_of(node.status.state)), 1);
  page.line("Message", node.status.message, 1);
  page.line("Availability", titled(name_of(node.spec.availability)), 1);
  page.line("Address", node.status.addr, 1);
  if (node.manager_status) {
    page.heading("Manager Status");
    page.line("Address", node.manager_status->addr, 1);
    page.line("Reachability", titled(name_of(node.manager_status->reachability)), 1);
    page.line("Leader", node.manager_status->leader ? "Yes" : "No", 1);
  }
  page.heading("Platform");
  page.line("Operating System", node.description.platform.os, 1);
  page.line("Architecture", node.description.platform.architecture, 1);
  page.heading("Resources");
  page.line("CPUs", cpus(node.description.resources.nano_cpus), 1);
  page.line("Memory", memory(node.description.resources.memory_bytes), 1);
  page.line("Engine Version", node.description.engine.engine_version);
  return page.take();
}

std::string pretty_service(const model::Service& service) {
  const auto& spec = service.spec;
  Page page;
  page.line("ID", service.id);
  page.line("Name", spec.name);
  page.labels(spec.labels);
  page.line("Service Mode", titled(mode_name(spec)));
  if (model::is_replicated(spec)) page.line("Replicas", fmt::format("{}", model::replicas_of(spec)), 1);
  add_status(page, service.update_status);
  if (spec.task_template.placement) {
    page.heading("Placement");
    page.line("Constraints", joined(spec.task_template.placement->constraints, ", "), 1);
    if (spec.task_template.placement->max_replicas > 0) {
      page.line("Max Replicas Per Node", fmt::format("{}", spec.task_template.placement->max_replicas), 1);
    }
  }
  add_update(page, "UpdateConfig", spec.update_config);
  add_update(page, "RollbackConfig", spec.rollback_config);
  if (spec.task_template.container_spec) add_container(page, *spec.task_template.container_spec);
  if (spec.task_template.resources) add_resources(page, *spec.task_template.resources);
  for (const auto& network : model::networks_of(spec)) page.line("Network", network.target);
  page.line("Endpoint Mode", model::is_dnsrr(spec) ? "dnsrr" : "vip");
  for (const auto& ip : service.endpoint.virtual_ips) page.line("Virtual IP", ip.addr, 1);
  page.line("Ports", format_ports(service.endpoint.ports, model::PublishMode::kIngress));
  page.line("Host ports", format_ports(service.endpoint.ports, model::PublishMode::kHost));
  return page.take();
}

}  // namespace mesh::meshctl
