// The manager's life: opening, sessions, ticks.
#include "control/manager/manager.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/id.h"
#include "base/log.h"
#include "control/manager/address_book.h"
#include "control/manager/allocator.h"
#include "control/manager/drain.h"
#include "control/manager/manager_impl.h"
#include "control/manager/reconcile.h"
#include "control/manager/slot.h"

namespace mesh::manager {
namespace {

constexpr const char* kEpochCounter = "epoch";
// Passes of one tick. A pass makes the next one possible (an allocated task is scheduled, a settled ring goes on); each
// chain is short, and what is left over is done by the next tick.
constexpr int kPassesMax = 16;

}  // namespace

Manager::Impl::Impl(std::unique_ptr<store::Store> given, Options wanted, Time now)
    : store(std::move(given)), options(std::move(wanted)), started(now) {
  if (!options.make_id) options.make_id = mesh::make_id;
}

Status Manager::Impl::start(Time now) {
  const store::Snapshot snapshot = TRY(store->snapshot());
  TRY(view.load(snapshot));
  watch = TRY(store->watch(view.version(), [this](const store::Batch& batch) {
    if (const Status applied = view.apply(batch); !applied) {
      spdlog::error("the view does not follow the store error=\"{}\"", applied.error().message);
    }
    if (listener) listener(batch);
  }));
  Draft first = draft(now);
  const std::uint64_t epoch = view.counter(kEpochCounter) + 1;
  first.put_counter(kEpochCounter, epoch);
  TRY(commit(first, {}, store::Durability::kDurable));
  publisher.emplace(epoch);
  return {};
}

Status Manager::Impl::commit(const Draft& draft, const std::vector<store::Precondition>& preconditions,
                             store::Durability durability) {
  const std::vector<store::Change> changes = draft.changes();
  // Only passes of tick() can be larger than a commit; their changes are valid in any order, a part at a time.
  for (std::size_t at = 0; at < changes.size(); at += store::kChangesMax) {
    const std::size_t end = std::min(changes.size(), at + store::kChangesMax);
    const std::vector<store::Change> part(changes.begin() + static_cast<std::ptrdiff_t>(at),
                                          changes.begin() + static_cast<std::ptrdiff_t>(end));
    TRY(store->commit(part, at == 0 ? preconditions : std::vector<store::Precondition>{}, durability));
  }
  return {};
}

Duration Manager::Impl::period() const {
  const model::Cluster* cluster = view.cluster();
  const Duration period = cluster != nullptr ? cluster->spec.dispatcher.heartbeat_period : Duration{};
  return period == Duration{} ? kHeartbeatPeriod : period;
}

Time Manager::Impl::update_liveness(Draft& draft) {
  Time next = Time::max();
  for (const auto& [id, row] : store::Rows<model::Node>(draft.view().nodes())) {
    const auto last = heard.find(id);
    const Heard so_far{last == heard.end() ? Time{} : last->second, started};
    const Liveness now = liveness(row->status.state, so_far, period(), draft.now());
    next = std::min(next, now.until);
    if (now.state == row->status.state) continue;
    model::Node node = *row;
    node.status.state = now.state;
    node.status.message = now.state == model::NodeState::kDown ? "heartbeat failure" : "";
    if (now.state == model::NodeState::kDown) {
      spdlog::warn("node is down node={} hostname={}", id, row->description.hostname);
      publisher->close(id);  // it must say hello again
      told.erase(id);
    }
    draft.put(std::move(node));
  }
  return next;
}

void Manager::Impl::forgive_lost_time(Time now) {
  constexpr Duration kTolerance = std::chrono::seconds(1);
  const bool set_back = now < last_tick;
  const bool overslept = promised != Time::max() && now > promised + kTolerance;
  const Duration shift = now - last_tick;
  last_tick = now;
  if (!set_back && !overslept) return;
  for (auto& [id, last] : heard) last = std::min(last + shift, now);
  started += shift;
}

void Manager::Impl::apply_report(Draft& draft, const std::string& node_id, const TaskReport& report) const {
  using model::TaskState;
  const model::Task* row = draft.view().task(report.task_id);
  const TaskState state = report.status.state;
  if (row == nullptr || row->node_id != node_id || row->status.state < TaskState::kAssigned) return;
  // A task only moves forward; orphaned and remove are no states that a host reports.
  if (state < row->status.state || state < TaskState::kAccepted || state >= TaskState::kRemove) return;
  model::Task task = *row;
  task.status = report.status;
  if (task.status.timestamp == Time{}) task.status.timestamp = draft.now();
  if (state == TaskState::kRunning && task.mesh.running_since == Time{}) task.mesh.running_since = draft.now();
  if (report.unhealthy && is_live(task)) {
    task.mesh.endpoint = std::max(task.mesh.endpoint, model::EndpointState::kDraining);
  }
  if (model::is_terminal(state) && task.mesh.ended_at == Time{}) task.mesh.ended_at = draft.now();
  draft.put(std::move(task));
}

void Manager::Impl::name_laggards(Time now) {
  std::vector<std::string> late = publisher->laggards(now);
  const auto hostname = [&](const std::string& id) {
    const model::Node* node = view.node(id);
    return node != nullptr ? node->description.hostname : "";
  };
  for (const std::string& id : late) {
    if (std::ranges::find(laggards, id) != laggards.end()) continue;
    spdlog::warn("host does not acknowledge its tables, the others go on without it node={} hostname={}", id,
                 hostname(id));
  }
  const std::vector<std::string> open = publisher->open_nodes();
  for (const std::string& id : laggards) {
    if (std::ranges::find(late, id) != late.end() || std::ranges::find(open, id) == open.end()) continue;
    spdlog::info("host acknowledges its tables again node={} hostname={}", id, hostname(id));
  }
  laggards = std::move(late);
}

model::Task task_for_host(const model::Task& task) {
  model::Task copy = task;
  copy.desired_state = told_state(task);
  return copy;
}

model::Task comparable(model::Task task) {
  task.version = {};
  task.updated_at = {};
  task.status = {};
  task.mesh.endpoint = {};
  // Told of a task that is to run: it is unhealthy and drained, its host may stop it.
  if (task.desired_state > model::TaskState::kRunning) task.mesh.stop_allowed = {};
  task.mesh.desired_since = {};
  task.mesh.running_since = {};
  task.mesh.ended_at = {};
  for (model::NetworkAttachment& attachment : task.networks_attachments) {
    attachment.network.version = {};
    attachment.network.updated_at = {};
  }
  return task;
}

namespace {

std::vector<const model::Task*> tasks_for_host(const store::View& view, const std::string& node_id) {
  std::vector<const model::Task*> tasks = view.tasks_of_node(node_id);
  std::erase_if(tasks, [](const model::Task* task) { return task->status.state < model::TaskState::kAssigned; });
  return tasks;
}

}  // namespace

Delivery Manager::Impl::deliver(const std::string& node_id) {
  Delivery delivery{.node_id = node_id};
  Publisher::Outgoing outgoing = publisher->take_outgoing(node_id);
  delivery.tables = std::move(outgoing.tables);
  delivery.table_change = std::move(outgoing.change);
  const bool first = !told.contains(node_id);
  std::map<std::string, Told>& before = told[node_id];
  if (first) delivery.assignments.emplace();
  std::set<std::string_view> present;
  for (const model::Task* row : tasks_for_host(view, node_id)) {
    present.insert(row->id);
    const auto old = before.find(row->id);
    if (old != before.end() && old->second.version == row->version.index) continue;
    model::Task task = task_for_host(*row);
    model::Task key = comparable(task);
    const bool same = old != before.end() && old->second.task == key;
    before.insert_or_assign(row->id, Told{row->version.index, std::move(key)});
    if (first) {
      delivery.assignments->push_back(std::move(task));
    } else if (!same) {
      delivery.upsert.push_back(std::move(task));
    }
  }
  for (auto old = before.begin(); old != before.end();) {
    if (present.contains(old->first)) {
      ++old;
    } else {
      delivery.removed.push_back(old->first);
      old = before.erase(old);
    }
  }
  return delivery;
}

Manager::Manager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Manager::~Manager() = default;

Result<std::unique_ptr<Manager>> Manager::open(std::unique_ptr<store::Store> store, Time now, Options options) {
  auto impl = std::make_unique<Impl>(std::move(store), std::move(options), now);
  TRY(impl->start(now));
  return std::unique_ptr<Manager>(new Manager(std::move(impl)));
}

const store::View& Manager::view() const { return impl_->view; }
store::Store& Manager::store() { return *impl_->store; }
void Manager::on_change(std::function<void(const store::Batch&)> listener) { impl_->listener = std::move(listener); }

Result<std::uint16_t> Manager::session_opened(const std::string& node_id, const SessionStart& start, Time now) {
  Draft draft = impl_->draft(now);
  const model::Node* row = draft.view().node(node_id);
  if (row == nullptr) {
    return fail(ErrorKind::kNotFound, fmt::format("node {} is not part of this cluster; it was removed: leave and join "
                                                  "again",
                                                  node_id));
  }
  model::Node node = *row;
  if (!node.mesh) node.mesh.emplace();
  if (node.mesh->number == 0) node.mesh->number = TRY(allocate_node_number(draft.view()));
  node.description = start.description;
  node.mesh->address = start.address;
  node.mesh->addresses = start.addresses;
  node.mesh->interfaces = start.interfaces;
  node.mesh->connected_routes = start.connected_routes;
  node.status = {.state = model::NodeState::kReady, .addr = start.address.to_string()};
  const std::uint16_t number = node.mesh->number;
  draft.put(std::move(node));
  TRY(impl_->commit(draft, {}, store::Durability::kDurable));
  impl_->heard[node_id] = now;
  impl_->told.erase(node_id);
  impl_->publisher->open(node_id, start.have, now);
  return number;
}

void Manager::session_closed(const std::string& node_id, Time) {
  impl_->publisher->close(node_id);
  impl_->told.erase(node_id);
}

void Manager::heartbeat(const std::string& node_id, Time now) {
  if (impl_->publisher->is_open(node_id)) impl_->heard[node_id] = now;
}

void Manager::report(const std::string& node_id, const std::vector<TaskReport>& tasks, Time now) {
  heartbeat(node_id, now);
  for (const TaskReport& task : tasks) impl_->reports.emplace_back(node_id, task);
}

void Manager::acknowledge(const std::string& node_id, model::TableVersion version,
                          const std::vector<std::string>& problems, Time now) {
  heartbeat(node_id, now);
  impl_->publisher->acknowledge(node_id, version);
  if (problems.empty()) {
    impl_->problems.erase(node_id);
  } else {
    impl_->problems[node_id] = problems;
  }
}

void Manager::network(const std::string& node_id, const HostNetwork& host, Time now) {
  heartbeat(node_id, now);
  const model::Node* row = impl_->view.node(node_id);
  if (row == nullptr || !row->mesh) return;
  model::Node node = *row;
  node.mesh->connected_routes = host.connected;
  if (!host.addresses.empty()) {
    node.mesh->addresses = host.addresses;
    node.mesh->interfaces = host.interfaces;
  }
  if (node == *row) return;
  Draft draft = impl_->draft(now);
  draft.put(std::move(node));
  if (const Status kept = impl_->commit(draft, {}, store::Durability::kRelaxed); !kept) {
    spdlog::error("routes and addresses of a host are not kept node={} error=\"{}\"", node_id, kept.error().message);
  }
}

void Manager::foreign(const std::string& node_id, const std::vector<ForeignReport>& reports, Time now) {
  heartbeat(node_id, now);
  const model::Node* node = impl_->view.node(node_id);
  if (node == nullptr || !node->mesh) return;
  for (const ForeignReport& report : reports) {
    impl_->held.push_back({node->mesh->number, fmt::format("{}/{}/{}", report.service_id, report.protocol, report.port),
                           report.ring_version, report.held});
  }
}

Result<Step> Manager::tick(Time now) {
  Step step;
  impl_->forgive_lost_time(now);
  for (int pass = 0; pass < kPassesMax; ++pass) {
    Draft draft = impl_->draft(now);
    const Time liveness_until = impl_->update_liveness(draft);
    for (const auto& [node_id, report] : impl_->reports) impl_->apply_report(draft, node_id, report);
    reconcile(draft, impl_->publisher->settled(now), impl_->held);
    step.next = std::min(draft.next_wake(), liveness_until);
    const bool changed = !draft.changes().empty();
    if (changed) TRY(impl_->commit(draft, {}, store::Durability::kRelaxed));
    impl_->reports.clear();
    impl_->held.clear();
    const bool published = impl_->publisher->publish(impl_->view, now);
    if (!changed && !published) break;
    if (pass + 1 == kPassesMax) step.next = now;
  }
  impl_->promised = step.next;
  impl_->name_laggards(now);
  for (const std::string& node_id : impl_->publisher->open_nodes()) {
    Delivery delivery = impl_->deliver(node_id);
    const bool empty = !delivery.tables && !delivery.table_change && !delivery.assignments && delivery.upsert.empty() &&
                       delivery.removed.empty();
    if (!empty) step.deliveries.push_back(std::move(delivery));
  }
  return step;
}

const model::EndpointTables& Manager::tables() const { return impl_->publisher->tables(); }

std::vector<model::Task> Manager::assignments_for(const std::string& node_id) const {
  std::vector<model::Task> result;
  for (const model::Task* task : tasks_for_host(impl_->view, node_id)) result.push_back(task_for_host(*task));
  return result;
}

Duration Manager::heartbeat_period() const { return impl_->period(); }

IpAddress Manager::gateway_v4() const {
  const model::Network* ingress = impl_->view.ingress_network();
  return ingress != nullptr && ingress->mesh ? gateway_of(ingress->mesh->subnet_v4) : IpAddress{};
}

IpAddress Manager::gateway_v6() const {
  const model::Network* ingress = impl_->view.ingress_network();
  return ingress != nullptr && ingress->mesh && ingress->mesh->subnet_v6 ? gateway_of(*ingress->mesh->subnet_v6)
                                                                         : IpAddress{};
}

const std::map<std::string, std::vector<std::string>>& Manager::problems() const { return impl_->problems; }

}  // namespace mesh::manager
