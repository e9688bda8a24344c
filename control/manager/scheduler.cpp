#include "control/manager/scheduler.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/manager/constraint.h"
#include "control/manager/slot.h"

namespace mesh::manager {
namespace {

std::string version_key(const model::Task& task) {
  return fmt::format("{}/{}", task.service_id, task.mesh.spec_version);
}

const model::ResourceReservations* reservations_of(const model::Task& task) {
  return task.spec.resources && task.spec.resources->reservations ? &*task.spec.resources->reservations : nullptr;
}

std::uint64_t count_of(const std::map<std::string, std::uint64_t>& counts, const std::string& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

void occupy(Candidate& candidate, const model::Task& task) {
  ++candidate.tasks;
  ++candidate.tasks_of_service[task.service_id];
  if (const auto* reserved = reservations_of(task)) {
    candidate.nano_cpus_free -= reserved->nano_cpus;
    candidate.memory_bytes_free -= reserved->memory_bytes;
  }
  for (const model::PortConfig& port : task.mesh.host_ports) {
    if (port.published_port != 0) candidate.host_ports.push_back(model::published_port(port));
  }
}

bool has_resources(const Candidate& candidate, const model::Task& task) {
  const auto* wanted = reservations_of(task);
  return wanted == nullptr ||
         (wanted->nano_cpus <= candidate.nano_cpus_free && wanted->memory_bytes <= candidate.memory_bytes_free);
}

// The plugins that a host names, if it names any of that type: volume and log drivers of the task.
bool has_plugins(const model::Node& node, const model::Task& task) {
  const auto has = [&](std::string_view type, const std::string& name) {
    const auto& plugins = node.description.engine.plugins;
    if (std::ranges::none_of(plugins, [&](const auto& p) { return p.type == type; })) return true;
    return std::ranges::any_of(plugins, [&](const auto& p) { return p.type == type && p.name == name; });
  };
  if (task.spec.log_driver && !task.spec.log_driver->name.empty() && task.spec.log_driver->name != "none" &&
      !has("Log", task.spec.log_driver->name)) {
    return false;
  }
  if (!task.spec.container_spec) return true;
  return std::ranges::all_of(task.spec.container_spec->mounts, [&](const model::Mount& mount) {
    if (!mount.volume_options || !mount.volume_options->driver_config) return true;
    const std::string& name = mount.volume_options->driver_config->name;
    return name.empty() || name == "local" || has("Volume", name);
  });
}

bool has_host_ports(const Candidate& candidate, const model::Task& task) {
  return std::ranges::none_of(task.mesh.host_ports, [&](const model::PortConfig& port) {
    return port.published_port != 0 &&
           std::ranges::find(candidate.host_ports, model::published_port(port)) != candidate.host_ports.end();
  });
}

bool has_room_for_replica(const Candidate& candidate, const model::Task& task) {
  const std::uint64_t most = task.spec.placement ? task.spec.placement->max_replicas : 0;
  return most == 0 || count_of(candidate.tasks_of_service, task.service_id) < most;
}

// "1 node" or "3 nodes".
std::string nodes(std::size_t count) { return fmt::format("{} node{}", count, count == 1 ? "" : "s"); }

std::string explain_one(Filter filter, std::size_t count) {
  switch (filter) {
    case Filter::kReady:
      return nodes(count) + " not available for new tasks";
    case Filter::kResources:
      return "insufficient resources on " + nodes(count);
    case Filter::kPlugin:
      return "missing plugin on " + nodes(count);
    case Filter::kConstraint:
      return "scheduling constraints not satisfied on " + nodes(count);
    case Filter::kPlatform:
      return "unsupported platform on " + nodes(count);
    case Filter::kHostPort:
      return "host-mode port already in use on " + nodes(count);
    case Filter::kMaxReplicas:
      return "max replicas per node limit exceed";
  }
  return "unknown";
}

// The branch of the spread tree that a node belongs to; nodes without the label are one branch.
std::string branch_of(const model::Node& node, const std::string& descriptor) {
  const auto value = [](const model::Labels& labels, const std::string& key) {
    const auto found = labels.find(key);
    return found == labels.end() ? std::string{} : found->second;
  };
  if (descriptor.starts_with("node.labels.")) return value(node.spec.labels, descriptor.substr(12));
  if (descriptor.starts_with("engine.labels.")) return value(node.description.engine.labels, descriptor.substr(14));
  return {};
}

// Follows the preferences down the tree: at each level only the branch with the fewest tasks of the service goes on.
// Tasks of nodes that did not pass the filters do not count, as they say nothing about where this one can go.
std::vector<const Candidate*> narrow(std::vector<const Candidate*> fit, const model::Task& task) {
  if (!task.spec.placement) return fit;
  for (const model::PlacementPreference& preference : task.spec.placement->preferences) {
    if (!preference.spread) continue;
    std::map<std::string, std::uint64_t> load;
    for (const Candidate* candidate : fit) {
      load[branch_of(*candidate->node, preference.spread->descriptor)] +=
          count_of(candidate->tasks_of_service, task.service_id);
    }
    const auto least = std::ranges::min_element(load, {}, [](const auto& entry) { return entry.second; });
    std::erase_if(fit, [&](const Candidate* candidate) {
      return branch_of(*candidate->node, preference.spread->descriptor) != least->first;
    });
  }
  return fit;
}

}  // namespace

std::optional<Filter> first_failing(const Candidate& candidate, const model::Task& task) {
  const model::Node& node = *candidate.node;
  if (node.status.state != model::NodeState::kReady || node.spec.availability != model::Availability::kActive) {
    return Filter::kReady;
  }
  if (!has_resources(candidate, task)) return Filter::kResources;
  if (!has_plugins(node, task)) return Filter::kPlugin;
  if (!satisfies_constraints(node, task.spec)) return Filter::kConstraint;
  if (!satisfies_platform(node, task.spec)) return Filter::kPlatform;
  if (!has_host_ports(candidate, task)) return Filter::kHostPort;
  if (!has_room_for_replica(candidate, task)) return Filter::kMaxReplicas;
  return std::nullopt;
}

std::string explain(const std::map<Filter, std::size_t>& rejected) {
  if (rejected.empty()) return "no suitable node";
  std::vector<std::pair<Filter, std::size_t>> order(rejected.begin(), rejected.end());
  std::ranges::sort(order, [](const auto& a, const auto& b) {
    return std::tuple(b.second, a.first) < std::tuple(a.second, b.first);
  });
  std::string text;
  for (const auto& [filter, count] : order) text += (text.empty() ? "" : "; ") + explain_one(filter, count);
  return fmt::format("no suitable node ({})", text);
}

std::map<std::string, Candidate> candidates_of(const store::View& view, Time now) {
  std::map<std::string, Candidate> candidates;
  for (const auto& [id, node] : view.nodes()) {
    Candidate& candidate = candidates[id];
    candidate.node = node.get();
    candidate.nano_cpus_free = node->description.resources.nano_cpus;
    candidate.memory_bytes_free = node->description.resources.memory_bytes;
  }
  for (const auto& [id, task] : view.tasks()) {
    const auto found = candidates.find(task->node_id);
    if (found == candidates.end() || task->status.state < model::TaskState::kAssigned) continue;
    if (is_live(*task) && !model::is_terminal(task->status.state)) occupy(found->second, *task);
    const bool failed =
        task->status.state == model::TaskState::kFailed || task->status.state == model::TaskState::kRejected;
    if (failed && task->status.timestamp + kFailureWindow > now) ++found->second.failures[version_key(*task)];
  }
  return candidates;
}

Placed place(const std::map<std::string, Candidate>& candidates, const model::Task& task) {
  std::vector<const Candidate*> fit;
  std::map<Filter, std::size_t> rejected;
  for (const auto& [id, candidate] : candidates) {
    if (!task.node_id.empty() && id != task.node_id) continue;  // a global service's task has its node already
    if (const auto failing = first_failing(candidate, task)) {
      ++rejected[*failing];
    } else {
      fit.push_back(&candidate);
    }
  }
  if (fit.empty()) return {{}, explain(rejected)};
  fit = narrow(std::move(fit), task);
  const auto best = std::ranges::min_element(fit, {}, [&](const Candidate* candidate) {
    const std::uint64_t failures = count_of(candidate->failures, version_key(task));
    return std::tuple(failures >= kFailuresMax ? failures : 0, count_of(candidate->tasks_of_service, task.service_id),
                      candidate->tasks, candidate->node->id);
  });
  return {(*best)->node->id, {}};
}

void schedule(Draft& draft) {
  std::vector<const model::Task*> pending;
  for (const auto& [id, task] : draft.view().tasks()) {
    if (task->status.state == model::TaskState::kPending && is_live(*task)) pending.push_back(task.get());
  }
  if (pending.empty()) return;
  std::ranges::sort(pending, {}, [](const model::Task* t) { return std::tuple(t->created_at, t->slot, t->id); });
  std::map<std::string, Candidate> candidates = candidates_of(draft.view(), draft.now());
  for (const model::Task* row : pending) {
    const Placed placed = place(candidates, *row);
    model::Task task = *row;
    if (placed.node_id.empty()) {
      if (task.status.err == placed.why_not) continue;
      task.status.err = placed.why_not;
    } else {
      Candidate& candidate = candidates.at(placed.node_id);
      task.node_id = placed.node_id;
      task.mesh.node_hostname = candidate.node->description.hostname;
      task.status.state = model::TaskState::kAssigned;
      task.status.message = "scheduler assigned task to node";
      task.status.err.clear();
      occupy(candidate, task);
    }
    task.status.timestamp = draft.now();
    draft.put(std::move(task));
  }
}

}  // namespace mesh::manager
