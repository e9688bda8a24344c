#include "control/manager/port_options.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "control/manager/constraint.h"

namespace mesh::manager {
namespace {

using model::Node;
using model::PortOptions;

bool has_address(const Node& node, const IpAddress& address) {
  return node.mesh && std::ranges::find(node.mesh->addresses, address) != node.mesh->addresses.end();
}

bool is_uplink_somewhere(const store::View& view, const std::string& interface) {
  return std::ranges::any_of(view.nodes(), [&](const auto& entry) {
    const auto& mesh = entry.second->mesh;
    return mesh && std::ranges::find(mesh->interfaces, interface) != mesh->interfaces.end();
  });
}

std::vector<std::string> owners_of(const store::View& view, const IpAddress& address) {
  std::vector<std::string> names;
  for (const auto& [id, node] : view.nodes()) {
    if (has_address(*node, address)) names.push_back(node->description.hostname);
  }
  return names;
}

bool publishes(const model::ServiceSpec& spec, const model::PublishedPort& wanted) {
  return spec.endpoint_spec && std::ranges::any_of(spec.endpoint_spec->ports, [&](const model::PortConfig& port) {
           // A number that the cluster chooses may be this one.
           const bool number = port.published_port == wanted.second || port.published_port == 0;
           return number && model::protocol_of(port) == wanted.first;
         });
}

void warn_of_port(const store::View& view, const model::PublishedPort& port, const PortOptions& options,
                  std::vector<std::string>& warnings) {
  for (const IpAddress& address : options.addresses) {
    if (!owners_of(view, address).empty()) continue;
    warnings.push_back(
        fmt::format("published port {}: no node has the address {} now", model::port_name(port), address.to_string()));
  }
  for (const std::string& interface : options.interfaces) {
    if (is_uplink_somewhere(view, interface)) continue;
    warnings.push_back(
        fmt::format("published port {}: no node has the uplink {} now; 'meshctl info' on a node shows its own",
                    model::port_name(port), interface));
  }
  const bool any =
      std::ranges::any_of(view.nodes(), [&](const auto& entry) { return satisfies_all(*entry.second, options.on); });
  if (!any) {
    warnings.push_back(fmt::format("published port {}: no node meets {} now, so none answers", model::port_name(port),
                                   fmt::join(options.on, ", ")));
  }
}

}  // namespace

Status check_port_options(const store::View& view, const model::ServiceSpec& spec) {
  const model::MeshOptions options = TRY(model::parse_mesh_options(spec.labels));
  for (const auto& [port, wanted] : options.ports) {
    for (const std::string& text : wanted.on) {
      const Constraint constraint = TRY_IN("label " + model::port_label(port, "on"), parse_constraint(text));
      if (is_known_key(constraint.key)) continue;
      return fail(ErrorKind::kInvalid,
                  fmt::format("label {}: no node has {}, so the port would answer nowhere; keys are {}",
                              model::port_label(port, "on"), constraint.key, kConstraintKeys));
    }
    for (const IpAddress& address : wanted.addresses) {
      const std::vector<std::string> owners = owners_of(view, address);
      if (!options.prefer_local || owners.size() < 2) continue;
      return fail(ErrorKind::kInvalid,
                  fmt::format("label {} excludes mesh.prefer=local: {} is an address of {}, so packets of one flow may "
                              "enter several hosts, each with backends of its own; remove one of them",
                              model::port_label(port, "address"), address.to_string(), fmt::join(owners, " and ")));
    }
  }
  return {};
}

std::vector<std::string> port_option_warnings(const store::View& view, const model::ServiceSpec& spec) {
  std::vector<std::string> warnings;
  const auto options = model::parse_mesh_options(spec.labels);
  if (!options) return warnings;  // it is refused
  for (const auto& [port, wanted] : options->ports) {
    if (publishes(spec, port)) {
      warn_of_port(view, port, wanted, warnings);
    } else {
      warnings.push_back(fmt::format("labels {}* have no effect: the service does not publish {}",
                                     model::port_label(port, ""), model::port_name(port)));
    }
  }
  return warnings;
}

std::vector<std::string> option_problems(const store::View& view) {
  std::vector<std::string> problems;
  for (const auto& [id, port] : view.ports()) {
    const model::Service* service = view.service(port->service_id);
    const auto answers_it = [&](const auto& entry) { return answers(*entry.second, port->row); };
    if (service == nullptr || port->row.host_mode || std::ranges::any_of(view.nodes(), answers_it)) continue;
    problems.push_back(fmt::format(
        "{}/{} of service {} is answered nowhere: no node meets its labels "
        "mesh.port.{}/{}.on, .address and .interface",
        port->row.published, port->row.protocol, service->spec.name, port->row.published, port->row.protocol));
  }
  for (const auto& [service_id, service] : view.services()) {
    const auto options = model::parse_mesh_options(service->spec.labels);
    if (!options || options->weight_label.empty()) continue;
    for (const auto& [node_id, node] : view.nodes()) {
      if (model::weight_of(node->spec.labels, options->weight_label)) continue;
      problems.push_back(
          fmt::format("label {}=\"{}\" of node {} counts as 1 for service {}: a weight is a number from 1 to {}",
                      options->weight_label, node->spec.labels.at(options->weight_label), node->description.hostname,
                      service->spec.name, model::kWeightMax));
    }
  }
  return problems;
}

void set_options(const store::View& view, const model::MeshOptions& options, const model::PublishedPort& port,
                 model::PortRow& row) {
  row.return_mode = options.return_mode;
  row.affinity_seconds = options.affinity_seconds;
  row.prefer_local = options.prefer_local;
  const auto found = options.ports.find(port);
  const PortOptions wanted = found == options.ports.end() ? PortOptions{} : found->second;
  row.addresses = wanted.addresses;
  row.interfaces = wanted.interfaces;
  row.allow = wanted.allow;
  row.entry_nodes.reset();
  if (wanted.on.empty()) return;
  std::vector<std::uint16_t>& entries = row.entry_nodes.emplace();
  for (const auto& [id, node] : view.nodes()) {
    if (node->mesh && node->mesh->number != 0 && satisfies_all(*node, wanted.on)) entries.push_back(node->mesh->number);
  }
  std::ranges::sort(entries);
}

std::map<std::uint16_t, std::uint16_t> node_weights(const store::View& view, const std::string& weight_label) {
  std::map<std::uint16_t, std::uint16_t> weights;
  if (weight_label.empty()) return weights;
  for (const auto& [id, node] : view.nodes()) {
    const std::uint16_t weight = model::weight_of(node->spec.labels, weight_label).value_or(1);
    if (node->mesh && weight != 1) weights[node->mesh->number] = weight;
  }
  return weights;
}

void reduce_weights(std::vector<dataplane::RingMember>& members) {
  std::uint16_t common = 0;
  for (const dataplane::RingMember& member : members) common = std::gcd(common, member.weight);
  if (common < 2) return;
  for (dataplane::RingMember& member : members) member.weight = static_cast<std::uint16_t>(member.weight / common);
}

std::set<std::string> entry_nodes(const store::View& view, const model::Labels& labels,
                                  const model::PublishedPort& port) {
  model::PortRow row;
  if (const auto options = model::parse_mesh_options(labels)) set_options(view, *options, port, row);
  std::set<std::string> ids;
  for (const auto& [id, node] : view.nodes()) {
    if (answers(*node, row)) ids.insert(id);
  }
  return ids;
}

bool answers(const Node& node, const model::PortRow& row) {
  return node.mesh && model::answers(row, node.mesh->number, node.mesh->addresses, node.mesh->interfaces);
}

}  // namespace mesh::manager
