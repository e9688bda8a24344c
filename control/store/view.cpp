#include "control/store/view.h"

#include <fmt/format.h>

#include "control/store/checks.h"

namespace mesh::store {
namespace {

template <class T>
const T* find_row(const Rows<T>& rows, std::string_view id) {
  const auto found = rows.find(id);
  return found == rows.end() ? nullptr : found->second.get();
}

void set_version(model::Object& object, std::uint64_t version) { object.version.index = version; }
void set_version(model::PortState& port, std::uint64_t version) { port.version.index = version; }
void set_version(model::Withdrawn& withdrawn, std::uint64_t version) { withdrawn.version.index = version; }
void set_version(model::Network& network, std::uint64_t version) {
  if (!network.mesh) network.mesh.emplace();
  network.mesh->version.index = version;
}

template <class T>
Result<T> decode_row(const Change& change, std::uint64_t version) {
  const std::string what = fmt::format("{} {} in the store", to_string(change.kind), change.id);
  const Json json = TRY_IN(what, parse_json(*change.json));
  T row = TRY_IN(what, decode<T>(json));
  if (row.id != change.id) return fail(ErrorKind::kInternal, fmt::format("{} says that its id is {}", what, row.id));
  set_version(row, version);
  return row;
}

const std::string& name_of(const model::Node& node) { return node.description.hostname; }
const std::string& name_of(const model::Service& service) { return service.spec.name; }
const std::string& name_of(const model::Task& task) { return task.mesh.container_name; }
const std::string& name_of(const model::Network& network) { return network.name; }

template <class T>
Result<const T*> find_by(const Rows<T>& rows, std::string_view what, std::string_view name) {
  if (const T* row = find_row(rows, name)) return row;
  std::vector<const T*> named, prefixed;
  for (const auto& [id, row] : rows) {
    if (!name.empty() && name_of(*row) == name) named.push_back(row.get());
    if (!name.empty() && id.starts_with(name)) prefixed.push_back(row.get());
  }
  const auto& matches = named.empty() ? prefixed : named;
  if (matches.empty()) return fail(ErrorKind::kNotFound, fmt::format("{} {} not found", what, name));
  if (matches.size() > 1) {
    return fail(ErrorKind::kInvalid, fmt::format("{} {} is ambiguous ({} matches found)", what, name, matches.size()));
  }
  return matches.front();
}

}  // namespace

const model::Cluster* View::cluster() const { return clusters_.empty() ? nullptr : clusters_.begin()->second.get(); }
const model::Node* View::node(std::string_view id) const { return find_row(nodes_, id); }
const model::Service* View::service(std::string_view id) const { return find_row(services_, id); }
const model::Task* View::task(std::string_view id) const { return find_row(tasks_, id); }
const model::Network* View::network(std::string_view id) const { return find_row(networks_, id); }
const model::PortState* View::port(std::string_view id) const { return find_row(ports_, id); }
const model::Withdrawn* View::withdrawn(std::string_view id) const { return find_row(withdrawn_, id); }

const model::Network* View::ingress_network() const {
  for (const auto& [id, network] : networks_) {
    if (network->ingress) return network.get();
  }
  return nullptr;
}

std::uint64_t View::counter(std::string_view name) const {
  const auto found = counters_.find(name);
  return found == counters_.end() ? 0 : found->second;
}

Result<const model::Node*> View::find_node(std::string_view name) const { return find_by(nodes_, "node", name); }
Result<const model::Service*> View::find_service(std::string_view name) const {
  return find_by(services_, "service", name);
}
Result<const model::Task*> View::find_task(std::string_view name) const { return find_by(tasks_, "task", name); }
Result<const model::Network*> View::find_network(std::string_view name) const {
  return find_by(networks_, "network", name);
}

std::vector<const model::Task*> View::tasks_of_service(std::string_view service_id) const {
  std::vector<const model::Task*> result;
  const auto found = tasks_of_service_.find(service_id);
  if (found == tasks_of_service_.end()) return result;
  for (const std::string& id : found->second) result.push_back(tasks_.at(id).get());
  return result;
}

std::vector<const model::Task*> View::tasks_of_node(std::string_view node_id) const {
  std::vector<const model::Task*> result;
  const auto found = tasks_of_node_.find(node_id);
  if (found == tasks_of_node_.end()) return result;
  for (const std::string& id : found->second) result.push_back(tasks_.at(id).get());
  return result;
}

std::vector<std::string> View::services_with_tasks() const {
  std::vector<std::string> result;
  for (const auto& [id, tasks] : tasks_of_service_) result.push_back(id);
  return result;
}

void View::index(const model::Task& task) {
  tasks_of_service_[task.service_id].insert(task.id);
  if (!task.node_id.empty()) tasks_of_node_[task.node_id].insert(task.id);
}

void View::unindex(const model::Task& task) {
  const auto remove = [&](Index& index, const std::string& key) {
    const auto found = index.find(key);
    if (found == index.end()) return;
    found->second.erase(task.id);
    if (found->second.empty()) index.erase(found);
  };
  remove(tasks_of_service_, task.service_id);
  remove(tasks_of_node_, task.node_id);
}

template <class T>
static void put_row(Rows<T>& rows, T row) {
  std::string id = row.id;
  rows.insert_or_assign(std::move(id), std::make_shared<const T>(std::move(row)));
}

void View::put(model::Cluster row) { put_row(clusters_, std::move(row)); }
void View::put(model::Node row) { put_row(nodes_, std::move(row)); }
void View::put(model::Service row) { put_row(services_, std::move(row)); }
void View::put(model::Network row) { put_row(networks_, std::move(row)); }
void View::put(model::PortState row) { put_row(ports_, std::move(row)); }
void View::put(model::Withdrawn row) { put_row(withdrawn_, std::move(row)); }
void View::put_counter(const std::string& name, std::uint64_t value) { counters_[name] = value; }
void View::put(model::Task row) {
  if (const model::Task* old = task(row.id)) unindex(*old);
  index(row);
  put_row(tasks_, std::move(row));
}

void View::erase(Kind kind, const std::string& id) {
  switch (kind) {
    case Kind::kCluster:
      clusters_.erase(id);
      break;
    case Kind::kNode:
      nodes_.erase(id);
      break;
    case Kind::kService:
      services_.erase(id);
      break;
    case Kind::kNetwork:
      networks_.erase(id);
      break;
    case Kind::kPort:
      ports_.erase(id);
      break;
    case Kind::kCounter:
      counters_.erase(id);
      break;
    case Kind::kWithdrawn:
      withdrawn_.erase(id);
      break;
    case Kind::kTask:
      if (const model::Task* old = task(id)) unindex(*old);
      tasks_.erase(id);
      break;
  }
}

Status View::apply_one(const Change& change, std::uint64_t version) {
  if (!change.json) {
    erase(change.kind, change.id);
    return {};
  }
  switch (change.kind) {
    case Kind::kCluster:
      put(TRY(decode_row<model::Cluster>(change, version)));
      break;
    case Kind::kNode:
      put(TRY(decode_row<model::Node>(change, version)));
      break;
    case Kind::kService:
      put(TRY(decode_row<model::Service>(change, version)));
      break;
    case Kind::kTask:
      put(TRY(decode_row<model::Task>(change, version)));
      break;
    case Kind::kNetwork:
      put(TRY(decode_row<model::Network>(change, version)));
      break;
    case Kind::kPort:
      put(TRY(decode_row<model::PortState>(change, version)));
      break;
    case Kind::kWithdrawn:
      put(TRY(decode_row<model::Withdrawn>(change, version)));
      break;
    case Kind::kCounter: {
      const Json json = TRY(parse_json(*change.json));
      put_counter(change.id, TRY(decode<std::uint64_t>(json)));
      break;
    }
  }
  return {};
}

Status View::apply(const Batch& batch) {
  View written;  // decoded first, so that an error changes nothing
  for (const Change& change : batch.changes) {
    if (change.json) TRY(written.apply_one(change, batch.version));
  }
  for (const Change& change : batch.changes) {
    if (!change.json) erase(change.kind, change.id);
  }
  const auto take = [](auto& to, const auto& from) {
    for (const auto& [id, row] : from) to.insert_or_assign(id, row);
  };
  take(clusters_, written.clusters_);
  take(nodes_, written.nodes_);
  take(services_, written.services_);
  take(networks_, written.networks_);
  take(ports_, written.ports_);
  take(withdrawn_, written.withdrawn_);
  take(counters_, written.counters_);
  for (const auto& [id, row] : written.tasks_) {
    if (const model::Task* old = task(id)) unindex(*old);
    index(*row);
    tasks_.insert_or_assign(id, row);
  }
  version_ = batch.version;
  return {};
}

Status View::load(const Snapshot& snapshot) {
  View loaded;
  for (const Record& record : snapshot.records) {
    TRY(loaded.apply_one({record.kind, record.id, record.json}, record.version));
  }
  loaded.version_ = snapshot.version;
  *this = std::move(loaded);
  return {};
}

}  // namespace mesh::store
