#include "tests/unit/manager_lab.h"

#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "control/manager/withdrawn.h"

namespace mesh::manager::lab {

using model::TaskState;

Lab::Lab(std::uint64_t seed, int hosts) : random_(seed) {
  open_manager();
  model::Cluster cluster;
  cluster.id = "cluster";
  EXPECT_TRUE(manager_->init_cluster(cluster, {}, now_));
  for (int i = 1; i <= hosts; ++i) add_host(fmt::format("node{}", i));
  tick();
}

void Lab::open_manager() {
  Options options;
  options.make_id = [this] { return fmt::format("{:06}", next_id_++); };
  auto manager = Manager::open(std::make_unique<SharedStore>(store_), now_, options);
  ASSERT_TRUE(manager) << manager.error().message;
  manager_ = std::move(*manager);
}

void Lab::add_host(const std::string& id) {
  NodeJoin join;
  join.id = id;
  join.hostname = id;
  join.role = hosts_.empty() ? model::NodeRole::kManager : model::NodeRole::kWorker;
  join.this_manager = hosts_.empty();
  ASSERT_TRUE(manager_->add_node(join, now_));
  hosts_[id].id = id;
  connect(id);
}

void Lab::connect(const std::string& id) {
  Host& host = hosts_.at(id);
  SessionStart start;
  start.description.hostname = id;
  start.description.platform = {"x86_64", "linux"};
  start.description.resources = {4'000'000'000, 8LL << 30, {}};
  start.address =
      IpAddress::v4(0xc0a80000U + static_cast<std::uint32_t>(std::distance(hosts_.begin(), hosts_.find(id))));
  start.addresses = {start.address};
  start.have = host.tables.version;
  const auto number = manager_->session_opened(id, start, now_);
  ASSERT_TRUE(number) << number.error().message;
  if (host.caught_up) host.left = now_;
  host.stale = now_ - host.left >= kAcknowledgeTimeout;
  host.up = true;
  host.connected = true;
  host.caught_up = false;
  host.inbox.clear();
  host.next_heartbeat = now_;
  for (const auto& [task_id, task] : host.tasks) report(host, task);
  manager_next_ = now_;
}

void Lab::disconnect(const std::string& id) {
  Host& host = hosts_.at(id);
  if (host.caught_up) host.left = now_;
  host.connected = host.caught_up = false;
  host.inbox.clear();
  manager_->session_closed(id, now_);
  manager_next_ = now_;
}

void Lab::cut(const std::string& id) { disconnect(id); }
void Lab::heal(const std::string& id) { connect(id); }

void Lab::crash_task(const std::string& task_id, std::int64_t exit_code) {
  for (auto& [id, host] : hosts_) {
    const auto task = host.tasks.find(task_id);
    if (task == host.tasks.end() || task->second.state != TaskState::kRunning) continue;
    task->second.state = exit_code == 0 ? TaskState::kComplete : TaskState::kFailed;
    task->second.exit_code = exit_code;
    task->second.err = exit_code == 0 ? "" : fmt::format("task: non-zero exit ({})", exit_code);
    report(host, task->second);
  }
}

void Lab::restart_manager() {
  manager_.reset();
  open_manager();
  for (auto& [id, host] : hosts_) {
    if (host.connected) connect(id);
  }
  manager_next_ = now_;
}

Duration Lab::between(Duration low, Duration high) {
  return low + Duration(static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>((high - low).count() + 1)));
}

void Lab::report(Host& host, const RunningTask& task) {
  if (!host.connected) return;
  TaskReport report;
  report.task_id = task.told.id;
  report.status.state = task.state;
  report.status.timestamp = now_;
  report.status.err = task.err;
  report.status.container_status = model::ContainerStatus{"c" + task.told.id, 1, task.exit_code};
  manager_->report(host.id, {report}, now_);
  manager_next_ = now_;
}

void Lab::advance_task(Host& host, RunningTask& task) {
  if (task.next > now_) return;
  task.next = now_ + between(step_min, step_max);
  const TaskState before = task.state;
  if (model::is_terminal(task.state)) {
    task.next = Time::max();
  } else if (task.told.desired_state > TaskState::kRunning || task.removed) {
    task.state = TaskState::kShutdown;
  } else if (never_starts && never_starts(task.told) && task.state >= TaskState::kPreparing) {
    return;
  } else {
    switch (task.state) {
      case TaskState::kAssigned:
        task.state = TaskState::kAccepted;
        break;
      case TaskState::kAccepted:
        task.state = TaskState::kPreparing;
        break;
      case TaskState::kPreparing:
        task.state = rejects && rejects(task.told) ? TaskState::kRejected : TaskState::kReady;
        if (task.state == TaskState::kRejected) task.err = "image not found";
        break;
      case TaskState::kReady:
        if (task.told.desired_state == TaskState::kRunning) task.state = TaskState::kStarting;
        break;
      case TaskState::kStarting:
        task.state = fail_one_in != 0 && roll(fail_one_in) == 0 ? TaskState::kFailed : TaskState::kRunning;
        if (task.state == TaskState::kFailed) task.err = "task: non-zero exit (1)";
        break;
      default:
        task.next = Time::max();
        break;
    }
  }
  if (task.state != before) report(host, task);
}

void Lab::run_host(Host& host) {
  if (!host.up) return;
  for (auto entry = host.tasks.begin(); entry != host.tasks.end();) {
    advance_task(host, entry->second);
    const bool gone = entry->second.removed && model::is_terminal(entry->second.state);
    entry = gone ? host.tasks.erase(entry) : std::next(entry);
  }
  if (!host.connected) return;
  while (!host.inbox.empty() && host.inbox.front().first <= now_) {
    auto [tables, change] = std::move(host.inbox.front().second);
    host.inbox.erase(host.inbox.begin());
    if (tables) host.tables = std::move(*tables);
    if (change) {
      ASSERT_EQ(change->from, host.tables.version) << host.id;
      const auto apply = [](auto& rows, const auto& upsert, const std::vector<std::string>& removed, auto key) {
        std::erase_if(rows, [&](const auto& row) { return std::ranges::find(removed, key(row)) != removed.end(); });
        for (const auto& row : upsert) {
          std::erase_if(rows, [&](const auto& old) { return key(old) == key(row); });
          rows.push_back(row);
        }
        std::ranges::sort(rows, {}, key);
      };
      const auto id = [](const auto& row) { return row.id; };
      apply(host.tables.nodes, change->upsert.nodes, change->removed_nodes, id);
      apply(host.tables.networks, change->upsert.networks, change->removed_networks, id);
      apply(host.tables.services, change->upsert.services, change->removed_services, id);
      apply(host.tables.endpoints, change->upsert.endpoints, change->removed_endpoints,
            [](const model::EndpointRow& row) { return row.task_id; });
      host.tables.version = change->upsert.version;
    }
    host.caught_up = true;
    host.stale = false;
    if (!host.mute) manager_->acknowledge(host.id, host.tables.version, {}, now_);
    manager_next_ = now_;
  }
  if (host.next_heartbeat <= now_) {
    std::vector<ForeignReport> nothing_held;  // simulated flows are short
    for (const model::ServiceRow& service : host.tables.services) {
      for (const model::PortRow& port : service.ports) {
        nothing_held.push_back({service.id, port.protocol, port.published, port.ring_version, {}});
      }
    }
    manager_->foreign(host.id, nothing_held, now_);
    manager_next_ = now_;
    manager_->heartbeat(host.id, now_);
    host.next_heartbeat = now_ + seconds(5);
  }
}

void Lab::deliver(const Delivery& delivery) {
  Host& host = hosts_.at(delivery.node_id);
  if (!host.connected) return;
  if (delivery.tables || delivery.table_change) {
    const Time at =
        std::max(now_ + between(acknowledge_min, acknowledge_max), host.inbox.empty() ? now_ : host.inbox.back().first);
    host.inbox.emplace_back(at, std::pair(delivery.tables, delivery.table_change));
  }
  const auto take = [&](const model::Task& task) {
    const auto [entry, added] = host.tasks.try_emplace(task.id);
    RunningTask& running = entry->second;
    // A host that lost its memory of a task that ended must not run it again.
    if (added) running.state = std::max(task.status.state, TaskState::kAssigned);
    running.told = task;
    running.removed = false;
    running.next = std::min(now_ + between(step_min, step_max), added ? Time::max() : running.next);
  };
  if (delivery.assignments) {
    std::set<std::string> all;
    for (const model::Task& task : *delivery.assignments) {
      all.insert(task.id);
      take(task);
    }
    for (auto& [id, task] : host.tasks) {
      if (all.contains(id)) continue;
      task.removed = true;
      task.next = now_;
    }
  }
  for (const model::Task& task : delivery.upsert) take(task);
  for (const std::string& id : delivery.removed) {
    const auto task = host.tasks.find(id);
    if (task == host.tasks.end()) continue;
    task->second.removed = true;
    task->second.next = now_;
  }
}

void Lab::tick() {
  const auto step = manager_->tick(now_);
  ASSERT_TRUE(step) << step.error().message;
  manager_next_ = step->next;
  for (const Delivery& delivery : step->deliveries) deliver(delivery);
  if (on_step) on_step(*step);
}

Time Lab::next_event() const {
  Time next = manager_next_;
  for (const auto& [id, host] : hosts_) {
    if (!host.up) continue;
    for (const auto& [task_id, task] : host.tasks) next = std::min(next, task.next);
    if (!host.connected) continue;
    next = std::min(next, host.next_heartbeat);
    if (!host.inbox.empty()) next = std::min(next, host.inbox.front().first);
  }
  return next;
}

bool Lab::run_until(const std::function<bool()>& condition, Duration most) {
  const Time end = now_ + most;
  while (!condition()) {
    const Time next = std::max(next_event(), now_);
    if (next > end) {
      now_ = end;
      return condition();
    }
    now_ = next;
    for (auto& [id, host] : hosts_) run_host(host);
    if (manager_next_ <= now_) tick();
    if (testing::Test::HasFatalFailure()) return false;
  }
  return true;
}

void Lab::run_for(Duration duration) {
  run_until([] { return false; }, duration);
}

std::string Lab::create(const std::string& name, std::uint64_t replicas,
                        const std::function<void(model::ServiceSpec&)>& adjust) {
  model::ServiceSpec spec;
  spec.name = name;
  spec.task_template.container_spec.emplace().image = "image:1";
  spec.mode.replicated.emplace().replicas = replicas;
  if (adjust) adjust(spec);
  const auto id = manager_->create_service(spec, now_);
  EXPECT_TRUE(id) << (id ? "" : id.error().message);
  manager_next_ = now_;
  return id.value_or("");
}

Status Lab::update(const std::string& service_id, const std::function<void(model::ServiceSpec&)>& adjust) {
  const model::Service* service = view().service(service_id);
  if (service == nullptr) return fail(ErrorKind::kNotFound, "no such service");
  model::ServiceSpec spec = service->spec;
  adjust(spec);
  manager_next_ = now_;
  return manager_->update_service(service_id, service->version.index, spec, ServiceRollback::kNo, now_);
}

Status Lab::set_label(const std::string& node_id, const std::string& key, const std::string& value) {
  const model::Node* node = view().node(node_id);
  model::NodeSpec spec = node->spec;
  spec.labels[key] = value;
  manager_next_ = now_;
  return manager_->update_node(node_id, node->version.index, spec, now_);
}

Status Lab::set_availability(const std::string& node_id, model::Availability availability) {
  const model::Node* node = view().node(node_id);
  model::NodeSpec spec = node->spec;
  spec.availability = availability;
  manager_next_ = now_;
  return manager_->update_node(node_id, node->version.index, spec, now_);
}

std::vector<std::string> Lab::running_on_hosts(const std::string& service_id) const {
  std::vector<std::string> result;
  for (const auto& [id, host] : hosts_) {
    for (const auto& [task_id, task] : host.tasks) {
      if (host.up && task.told.service_id == service_id && task.state == TaskState::kRunning) result.push_back(task_id);
    }
  }
  return result;
}

std::vector<const model::Task*> Lab::running(const std::string& service_id) const {
  std::vector<const model::Task*> result;
  for (const model::Task* task : view().tasks_of_service(service_id)) {
    if (task->status.state == TaskState::kRunning && task->desired_state == TaskState::kRunning) result.push_back(task);
  }
  return result;
}

bool Lab::converged(const std::string& service_id) const {
  const model::Service* service = view().service(service_id);
  if (service == nullptr) return false;
  const auto tasks = running(service_id);
  return tasks.size() == model::replicas_of(service->spec) && running_on_hosts(service_id).size() == tasks.size() &&
         std::ranges::all_of(tasks, [&](const model::Task* task) {
           return task->spec.container_spec == service->spec.task_template.container_spec;
         });
}

std::string Lab::describe(const std::string& service_id) const {
  std::string text;
  for (const model::Task* task : view().tasks_of_service(service_id)) {
    text += fmt::format("{} slot {} node {} {} -> {} endpoint {} err {}\n", task->id, task->slot, task->node_id,
                        model::to_string(task->status.state), model::to_string(task->desired_state),
                        static_cast<int>(task->mesh.endpoint), task->status.err);
  }
  return text;
}

std::string Lab::passed_on_early() const {
  const auto newest = owners_in(manager_->tables());
  for (const auto& [id, host] : hosts_) {
    if (!host.connected || host.stale || host.mute) continue;
    for (const auto& [what, owner] : owners_in(host.tables)) {
      const auto now = newest.find(what);
      if (now == newest.end() || now->second == owner) continue;
      return fmt::format("{} belongs to {}, and {} still holds it for {}", what, now->second, id, owner);
    }
  }
  return {};
}

}  // namespace mesh::manager::lab
