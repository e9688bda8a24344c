#include "control/agent/held_tables.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace mesh::agent {
namespace {

template <class Name>
void add_all(std::vector<Name>& sum, const std::vector<Name>& more) {
  sum.insert(sum.end(), more.begin(), more.end());
}

// Those of `before` that nobody claims now.
template <class Name>
void leave_out(const std::vector<Name>& before, const std::set<Name>& claimed, std::vector<Name>& gone) {
  std::ranges::copy_if(before, std::back_inserter(gone), [&](const Name& name) { return !claimed.contains(name); });
}

template <class Row>
void reserve_more(std::vector<Row>& rows) {
  rows.reserve(rows.size() + rows.size() / 8);  // the next ones do not move all of them
}

}  // namespace

void HeldTables::replace(model::EndpointTables tables) {
  tables_ = std::move(tables);
  reserve_more(tables_.services);
  reserve_more(tables_.endpoints);
  merger_.emplace(tables_);
  networks_ = {};
  settled_ = false;
  tasks_of_.clear();
  networks_of_.clear();
  services_on_.clear();
  unique_ = true;
  for (std::size_t i = 0; i < tables_.endpoints.size(); ++i) {
    unique_ = unique_ && merger_->endpoint(tables_.endpoints[i].task_id)->second == i;
    join_service(tables_.endpoints[i].task_id);
  }
  for (std::size_t i = 0; i < tables_.services.size(); ++i) {
    unique_ = unique_ && merger_->service(tables_.services[i].id)->second == i;
    place_service(tables_.services[i].id);
  }
  for (const auto& [id, tasks] : tasks_of_) {
    if (service(id) == nullptr) place_service(id);
  }
  touched_ = {};
}

const model::EndpointRow* HeldTables::endpoint(const std::string& task_id) {
  const TableMerger::Place* place = merger_->endpoint(task_id);
  return place == nullptr ? nullptr : &tables_.endpoints[place->second];
}

const model::ServiceRow* HeldTables::service(const std::string& id) {
  const TableMerger::Place* place = merger_->service(id);
  return place == nullptr ? nullptr : &tables_.services[place->second];
}

std::vector<const model::EndpointRow*> HeldTables::tasks_of(const std::string& service_id) const {
  std::vector<const model::EndpointRow*> rows;
  const auto found = tasks_of_.find(service_id);
  if (found == tasks_of_.end()) return rows;
  for (const TableMerger::Place* place : found->second) rows.push_back(&tables_.endpoints[place->second]);
  return rows;
}

std::vector<NamedService> HeldTables::services_on(const std::string& network_id) {
  std::vector<NamedService> services;
  const auto found = services_on_.find(network_id);
  if (found == services_on_.end()) return services;
  for (const std::string& id : found->second) services.push_back({service(id), tasks_of(id)});
  return services;
}

void HeldTables::leave_service(const std::string& task_id) {
  const model::EndpointRow* row = endpoint(task_id);
  if (row == nullptr) return;
  const auto tasks = tasks_of_.find(row->service_id);
  if (tasks == tasks_of_.end()) return;
  std::erase(tasks->second, merger_->endpoint(task_id));
  if (tasks->second.empty()) tasks_of_.erase(tasks);
}

void HeldTables::join_service(const std::string& task_id) {
  if (const TableMerger::Place* place = merger_->endpoint(task_id)) {
    tasks_of_[tables_.endpoints[place->second].service_id].push_back(place);
  }
}

// On the networks where it and its tasks are now.
void HeldTables::place_service(const std::string& id) {
  std::set<std::string> networks;
  const auto add = [&](const std::vector<model::NetworkAddress>& addresses) {
    for (const model::NetworkAddress& address : addresses) networks.insert(address.network_id);
  };
  if (const model::ServiceRow* row = service(id)) add(row->virtual_ips);
  for (const model::EndpointRow* task : tasks_of(id)) add(task->networks);
  std::set<std::string>& before = networks_of_[id];
  touched_.networks.insert(before.begin(), before.end());
  touched_.networks.insert(networks.begin(), networks.end());
  for (const std::string& network : before) {
    const auto services = services_on_.find(network);
    services->second.erase(id);
    if (services->second.empty()) services_on_.erase(services);
  }
  for (const std::string& network : networks) services_on_[network].insert(id);
  before = std::move(networks);
  if (before.empty()) networks_of_.erase(id);
}

// Services and tasks whose rows it has, and the services of those tasks as they are now.
HeldTables::Touched HeldTables::rows_of(const model::TableChange& change) {
  Touched rows;
  const model::EndpointTables& upsert = change.upsert;
  rows.everything = !upsert.nodes.empty() || !upsert.networks.empty() || !change.removed_nodes.empty() ||
                    !change.removed_networks.empty();
  rows.services.insert(change.removed_services.begin(), change.removed_services.end());
  rows.endpoints.insert(change.removed_endpoints.begin(), change.removed_endpoints.end());
  for (const model::ServiceRow& row : upsert.services) rows.services.insert(row.id);
  for (const model::EndpointRow& row : upsert.endpoints) {
    rows.services.insert(row.service_id);
    rows.endpoints.insert(row.task_id);
  }
  for (const std::string& id : rows.endpoints) {
    if (const model::EndpointRow* row = endpoint(id)) rows.services.insert(row->service_id);
  }
  return rows;
}

