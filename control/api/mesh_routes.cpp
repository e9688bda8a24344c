// /mesh: what Docker's API has no place for. For meshctl.
//   GET /mesh/status                          this node, its session, and which tables every node's kernel holds
//   GET /mesh/dataplane/{part}                status, services, backends, flows, drops: read from this kernel
//   GET /mesh/trace                           the way of a packet through all hosts (trace.cpp); managers only
//   GET /mesh/direct-answers                  whether the underlay carries direct answers (direct_answers.h); managers
//                                             only
//   GET /mesh/services/{id}/ready?timeout=10s  waits until every published port answers on every node with a session,
//                                             but for those that it names in Problems; says how many Hosts that are,
//                                             how many are Answering on each port, and which have NoSession
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "control/api/direct_answers.h"
#include "control/api/router.h"
#include "control/api/trace.h"
#include "control/manager/backend_limit.h"
#include "control/manager/port_options.h"

namespace mesh::api {
namespace {

constexpr Duration kReadyTimeoutDefault = std::chrono::seconds(10);
constexpr Duration kReadyTimeoutMax = std::chrono::minutes(10);

JsonArray node_rows(Context& context, const manager::Manager& manager) {
  JsonArray rows;
  const auto& acknowledged = context.swarm.acknowledged();
  for (const auto& [id, node] : manager.view().nodes()) {
    JsonObject row{{"ID", id},
                   {"Hostname", node->description.hostname},
                   {"State", encode(node->status.state)},
                   {"Address", node->mesh ? node->mesh->address.to_string() : ""},
                   {"Number", node->mesh ? node->mesh->number : 0},
                   {"Session", acknowledged.contains(id)}};
    if (const auto found = acknowledged.find(id); found != acknowledged.end()) {
      row["Acknowledged"] = encode(found->second);
    }
    if (const auto found = manager.problems().find(id); found != manager.problems().end()) {
      row["Problems"] = encode(found->second);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<Response> status(Context& context, const Request&) {
  const SwarmInfo info = context.swarm.info();
  JsonObject body{{"Version", context.engine.version},
                  {"Swarm", JsonObject{{"State", encode(info.state)},
                                       {"NodeID", info.node_id},
                                       {"NodeAddr", info.node_addr},
                                       {"ClusterID", info.cluster_id},
                                       {"Error", info.error},
                                       {"Manager", context.swarm.manager() != nullptr},
                                       {"Session", info.session_up},
                                       {"Managers", encode(info.managers)}}},
                  {"Sessions", context.swarm.session_status()}};
  if (const manager::Manager* manager = context.swarm.manager(); manager != nullptr) {
    body["Tables"] = encode(manager->tables().version);
    body["Nodes"] = node_rows(context, *manager);
    std::vector<std::string> problems = manager::backend_limit_problems(manager->view());
    std::ranges::move(manager::option_problems(manager->view()), std::back_inserter(problems));
    body["Problems"] = encode(problems);
  }
  return json_response(body);
}

struct PartName {
  std::string_view name;
  DataplanePart part;
};
constexpr std::array kParts{PartName{"status", DataplanePart::kStatus}, PartName{"services", DataplanePart::kServices},
                            PartName{"backends", DataplanePart::kBackends}, PartName{"flows", DataplanePart::kFlows},
                            PartName{"drops", DataplanePart::kDrops}};

void dataplane(Context& context, const Request& request, const ResponderPtr& responder) {
  const auto part = std::ranges::find(kParts, request.capture("part"), &PartName::name);
  if (part == kParts.end()) {
    return responder->send(error_response(
        Error{ErrorKind::kNotFound,
              "the data plane has status, services, backends, flows and drops, no " + request.capture("part")}));
  }
  context.node.dataplane(part->part, [responder](const Result<Json>& found) {
    responder->send(found ? json_response(*found) : error_response(found.error()));
  });
}

// Every published port of the service has as many ready backends as it has ready tasks wanted: at least one.
bool ports_have_backends(const manager::Manager& manager, const std::string& service_id) {
  const model::Service* service = manager.view().service(service_id);
  if (service == nullptr) return false;
  const auto& rows = manager.tables().services;
  const auto row = std::ranges::find(rows, service_id, &model::ServiceRow::id);
  const auto published = [](const model::PortConfig& port) { return model::is_ingress(port); };
  if (std::ranges::none_of(service->endpoint.ports, published)) {
    return !service->spec.endpoint_spec || std::ranges::none_of(service->spec.endpoint_spec->ports, published);
  }
  if (row == rows.end()) return false;
  return std::ranges::all_of(service->endpoint.ports, [&](const model::PortConfig& port) {
    if (!published(port)) return true;
    return std::ranges::any_of(row->ports, [&](const model::PortRow& have) {
      return have.published == port.published_port && have.protocol == model::protocol_name(model::protocol_of(port)) &&
             std::ranges::any_of(have.backends, [](const model::BackendRow& backend) {
               return backend.node != 0 && backend.state == model::EndpointState::kReady;
             });
    });
  });
}

// Ids of nodes with a session whose kernel holds an older table.
std::vector<std::string> nodes_behind(Swarm& swarm, const model::TableVersion& version) {
  std::vector<std::string> behind;
  for (const auto& [id, held] : swarm.acknowledged()) {
    if (held < version) behind.push_back(id);
  }
  return behind;
}

// What hosts say of the service's published ports: "node2: port 8010/tcp is already in use …".
std::vector<std::string> port_problems(const manager::Manager& manager, const std::string& service_id) {
  std::vector<std::string> found;
  const model::Service* service = manager.view().service(service_id);
  if (service == nullptr) return found;
  for (const auto& [node_id, problems] : manager.problems()) {
    const model::Node* node = manager.view().node(node_id);
    for (const model::PortConfig& port : service->endpoint.ports) {
      // How the agent names a port's problem.
      const std::string subject = model::port_name(model::published_port(port)) + ": ";
      for (const std::string& problem : problems) {
        if (!problem.starts_with(subject)) continue;
        found.push_back(fmt::format("{}: {}", node != nullptr ? node->description.hostname : node_id,
                                    problem.substr(subject.size())));
      }
    }
  }
  return found;
}

// "8010/tcp" -> how many hosts with a session answer on it.
JsonObject answering(Swarm& swarm, const std::string& service_id) {
  JsonObject ports;
  const manager::Manager& manager = *swarm.manager();
  const auto& rows = manager.tables().services;
  const auto row = std::ranges::find(rows, service_id, &model::ServiceRow::id);
  if (row == rows.end()) return ports;
  for (const model::PortRow& port : row->ports) {
    const auto hosts = std::ranges::count_if(swarm.acknowledged(), [&](const auto& entry) {
      const model::Node* node = manager.view().node(entry.first);
      return node != nullptr && manager::answers(*node, port);
    });
    ports[fmt::format("{}/{}", port.published, port.protocol)] = hosts;
  }
  return ports;
}

std::vector<std::string> without_session(Swarm& swarm) {
  std::vector<std::string> names;
  for (const auto& [id, node] : swarm.manager()->view().nodes()) {
    if (!swarm.acknowledged().contains(id)) names.push_back(node->description.hostname);
  }
  std::ranges::sort(names, natural_less);
  return names;
}

void ready(Context& context, const Request& request, const ResponderPtr& responder) {
  const Result<manager::Manager*> manager = require_manager(context);
  if (!manager) return responder->send(error_response(manager.error()));
  const Result<const model::Service*> service = (*manager)->view().find_service(request.capture("id"));
  if (!service) return responder->send(error_response(service.error()));
  Result<Duration> timeout = kReadyTimeoutDefault;
  if (!request.parameter("timeout").empty()) timeout = parse_duration(request.parameter("timeout"));
  if (!timeout) return responder->send(error_response(timeout.error()));

  Swarm& swarm = context.swarm;
  // The version is that of the first tables with the ports: later changes need not be waited for.
  auto wanted = std::make_shared<std::optional<model::TableVersion>>();
  const std::string id = (*service)->id;
  const auto holds = [&swarm, wanted, id] {
    const manager::Manager* now = swarm.manager();
    if (now == nullptr || !ports_have_backends(*now, id)) {
      wanted->reset();
      return false;
    }
    if (!*wanted) *wanted = now->tables().version;
    return nodes_behind(swarm, **wanted).empty();
  };
  swarm.wait_until(holds, std::min(*timeout, kReadyTimeoutMax), [&swarm, responder, wanted, id](bool done) {
    if (done) {
      return responder->send(json_response(JsonObject{{"Ready", true},
                                                      {"Tables", encode(**wanted)},
                                                      {"Hosts", swarm.acknowledged().size()},
                                                      {"Answering", answering(swarm, id)},
                                                      {"NoSession", encode(without_session(swarm))},
                                                      {"Problems", encode(port_problems(*swarm.manager(), id))}}));
    }
    const std::string why =
        !*wanted ? "no task of it is running and healthy behind every published port"
                 : fmt::format("not yet in the kernel of {}", fmt::join(nodes_behind(swarm, **wanted), ", "));
    responder->send(error_response({ErrorKind::kTimeout, fmt::format("service {} is not ready: {}", id, why)}));
  });
}

constexpr std::array kRoutes{
    Route{"GET", "/mesh/status", &status},
    Route{"GET", "/mesh/dataplane/{part}", nullptr, &dataplane},
    Route{"GET", "/mesh/trace", nullptr, &trace},
    Route{"GET", "/mesh/direct-answers", nullptr, &direct_answers},
    Route{"GET", "/mesh/services/{id}/ready", nullptr, &ready},
};

}  // namespace

std::span<const Route> mesh_routes() { return kRoutes; }

}  // namespace mesh::api
