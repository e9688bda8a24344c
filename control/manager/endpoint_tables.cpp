#include "control/manager/endpoint_tables.h"

#include "control/manager/address_book.h"
#include "control/manager/allocator.h"
#include "control/manager/drain.h"
#include "control/manager/slot.h"

namespace mesh::manager {
namespace {

model::ServiceRow service_row(const store::View& view, const model::Service& service) {
  model::ServiceRow row;
  row.id = service.id;
  row.name = service.spec.name;
  row.dnsrr = model::is_dnsrr(service.spec);
  for (const model::NetworkAttachmentConfig& attachment : model::networks_of(service.spec)) {
    model::NetworkAddress address;
    address.network_id = attachment.target;
    address.aliases = attachment.aliases;
    for (const model::VirtualIp& vip : service.endpoint.virtual_ips) {
      const model::Network* network = view.network(vip.network_id);
      if (vip.network_id != attachment.target || network == nullptr) continue;
      address.v4 = without_prefix(vip.addr);
      address.v6 = v6_of(*network, address.v4);
    }
    row.virtual_ips.push_back(std::move(address));
  }
  for (const model::PortConfig& config : service.endpoint.ports) {
    const std::string id = port_id(service.id, model::protocol_of(config), config.published_port);
    if (const model::PortState* port = view.port(id)) row.ports.push_back(port->row);
  }
  return row;
}

std::string hostname_of(const model::Task& task) {
  if (task.spec.container_spec && !task.spec.container_spec->hostname.empty())
    return task.spec.container_spec->hostname;
  return task.id.substr(0, 12);
}

model::EndpointRow endpoint_row(const store::View& view, const model::Task& task, std::uint16_t node) {
  model::EndpointRow row;
  row.task_id = task.id;
  row.service_id = task.service_id;
  row.name = task.mesh.container_name;
  row.hostname = hostname_of(task);
  row.node = node;
  row.ingress_v4 = task.mesh.ingress_v4;
  row.ingress_v6 = task.mesh.ingress_v6;
  row.networks = task.mesh.networks;
  row.state = task.mesh.endpoint;
  row.serving = row.state == model::EndpointState::kReady && task.desired_state == model::TaskState::kRunning &&
                task.status.state == model::TaskState::kRunning && is_up(view, task.node_id);
  return row;
}

const std::string& key_of(const model::NodeRow& row) { return row.id; }
const std::string& key_of(const model::NetworkRow& row) { return row.id; }
const std::string& key_of(const model::ServiceRow& row) { return row.id; }
const std::string& key_of(const model::EndpointRow& row) { return row.task_id; }

template <class Row>
void compare(const std::vector<Row>& from, const std::vector<Row>& to, std::vector<Row>& upsert,
             std::vector<std::string>& removed) {
  auto old = from.begin();
  for (const Row& row : to) {
    for (; old != from.end() && key_of(*old) < key_of(row); ++old) removed.push_back(key_of(*old));
    if (old != from.end() && key_of(*old) == key_of(row)) {
      if (*old != row) upsert.push_back(row);
      ++old;
    } else {
      upsert.push_back(row);
    }
  }
  for (; old != from.end(); ++old) removed.push_back(key_of(*old));
}

}  // namespace

model::EndpointTables make_tables(const store::View& view) {
  model::EndpointTables tables;
  for (const auto& [id, node] : view.nodes()) {
    if (!node->mesh || node->mesh->number == 0) continue;
    tables.nodes.push_back({id, node->mesh->number, node->description.hostname, node->mesh->address,
                            node->mesh->addresses, node->status.state != model::NodeState::kDown});
  }
  for (const auto& [id, network] : view.networks()) {
    if (!network->mesh) continue;
    tables.networks.push_back({id, network->name, network->mesh->vni, network->mesh->subnet_v4,
                               network->mesh->subnet_v6, network->internal, network->ingress});
  }
  for (const auto& [id, service] : view.services()) tables.services.push_back(service_row(view, *service));
  for (const auto& [id, task] : view.tasks()) {
    const model::Node* node = view.node(task->node_id);
    if (node == nullptr || !node->mesh || !holds_addresses(*task)) continue;
    if (task->status.state < model::TaskState::kAssigned) continue;
    tables.endpoints.push_back(endpoint_row(view, *task, node->mesh->number));
  }
  return tables;
}

bool same_rows(const model::EndpointTables& a, const model::EndpointTables& b) {
  return a.nodes == b.nodes && a.networks == b.networks && a.services == b.services && a.endpoints == b.endpoints;
}

model::TableChange difference(const model::EndpointTables& from, const model::EndpointTables& to) {
  model::TableChange change;
  change.from = from.version;
  change.upsert.version = to.version;
  compare(from.nodes, to.nodes, change.upsert.nodes, change.removed_nodes);
  compare(from.networks, to.networks, change.upsert.networks, change.removed_networks);
  compare(from.services, to.services, change.upsert.services, change.removed_services);
  compare(from.endpoints, to.endpoints, change.upsert.endpoints, change.removed_endpoints);
  return change;
}

}  // namespace mesh::manager
