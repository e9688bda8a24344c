// What users change: the cluster, nodes, services and networks. Each is checked, allocated and committed at once, so
// that its error reaches the user; what follows from it is the next tick's business.
#include <algorithm>

#include <fmt/format.h>

#include "control/manager/allocator.h"
#include "control/manager/constraint.h"
#include "control/manager/manager.h"
#include "control/manager/manager_impl.h"
#include "control/manager/port_options.h"
#include "control/manager/updater.h"
#include "control/manager/withdrawn.h"
#include "control/model/validate.h"

namespace mesh::manager {
namespace {

using store::Durability;
using store::Kind;

std::unexpected<Error> out_of_sequence(std::string_view what, std::uint64_t given, std::uint64_t is) {
  return fail(ErrorKind::kConflict,
              fmt::format("update out of sequence: {} is at version {}, the request was made from {}; read it again",
                          what, is, given));
}

Status check_pools(const model::Cluster& cluster) {
  for (const std::string& text : cluster.default_addr_pool) {
    const Cidr pool = TRY_IN("invalid default address pool", Cidr::parse(text));
    if (!pool.network.is_v4()) {
      return fail(ErrorKind::kInvalid, fmt::format("default address pool {} is not IPv4", text));
    }
    if (pool.length > cluster.subnet_size) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("default address pool {} is smaller than one subnet of /{}", text, cluster.subnet_size));
    }
  }
  if (cluster.subnet_size < 16 || cluster.subnet_size > 29) {
    return fail(ErrorKind::kInvalid,
                fmt::format("subnet size /{} is out of range: /16 to /29 are allowed", cluster.subnet_size));
  }
  return {};
}

// Names of networks become ids, in the one place where they are kept.
Status resolve_networks(const store::View& view, model::ServiceSpec& spec) {
  std::vector<model::NetworkAttachmentConfig> networks = model::networks_of(spec);
  for (model::NetworkAttachmentConfig& attachment : networks) {
    const auto network = view.find_network(attachment.target);
    if (!network) return fail(ErrorKind::kNotFound, fmt::format("network {} not found", attachment.target));
    if ((*network)->ingress) {
      return fail(ErrorKind::kInvalid, fmt::format("service cannot be explicitly attached to the ingress network {}; "
                                                   "published ports use it by themselves",
                                                   (*network)->name));
    }
    attachment.target = (*network)->id;
  }
  spec.networks.clear();
  spec.task_template.networks = std::move(networks);
  return {};
}

Status check_constraints(const model::ServiceSpec& spec) {
  if (!spec.task_template.placement) return {};
  for (const std::string& text : spec.task_template.placement->constraints) TRY(parse_constraint(text));
  return {};
}

}  // namespace

Result<std::string> Manager::init_cluster(model::Cluster cluster, const std::vector<Cidr>& connected_routes, Time now) {
  if (impl_->view.cluster() != nullptr) {
    return fail(ErrorKind::kConflict,
                "This node is already part of a swarm. Use \"swarm leave\" to leave this swarm and join another one.");
  }
  TRY(model::validate_cluster_spec(cluster.spec));
  if (cluster.default_addr_pool.empty()) cluster.default_addr_pool.emplace_back("10.0.0.0/8");
  TRY(check_pools(cluster));
  Draft draft = impl_->draft(now);
  if (cluster.id.empty()) cluster.id = draft.make_id();
  cluster.join_tokens.reset();
  if (!cluster.mesh) cluster.mesh.emplace();
  std::string id = cluster.id;
  draft.put(std::move(cluster));
  model::Network ingress;
  ingress.name = "ingress";
  ingress.id = draft.make_id();
  ingress.scope = "swarm";
  ingress.driver = "overlay";
  ingress.ingress = true;
  ingress.enable_ipv6 = true;
  TRY(allocate_network(draft.view(), connected_routes, ingress));
  draft.put(std::move(ingress));
  TRY(impl_->commit(draft, {{Kind::kCluster, id, 0}}, Durability::kDurable));
  return id;
}

Status Manager::update_cluster(std::uint64_t version, const model::ClusterSpec& spec, Time now) {
  const model::Cluster* row = impl_->view.cluster();
  if (row == nullptr) return fail(ErrorKind::kUnavailable, "this node is not a swarm manager");
  if (row->version.index != version) return out_of_sequence("the cluster", version, row->version.index);
  TRY(model::validate_cluster_spec(spec));
  Draft draft = impl_->draft(now);
  model::Cluster cluster = *row;
  cluster.spec = spec;
  draft.put(std::move(cluster));
  return impl_->commit(draft, {}, Durability::kDurable);
}

