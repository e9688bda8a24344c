#include "control/meshctl/calls.h"

#include <cstdio>

#include <fmt/format.h>

namespace mesh::meshctl {
std::string path(std::string_view route) { return "/v1.41" + std::string(route); }

std::string object_path(std::string_view collection, std::string_view name_or_id, std::string_view verb) {
  std::string out = path(fmt::format("/{}/{}", collection, api::encode_query(name_or_id)));
  if (!verb.empty()) out.append("/").append(verb);
  return out;
}

std::string filtered(std::string_view route, std::string_view filters, std::string_view more) {
  std::string out = path(route);
  char separator = '?';
  if (!filters.empty()) {
    out += separator + ("filters=" + api::encode_query(filters));
    separator = '&';
  }
  if (!more.empty()) out += separator + std::string(more);
  return out;
}

Result<SwarmInfo> swarm_info(const Client& client) {
  const Json info = TRY(client.get(path("/info")));
  const JsonObject* object = info.if_object();
  const Json* swarm = object == nullptr ? nullptr : object->if_contains("Swarm");
  if (swarm == nullptr) return fail(ErrorKind::kInternal, "meshd's /info says nothing of the swarm");
  return TRY_IN("answer of meshd: Swarm", decode<SwarmInfo>(*swarm));
}

Result<std::vector<model::Node>> list_nodes(const Client& client, std::string_view filters) {
  return get_as<std::vector<model::Node>>(client, filtered("/nodes", filters));
}

Result<std::vector<model::Service>> list_services(const Client& client, std::string_view filters) {
  return get_as<std::vector<model::Service>>(client, filtered("/services", filters, "status=true"));
}

Result<std::vector<model::Task>> list_tasks(const Client& client, std::string_view filters) {
  return get_as<std::vector<model::Task>>(client, filtered("/tasks", filters));
}

Result<model::Service> get_service(const Client& client, std::string_view name_or_id) {
  return get_as<model::Service>(client, object_path("services", name_or_id));
}

Result<std::string> node_id_of(const Client& client, std::string_view name_or_id) {
  if (name_or_id != "self") return std::string(name_or_id);
  const auto info = TRY(swarm_info(client));
  if (info.node_id.empty()) {
    return fail(ErrorKind::kUnavailable,
                "This node is not a swarm manager: it is part of no swarm; use \"meshctl swarm init\" or "
                "\"meshctl swarm join\"");
  }
  return info.node_id;
}

Result<model::Node> get_node(const Client& client, std::string_view name_or_id) {
  return get_as<model::Node>(client, object_path("nodes", TRY(node_id_of(client, name_or_id))));
}

void print_warnings(const Json& answer) {
  const JsonObject* object = answer.if_object();
  const Json* warnings = object == nullptr ? nullptr : object->if_contains("Warnings");
  if (warnings == nullptr || !warnings->is_array()) return;
  for (const Json& warning : warnings->as_array()) {
    if (warning.is_string()) fmt::print(stderr, "{}\n", std::string_view(warning.as_string()));
  }
}

Status update_service(const Client& client, const model::Service& from, const model::ServiceSpec& spec,
                      std::string_view rollback) {
  std::string target = object_path("services", from.id, "update") + fmt::format("?version={}", from.version.index);
  if (!rollback.empty()) target += "&rollback=" + std::string(rollback);
  print_warnings(TRY(client.post(target, encode(spec))));
  return {};
}

std::map<std::string, std::string> names_of(const std::vector<model::Node>& nodes) {
  std::map<std::string, std::string> names;
  for (const auto& node : nodes) names[node.id] = node.description.hostname;
  return names;
}

std::map<std::string, std::string> names_of(const std::vector<model::Service>& services) {
  std::map<std::string, std::string> names;
  for (const auto& service : services) names[service.id] = service.spec.name;
  return names;
}

std::string filter_json(std::string_view name, std::string_view value) {
  return to_text(JsonObject{{name, JsonArray{Json(value)}}});
}

}  // namespace mesh::meshctl
