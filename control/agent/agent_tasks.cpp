// Tasks: what the manager assigned, driven by next_step().
#include <csignal>

#include <fmt/format.h>

#include "base/log.h"
#include "control/agent/agent_impl.h"
#include "control/model/service.h"
#include "dataplane/port_holder.h"

namespace mesh::agent {
namespace {

using Container = ObservedContainer::State;

Attempt attempt_of(const Status& status) {
  if (status) return {Attempt::State::kDone, {}};
  return {Attempt::State::kFailed, status.error().message, wall_now()};
}

// What stays the same once a task is assigned; the rest of it may change (endpoint state, desired state).
void take_over(model::Task& ours, const model::Task& theirs) { ours = theirs; }

// Ports of mode=host were not asked for when the service was made: it was not known where its tasks would run.
Status require_host_ports(const std::vector<model::PortConfig>& ports, const std::string& host) {
  for (const model::PortConfig& port : ports) {
    const std::string why = dataplane::port_refusal(
        {to_protocol(model::protocol_name(model::protocol_of(port))), port.published_port}, host);
    if (!why.empty()) return fail(ErrorKind::kConflict, why);
  }
  return {};
}

}  // namespace

LocalTask* Agent::Impl::find(const std::string& task_id) {
  const auto found = tasks_.find(task_id);
  return found == tasks_.end() ? nullptr : found->second.get();
}

void Agent::Impl::load_tasks(const NodeRecords& records) {
  for (const TaskRecord& record : records.tasks) {
    auto local = std::make_unique<LocalTask>();
    local->task = record.task;
    local->facts.status = record.status;
    local->facts.absent = record.absent;
    const std::string id = container_id_of(record.task.id);
    if (auto seen = runtime_->observe(id)) local->facts.container = *seen;
    if (auto config = runtime_->read_config(id)) {
      local->facts.stop_grace = config->stop_grace;
      local->facts.has_health_check = config->health.has_value();
      local->config = std::move(*config);
    }
    tasks_.emplace(record.task.id, std::move(local));
  }
  // A container without a record: meshd was killed before it could write one. The manager assigns its task again.
  std::set<std::string> known;
  for (const auto& [id, local] : tasks_) known.insert(container_id_of(id));
  for (const std::string& id : runtime_->list().value_or(std::vector<std::string>{})) {
    if (known.contains(id)) continue;
    spdlog::warn("container without a task removed container={}", id);
    if (Status removed = runtime_->remove(id); !removed) spdlog::error("{}", removed.error().message);
  }
  for (auto& [id, local] : tasks_) {
    if (local->facts.container.state != Container::kRunning) continue;
    spdlog::info("container adopted task={} container={} pid={}", id, container_id_of(id), local->facts.container.pid);
    watch_monitor(*local);
    schedule_probe(*local);
  }
}

void Agent::Impl::take_assignments(const cluster::Assignments& assignments) {
  std::set<std::string> listed;
  for (const model::Task& task : assignments.tasks) {
    listed.insert(task.id);
    take_task(task);
  }
  for (auto& [id, local] : tasks_) {
    if (!listed.contains(id)) local->facts.absent = true;
  }
  unsaved_ = true;
  apply_soon();
  save_soon();
  poke_all();
}

void Agent::Impl::take_assignment_change(const cluster::AssignmentChange& change) {
  for (const model::Task& task : change.upsert) take_task(task);
  for (const std::string& id : change.removed) {
    if (LocalTask* local = find(id)) local->facts.absent = true;
  }
  unsaved_ = true;
  apply_soon();
  save_soon();
  poke_all();
}

void Agent::Impl::take_task(const model::Task& task) {
  auto& local = tasks_[task.id];
  if (!local) {
    local = std::make_unique<LocalTask>();
    // Another life of this host may have had it further: a status never goes back.
    local->facts.status = task.status;
  }
  take_over(local->task, task);
  local->facts.absent = false;
  // The manager asks again about a task that it does not know to be over.
  if (task.status.state < local->facts.status.state) {
    local->reported = false;
    report_soon();
  }
}

void Agent::Impl::poke_all() {
  std::vector<std::string> ids;
  ids.reserve(tasks_.size());
  for (const auto& [id, local] : tasks_) ids.push_back(id);
  for (const std::string& id : ids) poke(id);
}

void Agent::Impl::poke(const std::string& task_id) {
  // States follow each other at once until something has to be done or waited for; there are fewer than the limit.
  for (int i = 0; i < 16; ++i) {
    LocalTask* local = find(task_id);
    if (local == nullptr) return;
    local->facts.network_ready = linked_.contains(task_id);
    const bool had_network = wants_network(local->task, local->facts);
    const TaskStep step = next_step(local->task, local->facts, wall_now());
    const bool changed = step.status != local->facts.status;
    if (changed) set_status(*local, step.status);
    if (wants_network(local->task, local->facts) != had_network) apply_soon();
    if (step.action != TaskAction::kNone) {
      perform(*local, step.action);
      return;
    }
    if (step.wake) {
      if (!local->timer) local->timer = std::make_unique<boost::asio::steady_timer>(loop_);
      after(*local->timer, *step.wake - wall_now(), [this, task_id] { poke(task_id); });
    }
    if (!changed) return;
  }
}

void Agent::Impl::set_status(LocalTask& local, const model::TaskStatus& status) {
  spdlog::info("task {} state={} err=\"{}\"",
               local.task.mesh.container_name.empty() ? local.task.id : local.task.mesh.container_name,
               model::to_string(status.state), status.err);
  local.facts.status = status;
  local.reported = false;
  report_soon();
  save_soon();
}

void Agent::Impl::report_soon() {
  if (report_scheduled_) return;
  report_scheduled_ = true;
  boost::asio::post(loop_, guarded([this] {
                      report_scheduled_ = false;
                      report();
                    }));
}

void Agent::Impl::report() {
  if (!connected_) return;
  cluster::StatusReport statuses;
  for (auto& [id, local] : tasks_) {
    if (local->reported || local->facts.status.state == model::TaskState::kNew) continue;
    local->reported = true;
    const bool unhealthy = local->facts.health == Health::kUnhealthy && !model::is_terminal(local->facts.status.state);
    statuses.tasks.push_back({id, local->facts.status, unhealthy});
  }
  if (statuses.tasks.empty()) return;
  cluster::AgentMessage message;
  message.status = std::move(statuses);
  send(message);
}

void Agent::Impl::perform(LocalTask& local, TaskAction action) {
  spdlog::debug("task {} action={}", local.task.id, action_name(action));
  switch (action) {
    case TaskAction::kNone:
      return;
    case TaskAction::kPull:
      return pull_for(local);
    case TaskAction::kStart:
      return start_container(local);
    case TaskAction::kSendStopSignal:
      return send_signal(local, local.config ? local.config->stop_signal : SIGTERM, &TaskFacts::stop_signal);
    case TaskAction::kSendKill:
      return send_signal(local, SIGKILL, &TaskFacts::kill);
    case TaskAction::kRelease:
      return release_container(local);
    case TaskAction::kRemove:
      return remove_task(local);
  }
}

void Agent::Impl::pull_for(LocalTask& local) {
  local.facts.image = {Attempt::State::kRunning, {}};
  const std::string id = local.task.id;
  const auto& spec = local.task.spec.container_spec;
  const auto reference = ImageReference::parse(spec ? spec->image : "");
  if (!reference) {
    boost::asio::post(loop_,
                      guarded([this, id, error = reference.error()] { image_ready(id, std::unexpected(error)); }));
    return;
  }
  pull(*reference, {}, {}, [this, id](Result<PulledImage> pulled) { image_ready(id, pulled); });
}

void Agent::Impl::image_ready(const std::string& task_id, const Result<PulledImage>& pulled) {
  LocalTask* local = find(task_id);
  if (local == nullptr) return;
  const auto reference =
      ImageReference::parse(local->task.spec.container_spec ? local->task.spec.container_spec->image : "");
  const StoredImage* image = reference ? images_->find(*reference) : nullptr;
  if (image == nullptr) {
    local->facts.image = {Attempt::State::kFailed,
                          pulled ? "the image vanished from the store" : pulled.error().message};
    return poke(task_id);
  }
  // As Swarm: an image that is here is good enough when the registry is not.
  if (!pulled) spdlog::warn("local image used task={} reason=\"{}\"", task_id, pulled.error().message);
  auto config = make_container_config(local->task, *image);
  if (!config) {
    local->facts.image = {Attempt::State::kFailed, config.error().message};
    return poke(task_id);
  }
  local->facts.stop_grace = config->stop_grace;
  local->facts.has_health_check = config->health.has_value();
  local->config = std::move(*config);
  local->facts.image = {Attempt::State::kDone, {}};
  poke(task_id);
}

void Agent::Impl::start_container(LocalTask& local) {
  local.facts.start = {Attempt::State::kRunning, {}};
  const std::string id = local.task.id;
  const std::string netns = options_.runtime_dir + "/netns/" + id;
  actions_.run(
      [runtime = *runtime_, config = *local.config, images = images_->paths(), netns,
       ports = local.task.mesh.host_ports, host = hostname_of(options_)]() -> Result<ObservedContainer> {
        TRY(require_host_ports(ports, host));
        return runtime.start(config, images, netns);
      },
      guarded([this, id](Result<ObservedContainer> started) {
        LocalTask* there = find(id);
        if (there == nullptr) return;
        if (started) {
          there->facts.start = {Attempt::State::kDone, {}};
          there->facts.container = *started;
          watch_monitor(*there);
          schedule_probe(*there);
        } else {
          there->facts.start = {Attempt::State::kFailed, started.error().message};
          there->facts.container.state = Container::kPrepared;
        }
        poke(id);
      }));
}

void Agent::Impl::send_signal(LocalTask& local, int signal_number, Attempt TaskFacts::* attempt) {
  local.facts.*attempt = {Attempt::State::kRunning, {}};
  const std::string id = local.task.id;
  actions_.run([runtime = *runtime_, container = container_id_of(id),
                signal_number] { return runtime.signal(container, signal_number); },
               guarded([this, id, attempt](const Status& sent) {
                 LocalTask* there = find(id);
                 if (there == nullptr) return;
                 if (!sent) spdlog::error("{}", sent.error().message);
                 there->facts.*attempt = attempt_of(sent);
                 if (attempt == &TaskFacts::stop_signal) there->facts.stop_sent_at = wall_now();
                 // It may have ended without a monitor that says so.
                 observe(id);
               }));
}

void Agent::Impl::release_container(LocalTask& local) {
  local.facts.release = {Attempt::State::kRunning, {}};
  const std::string id = local.task.id;
  actions_.run([runtime = *runtime_, container = container_id_of(id)] { return runtime.release(container); },
               guarded([this, id](const Status& released) {
                 LocalTask* there = find(id);
                 if (there == nullptr) return;
                 there->facts.release = attempt_of(released);
                 if (!released) {
                   spdlog::error("{}; tried again in {}", released.error().message, format_duration(kRetryDelay));
                 }
                 poke(id);
               }));
}

void Agent::Impl::remove_task(LocalTask& local) {
  local.facts.removal = {Attempt::State::kRunning, {}};
  const std::string id = local.task.id;
  actions_.run([runtime = *runtime_, container = container_id_of(id)] { return runtime.remove(container); },
               guarded([this, id](const Status& removed) {
                 LocalTask* there = find(id);
                 if (there == nullptr) return;
                 if (!removed) {
                   spdlog::error("{}; tried again in {}", removed.error().message, format_duration(kRetryDelay));
                   there->facts.removal = attempt_of(removed);
                   return poke(id);
                 }
                 if (!there->facts.absent) {
                   // Assigned again while it was being removed: it begins anew.
                   there->facts.removal = {};
                   there->facts.container = {};
                   return poke(id);
                 }
                 tasks_.erase(id);
                 apply_soon();
                 save_soon();
                 if (tasks_.empty() && left_) finish_leaving();
               }));
}

void Agent::Impl::watch_monitor(LocalTask& local) {
  local.monitor.reset();
  if (local.facts.container.state != Container::kRunning) return;
  const std::string id = local.task.id;
  local.monitor = watch_process(local.facts.container.monitor_pid, [this, id] { observe(id); });
  if (!local.monitor) boost::asio::post(loop_, guarded([this, id] { observe(id); }));
}

void Agent::Impl::observe(const std::string& task_id) {
  actions_.run([runtime = *runtime_, container = container_id_of(task_id)] { return runtime.observe(container); },
               guarded([this, task_id](const Result<ObservedContainer>& seen) {
                 LocalTask* local = find(task_id);
                 if (local == nullptr) return;
                 if (!seen) {
                   spdlog::error("container of task {}: {}", task_id, seen.error().message);
                 } else {
                   local->facts.container = *seen;
                 }
                 if (local->facts.container.state != Container::kRunning) local->monitor.reset();
                 poke(task_id);
               }));
}

void Agent::Impl::schedule_probe(LocalTask& local) {
  if (!local.config || !local.config->health || local.probing) return;
  if (local.facts.container.state != Container::kRunning) return;
  if (!local.probe_timer) local.probe_timer = std::make_unique<boost::asio::steady_timer>(loop_);
  const Time at = next_probe_at(local.health, *local.config->health, local.facts.container.started_at);
  const std::string id = local.task.id;
  after(*local.probe_timer, at - wall_now(), [this, id] { probe(id); });
}

void Agent::Impl::probe(const std::string& task_id) {
  LocalTask* local = find(task_id);
  if (local == nullptr || local->probing || local->facts.container.state != Container::kRunning) return;
  if (local->health.health == Health::kUnhealthy) return;  // it is being stopped
  local->probing = true;
  const HealthPlan plan = *local->config->health;
  probes_.run(
      [runtime = *runtime_, container = container_id_of(task_id), plan] {
        ProbeResult result;
        result.started_at = wall_now();
        const auto outcome = runtime.exec(container, plan.argv, plan.timeout, kProbeOutputBytesMax);
        result.ended_at = wall_now();
        result.ok = outcome && !outcome->timed_out && outcome->exit_code == 0;
        result.output = !outcome             ? outcome.error().message
                        : outcome->timed_out ? "Health check exceeded timeout (" + format_duration(plan.timeout) + ")"
                                             : outcome->output;
        return result;
      },
      guarded([this, task_id](const ProbeResult& result) {
        LocalTask* there = find(task_id);
        if (there == nullptr) return;
        there->probing = false;
        if (there->facts.container.state != Container::kRunning) return;
        there->health =
            after_probe(std::move(there->health), *there->config->health, result, there->facts.container.started_at);
        if (!result.ok) spdlog::info("health check failed task={} output=\"{}\"", task_id, result.output);
        if (there->health.health == Health::kUnhealthy && there->facts.health != Health::kUnhealthy) {
          there->facts.unhealthy_since = wall_now();
          there->reported = false;
          report_soon();
        }
        there->facts.health = there->health.health;
        schedule_probe(*there);
        poke(task_id);
      }));
}

}  // namespace mesh::agent