Status HeldTables::merge(const model::TableChange& change) {
  if (!TRY(is_next(tables_.version, change))) return {};
  Touched rows = rows_of(change);
  for (const std::string& id : rows.endpoints) leave_service(id);
  TRY(merger_->merge(change));
  for (const std::string& id : rows.endpoints) join_service(id);
  for (const std::string& id : rows.services) place_service(id);
  touched_.everything |= rows.everything;
  touched_.services.merge(rows.services);
  touched_.endpoints.merge(rows.endpoints);
  return {};
}

bool HeldTables::claim(Claims& claims, const dataplane::PublishedPort& port) {
  claims.ports.emplace_back(port.protocol, port.port);
  if (port.entry) {
    claims.entries.push_back(port.port);
    entries_.insert(port.port);
  }
  return ports_.emplace(port.protocol, port.port).second;
}

bool HeldTables::claim(Claims& claims, const dataplane::Binding& binding) {
  claims.bindings.push_back(binding.index);
  return bindings_.insert(binding.index).second;
}

bool HeldTables::claim(Claims& claims, const dataplane::VirtualIp& vip) {
  claims.virtual_ips.push_back(vip.address);
  return virtual_ips_.insert(vip.address).second;
}

void HeldTables::settle(const dataplane::Desired& told) {
  touched_ = {};
  networks_ = NetworkIndex(tables_);
  claims_.clear();
  ports_.clear();
  entries_.clear();
  bindings_.clear();
  virtual_ips_.clear();
  settled_ = unique_;
  std::map<PortName, Claims*> with_port;
  for (const dataplane::PublishedPort& port : told.ports) {
    Claims& claims = claims_[port.service_id];
    settled_ = claim(claims, port) && settled_;
    with_port.emplace(claims.ports.back(), &claims);
  }
  for (const dataplane::Binding& binding : told.bindings) {
    settled_ = claim(*with_port.at({binding.protocol, binding.published_port}), binding) && settled_;
  }
  for (const dataplane::VirtualIp& vip : told.virtual_ips) settled_ = claim(claims_[vip.service_id], vip) && settled_;
}

void HeldTables::give_up(const std::string& service_id, Claims& sum) {
  const auto claims = claims_.find(service_id);
  if (claims == claims_.end()) return;
  for (const PortName& name : claims->second.ports) ports_.erase(name);
  for (const std::uint16_t port : claims->second.entries) entries_.erase(entries_.find(port));
  for (const std::uint16_t name : claims->second.bindings) bindings_.erase(name);
  for (const IpAddress& name : claims->second.virtual_ips) virtual_ips_.erase(name);
  add_all(sum.ports, claims->second.ports);
  add_all(sum.entries, claims->second.entries);
  add_all(sum.bindings, claims->second.bindings);
  add_all(sum.virtual_ips, claims->second.virtual_ips);
  claims_.erase(claims);
}

std::optional<HeldTables::Effect> HeldTables::take_effect(const View& view) {
  Touched touched = std::exchange(touched_, {});
  if (!std::exchange(settled_, false) || touched.everything) return std::nullopt;
  Effect effect;
  effect.networks = std::move(touched.networks);
  dataplane::Change& change = effect.change;
  for (const std::string& id : touched.endpoints) {
    const model::EndpointRow* row = endpoint(id);
    if (row != nullptr && row->state != model::EndpointState::kGone) {
      change.endpoints.push_back(make_endpoint(*row, view, networks_));
    } else {
      change.endpoints_gone.push_back(id);
    }
  }
  // All give up before one claims: a name may go from one to another.
  Claims before;
  for (const std::string& id : touched.services) give_up(id, before);
  std::vector<std::uint16_t> entries;
  for (const std::string& id : touched.services) {
    const model::ServiceRow* row = service(id);
    if (row == nullptr) continue;
    ServicePieces pieces = make_pieces(*row, tasks_of(id), view, networks_);
    if (!claim_all(id, pieces)) return std::nullopt;
    for (const dataplane::PublishedPort& port : pieces.ports) {
      if (port.entry) entries.push_back(port.port);
    }
    std::ranges::move(pieces.ports, std::back_inserter(change.ports));
    std::ranges::move(pieces.bindings, std::back_inserter(change.bindings));
    std::ranges::move(pieces.virtual_ips, std::back_inserter(change.virtual_ips));
  }
  std::ranges::sort(before.entries);
  std::ranges::sort(entries);
  if (entries != before.entries) {
    effect.reserved_ports.emplace(entries_.begin(), entries_.end());
    const auto doubles = std::ranges::unique(*effect.reserved_ports);
    effect.reserved_ports->erase(doubles.begin(), doubles.end());
  }
  leave_out(before.ports, ports_, change.ports_gone);
  leave_out(before.bindings, bindings_, change.bindings_gone);
  leave_out(before.virtual_ips, virtual_ips_, change.virtual_ips_gone);
  settled_ = true;
  return effect;
}

bool HeldTables::claim_all(const std::string& service_id, const ServicePieces& pieces) {
  bool once = true;
  Claims claims;
  for (const auto& port : pieces.ports) once = claim(claims, port) && once;
  for (const auto& binding : pieces.bindings) once = claim(claims, binding) && once;
  for (const auto& vip : pieces.virtual_ips) once = claim(claims, vip) && once;
  const bool any = !claims.ports.empty() || !claims.virtual_ips.empty();
  if (any) claims_[service_id] = std::move(claims);
  return once;
}

}  // namespace mesh::agent