Status Manager::update_cluster_mesh(const model::ClusterMesh& mesh, Time now) {
  const model::Cluster* row = impl_->view.cluster();
  if (row == nullptr) return fail(ErrorKind::kUnavailable, "this node is not a swarm manager");
  Draft draft = impl_->draft(now);
  model::Cluster cluster = *row;
  cluster.mesh = mesh;
  draft.put(std::move(cluster));
  return impl_->commit(draft, {}, Durability::kDurable);
}

Status Manager::add_node(const NodeJoin& join, Time now) {
  Draft draft = impl_->draft(now);
  model::Node node;
  if (const model::Node* known = impl_->view.node(join.id)) {
    node = *known;
  } else {
    node.id = join.id;
    node.spec.availability = join.availability;
    node.description.hostname = join.hostname;
    node.mesh.emplace();
  }
  node.spec.role = join.role;
  node.mesh->certificate = join.certificate;
  if (join.role == model::NodeRole::kManager) {
    node.manager_status = model::ManagerStatus{
        .leader = join.this_manager, .reachability = model::Reachability::kReachable, .addr = join.manager_addr};
  }
  draft.put(std::move(node));
  return impl_->commit(draft, {}, Durability::kDurable);
}

Status Manager::update_node_certificate(const std::string& id, const model::NodeCertificate& certificate, Time now) {
  const model::Node* row = impl_->view.node(id);
  if (row == nullptr) return fail(ErrorKind::kNotFound, fmt::format("node {} not found", id));
  Draft draft = impl_->draft(now);
  model::Node node = *row;
  if (!node.mesh) node.mesh.emplace();
  node.mesh->certificate = certificate;
  draft.put(std::move(node));
  return impl_->commit(draft, {}, Durability::kDurable);
}

Status Manager::update_node(const std::string& id, std::uint64_t version, const model::NodeSpec& spec, Time now) {
  const model::Node* row = impl_->view.node(id);
  if (row == nullptr) return fail(ErrorKind::kNotFound, fmt::format("node {} not found", id));
  if (row->version.index != version) return out_of_sequence("node " + id, version, row->version.index);
  TRY(model::validate_node_spec(spec));
  if (spec.role != row->spec.role) {
    const auto managers = std::ranges::count_if(
        impl_->view.nodes(), [](const auto& entry) { return entry.second->spec.role == model::NodeRole::kManager; });
    if (spec.role == model::NodeRole::kManager) {
      return fail(ErrorKind::kUnsupported, "a second manager is not supported by this version of meshd");
    }
    if (managers <= 1) return fail(ErrorKind::kInvalid, "attempting to demote the last manager of the swarm");
  }
  Draft draft = impl_->draft(now);
  model::Node node = *row;
  node.spec = spec;
  draft.put(std::move(node));
  return impl_->commit(draft, {}, Durability::kDurable);
}

Status Manager::remove_node(const std::string& id, bool force, Time now) {
  const model::Node* row = impl_->view.node(id);
  if (row == nullptr) return fail(ErrorKind::kNotFound, fmt::format("node {} not found", id));
  if (row->spec.role == model::NodeRole::kManager) {
    return fail(ErrorKind::kInvalid, fmt::format("node {} is a cluster manager and is a member of the raft cluster. It "
                                                 "must be demoted to worker before removal",
                                                 id));
  }
  if (!force && row->status.state == model::NodeState::kReady) {
    return fail(ErrorKind::kInvalid,
                fmt::format("node {} is not down and can't be removed; stop meshd there first, or use --force", id));
  }
  Draft draft = impl_->draft(now);
  draft.erase(Kind::kNode, id);
  if (const model::Cluster* known = impl_->view.cluster()) {
    model::Cluster cluster = *known;
    if (!cluster.mesh) cluster.mesh.emplace();
    cluster.mesh->revoked_nodes.push_back(id);
    draft.put(std::move(cluster));
  }
  TRY(impl_->commit(draft, {}, Durability::kDurable));
  impl_->publisher->close(id);
  impl_->told.erase(id);
  impl_->heard.erase(id);
  impl_->problems.erase(id);
  return {};
}

