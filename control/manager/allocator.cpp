#include "control/manager/allocator.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "control/manager/address_book.h"
#include "control/manager/slot.h"
#include "control/manager/withdrawn.h"

namespace mesh::manager {
namespace {

using model::PortConfig;

// ---- services

// Published ports of all services but one, and whose they are. Several services may publish one with mode=host, on
// different nodes; the first is named.
struct PortsInUse {
  std::map<model::PublishedPort, const model::Service*> ingress, host;
};

PortsInUse ports_in_use(const store::View& view, const std::string& except) {
  PortsInUse used;
  for (const auto& [id, service] : view.services()) {
    if (id == except) continue;
    for (const PortConfig& port : service->endpoint.ports) {
      (model::is_ingress(port) ? used.ingress : used.host).emplace(model::published_port(port), service.get());
    }
  }
  return used;
}

Status require_free(const PortsInUse& used, const PortConfig& port) {
  const auto taken = [&](const std::map<model::PublishedPort, const model::Service*>& by, std::string_view how) {
    const auto other = by.find(model::published_port(port));
    if (other == by.end()) return Status{};
    return Status{
        fail(ErrorKind::kConflict, fmt::format("port '{}' is already in use by service '{}' ({}) as {} port",
                                               port.published_port, other->second->spec.name, other->second->id, how))};
  };
  TRY(taken(used.ingress, "an ingress"));
  return model::is_ingress(port) ? taken(used.host, "a host-mode") : Status{};
}

// A port of the spec without a number keeps the one it was given before.
std::uint16_t number_given_before(const std::vector<PortConfig>& before, const PortConfig& wanted) {
  for (const PortConfig& port : before) {
    if (port.target_port == wanted.target_port && model::protocol_of(port) == model::protocol_of(wanted) &&
        port.name == wanted.name && model::is_ingress(port)) {
      return port.published_port;
    }
  }
  return 0;
}

// The service's ports with defaults filled in; those without a number get the one they had.
std::vector<PortConfig> wanted_ports(const model::Service& service) {
  std::vector<PortConfig> ports;
  if (service.spec.endpoint_spec) ports = service.spec.endpoint_spec->ports;
  for (PortConfig& port : ports) {
    port.protocol = model::protocol_of(port);
    if (port.publish_mode == model::PublishMode::kUnset) port.publish_mode = model::PublishMode::kIngress;
    if (!model::is_ingress(port) || port.published_port != 0) continue;
    const std::uint16_t before = number_given_before(service.endpoint.ports, port);
    const bool repeated = std::ranges::any_of(ports, [&](const PortConfig& other) {
      return other.published_port == before && model::protocol_of(other) == port.protocol;
    });
    if (!repeated) port.published_port = before;
  }
  return ports;
}

Status allocate_virtual_ips(const store::View& view, model::Service& service) {
  std::vector<model::VirtualIp> vips;
  AddressBook book(view);
  if (!model::is_dnsrr(service.spec)) {
    for (const auto& attachment : model::networks_of(service.spec)) {
      const model::Network* network = view.network(attachment.target);
      if (network == nullptr || !network->mesh) {
        return fail(ErrorKind::kNotFound, fmt::format("network {} not found", attachment.target));
      }
      const auto before = std::ranges::find(service.endpoint.virtual_ips, network->id, &model::VirtualIp::network_id);
      if (before != service.endpoint.virtual_ips.end()) {
        vips.push_back(*before);
      } else {
        const IpAddress address = TRY(book.take(*network));
        vips.push_back({network->id, with_prefix(address, network->mesh->subnet_v4)});
      }
    }
  }
  service.endpoint.virtual_ips = std::move(vips);
  return {};
}

// ---- tasks

Status allocate_task(const store::View& view, AddressBook& book, model::Task& task) {
  const model::Network* ingress = view.ingress_network();
  if (ingress == nullptr || !ingress->mesh) return fail(ErrorKind::kUnavailable, "the cluster has no ingress network");
  const auto show = [&](const model::Network& network, const IpAddress& v4) {
    const model::NetworkMesh& mesh = *network.mesh;
    model::NetworkAttachment attachment;
    attachment.network.id = network.id;
    attachment.network.version = mesh.version;
    attachment.network.created_at = network.created_at;
    attachment.network.updated_at = mesh.updated_at;
    attachment.network.spec = {.name = network.name,
                               .labels = network.labels,
                               .driver_configuration = model::Driver{network.driver, {}},
                               .ingress = network.ingress,
                               .internal = network.internal,
                               .scope = network.scope};
    attachment.addresses.push_back(with_prefix(v4, mesh.subnet_v4));
    if (mesh.subnet_v6) attachment.addresses.push_back(with_prefix(v6_of(network, v4), *mesh.subnet_v6));
    return attachment;
  };
  model::TaskMesh mesh = task.mesh;
  std::vector<model::NetworkAttachment> attachments;
  mesh.networks.clear();
  mesh.ingress_v4 = TRY(book.take(*ingress));
  mesh.ingress_v6 = v6_of(*ingress, mesh.ingress_v4);
  attachments.push_back(show(*ingress, mesh.ingress_v4));
  for (const model::NetworkAttachmentConfig& wanted : task.spec.networks) {
    const model::Network* network = view.network(wanted.target);
    if (network == nullptr || !network->mesh) {
      return fail(ErrorKind::kNotFound, fmt::format("network {} not found", wanted.target));
    }
    const IpAddress v4 = TRY(book.take(*network));
    mesh.networks.push_back({network->id, v4, v6_of(*network, v4), wanted.aliases});
    attachments.push_back(show(*network, v4));
  }
  task.mesh = std::move(mesh);
  task.networks_attachments = std::move(attachments);
  return {};
}

// Binding indexes in use on one node.
std::set<std::uint16_t> bindings_of(const store::View& view, const std::string& node_id) {
  std::set<std::uint16_t> used;
  for (const model::Task* task : view.tasks_of_node(node_id)) {
    for (const model::TaskBinding& binding : task->mesh.bindings) used.insert(binding.index);
  }
  return used;
}

std::uint16_t next_index(std::set<std::uint16_t>& used) {
  std::uint16_t index = used.empty() ? std::uint16_t{1} : *used.rbegin();
  if (!used.empty()) {
    if (index < model::kBindingMax) {
      ++index;
    } else {
      index = 1;
      while (used.contains(index)) ++index;
      if (index > model::kBindingMax) index = 0;  // all in use
    }
  }
  if (index != 0) used.insert(index);
  return index;
}

std::vector<model::TaskBinding> wanted_bindings(const model::Service* service) {
  std::vector<model::TaskBinding> wanted;
  if (service == nullptr) return wanted;
  for (const PortConfig& port : service->endpoint.ports) {
    wanted.push_back({model::protocol_of(port), port.published_port, port.target_port, 0});
  }
  return wanted;
}

}  // namespace

Status allocate_ports(const store::View& view, model::Service& service, const std::set<model::PublishedPort>& avoided) {
  PortsInUse used = ports_in_use(view, service.id);
  std::vector<PortConfig> ports = wanted_ports(service);
  for (const PortConfig& port : ports) {
    if (port.published_port == 0) continue;
    TRY(require_free(used, port));
  }
  for (const PortConfig& port : ports) used.ingress.emplace(model::published_port(port), &service);
  for (PortConfig& port : ports) {
    if (!model::is_ingress(port) || port.published_port != 0) continue;
    for (std::uint16_t n = kPublishedFirst; port.published_port == 0 && n <= kPublishedLast; ++n) {
      const std::string id = published_port_id(model::protocol_name(port.protocol), n);
      const model::PublishedPort key{port.protocol, n};
      const bool usable = view.withdrawn(id) == nullptr && !avoided.contains(key) && !used.host.contains(key);
      if (usable && used.ingress.emplace(key, &service).second) port.published_port = n;
    }
    if (port.published_port == 0) {
      return fail(
          ErrorKind::kExhausted,
          fmt::format("all published {} ports from {} to {} are in use; name one with --publish PUBLISHED:TARGET",
                      model::protocol_name(port.protocol), kPublishedFirst, kPublishedLast));
    }
  }
  service.endpoint.ports = std::move(ports);
  return {};
}

Status allocate_service(const store::View& view, model::Service& service,
                        const std::set<model::PublishedPort>& avoided) {
  TRY(allocate_ports(view, service, avoided));
  TRY(allocate_virtual_ips(view, service));
  service.endpoint.spec = service.spec.endpoint_spec.value_or(model::EndpointSpec{});
  if (service.endpoint.spec.mode == model::ResolutionMode::kUnset) {
    service.endpoint.spec.mode = model::ResolutionMode::kVip;
  }
  return {};
}

Result<std::uint16_t> allocate_node_number(const store::View& view) {
  std::set<std::uint16_t> used;
  for (const auto& [id, node] : view.nodes()) {
    if (node->mesh && node->mesh->number != 0) used.insert(node->mesh->number);
  }
  if (used.empty()) return std::uint16_t{1};
  if (*used.rbegin() < kNodeNumberMax) return static_cast<std::uint16_t>(*used.rbegin() + 1);
  for (std::uint16_t n = 1; n <= kNodeNumberMax; ++n) {
    if (!used.contains(n)) return n;
  }
  return fail(ErrorKind::kExhausted,
              fmt::format("the cluster has {} nodes, the most it can have; remove one that is down", kNodeNumberMax));
}

bool holds_addresses(const model::Task& task) { return !task.mesh.ingress_v4.is_unset(); }

void release(model::Task& task) {
  task.mesh.ingress_v4 = {};
  task.mesh.ingress_v6 = {};
  task.mesh.networks.clear();
  task.mesh.bindings.clear();
}

void allocate_tasks(Draft& draft) {
  std::optional<AddressBook> book;
  for (const auto& [id, row] : store::Rows<model::Task>(draft.view().tasks())) {
    if (row->status.state != model::TaskState::kNew || !is_live(*row)) continue;
    if (!book) book.emplace(draft.view());
    model::Task task = *row;
    const Status done = allocate_task(draft.view(), *book, task);
    if (done) {
      task.status.state = model::TaskState::kPending;
      task.status.message = "pending task scheduling";
      task.status.err.clear();
      task.status.timestamp = draft.now();
    } else if (task.status.err != done.error().message) {
      task.status.err = done.error().message;
      task.status.timestamp = draft.now();
    }
    draft.put(std::move(task));
  }
}

void allocate_bindings(Draft& draft) {
  std::map<std::string, std::set<std::uint16_t>> used;  // node -> indexes
  for (const auto& [id, row] : store::Rows<model::Task>(draft.view().tasks())) {
    if (row->node_id.empty() || !holds_addresses(*row) || row->mesh.endpoint == model::EndpointState::kGone) continue;
    const model::Service* service = draft.view().service(row->service_id);
    if (service == nullptr) continue;  // keeps what it has until it stops
    std::vector<model::TaskBinding> wanted = wanted_bindings(service);
    for (model::TaskBinding& binding : wanted) {
      for (const model::TaskBinding& have : row->mesh.bindings) {
        if (have.protocol == binding.protocol && have.published_port == binding.published_port)
          binding.index = have.index;
      }
      if (binding.index != 0) continue;
      const auto [on_node, first] = used.try_emplace(row->node_id);
      if (first) on_node->second = bindings_of(draft.view(), row->node_id);
      binding.index = next_index(on_node->second);
    }
    std::erase_if(wanted, [](const model::TaskBinding& binding) { return binding.index == 0; });
    if (wanted == row->mesh.bindings) continue;
    model::Task task = *row;
    task.mesh.bindings = std::move(wanted);
    draft.put(std::move(task));
  }
}

}  // namespace mesh::manager