Result<std::string> Manager::create_service(model::ServiceSpec spec, Time now,
                                            const std::set<model::PublishedPort>& avoided) {
  if (impl_->view.cluster() == nullptr) return fail(ErrorKind::kUnavailable, "this node is not a swarm manager");
  TRY(model::validate_service_spec(spec));
  TRY(check_constraints(spec));
  TRY(check_port_options(impl_->view, spec));
  TRY(resolve_networks(impl_->view, spec));
  for (const auto& [id, service] : impl_->view.services()) {
    if (service->spec.name == spec.name) {
      return fail(ErrorKind::kConflict,
                  fmt::format("name conflicts with an existing object: service {} already exists", spec.name));
    }
  }
  Draft draft = impl_->draft(now);
  model::Service service;
  service.id = draft.make_id();
  service.spec = std::move(spec);
  service.mesh.emplace();
  TRY(allocate_service(draft.view(), service, avoided));
  std::string id = service.id;
  draft.put(std::move(service));
  TRY(impl_->commit(draft, {{Kind::kService, id, 0}}, Durability::kDurable));
  return id;
}

Status Manager::update_service(const std::string& id, std::uint64_t version, model::ServiceSpec spec,
                               ServiceRollback rollback, Time now, const std::set<model::PublishedPort>& avoided) {
  const model::Service* row = impl_->view.service(id);
  if (row == nullptr) return fail(ErrorKind::kNotFound, fmt::format("service {} not found", id));
  if (row->version.index != version) return out_of_sequence("service " + id, version, row->version.index);
  model::Service service = *row;
  if (!service.mesh) service.mesh.emplace();
  if (rollback == ServiceRollback::kPrevious) {
    if (!service.previous_spec) {
      return fail(ErrorKind::kInvalid, fmt::format("service {} does not have a previous spec", id));
    }
    roll_back(service, true, now, "manually requested rollback");
  } else {
    TRY(model::validate_service_update(service.spec, spec));
    TRY(check_constraints(spec));
    TRY(check_port_options(impl_->view, spec));
    TRY(resolve_networks(impl_->view, spec));
    if (spec == service.spec) return {};
    service.previous_spec = std::move(service.spec);
    service.spec = std::move(spec);
    service.update_status.reset();
    service.mesh->update_slots = 0;
    ++service.mesh->spec_version;
  }
  TRY(allocate_service(impl_->view, service, avoided));
  Draft draft = impl_->draft(now);
  withdraw(draft, *row, &service);
  draft.put(std::move(service));
  return impl_->commit(draft, {{Kind::kService, id, version}}, Durability::kDurable);
}

Status Manager::remove_service(const std::string& id, Time now) {
  const model::Service* row = impl_->view.service(id);
  if (row == nullptr) return fail(ErrorKind::kNotFound, fmt::format("service {} not found", id));
  Draft draft = impl_->draft(now);
  withdraw(draft, *row, nullptr);
  draft.erase(Kind::kService, id);
  return impl_->commit(draft, {}, Durability::kDurable);
}

Result<std::string> Manager::create_network(model::Network network, Time now) {
  if (impl_->view.cluster() == nullptr) return fail(ErrorKind::kUnavailable, "this node is not a swarm manager");
  TRY(model::validate_network(network));
  for (const auto& [id, other] : impl_->view.networks()) {
    if (other->name == network.name) {
      return fail(ErrorKind::kConflict, fmt::format("network with name {} already exists", network.name));
    }
  }
  if (network.ingress) {
    return fail(ErrorKind::kConflict, "the ingress network is already present; it cannot be replaced");
  }
  Draft draft = impl_->draft(now);
  network.id = draft.make_id();
  network.driver = "overlay";
  network.scope = "swarm";
  network.created_at = {};
  network.mesh.reset();
  if (network.ipam.driver.empty()) network.ipam.driver = "default";
  TRY(allocate_network(draft.view(), {}, network));
  std::string id = network.id;
  draft.put(std::move(network));
  TRY(impl_->commit(draft, {{Kind::kNetwork, id, 0}}, Durability::kDurable));
  return id;
}

Status Manager::remove_network(const std::string& id, Time now) {
  const model::Network* network = impl_->view.network(id);
  if (network == nullptr) return fail(ErrorKind::kNotFound, fmt::format("network {} not found", id));
  if (network->ingress) {
    return fail(ErrorKind::kForbidden, "the ingress network cannot be removed: every task has an address on it");
  }
  for (const auto& [service_id, service] : impl_->view.services()) {
    const auto& networks = model::networks_of(service->spec);
    if (std::ranges::find(networks, id, &model::NetworkAttachmentConfig::target) != networks.end()) {
      return fail(ErrorKind::kForbidden, fmt::format("network {} is in use by service {} ({}); remove that first",
                                                     network->name, service->spec.name, service_id));
    }
  }
  Draft draft = impl_->draft(now);
  withdraw(draft, *network);
  draft.erase(Kind::kNetwork, id);
  return impl_->commit(draft, {}, Durability::kDurable);
}

}  // namespace mesh::manager
