// /nodes (Docker Engine API, "Node").
#include <array>

#include "control/api/filters.h"
#include "control/api/router.h"

namespace mesh::api {
namespace {

bool role_matches(const Filters& filters, const model::Node& node) {
  const Json role = encode(node.spec.role);
  return filters.exact("role", std::string_view(role.as_string()));
}

Result<Response> list(Context& context, const Request& request) {
  const manager::Manager* manager = TRY(require_manager(context));
  const Filters filters =
      TRY(Filters::parse(request, {"id", "label", "engine.label", "node.label", "membership", "name", "role"}));
  for (const std::string& role : filters.values("role")) {
    if (role != "worker" && role != "manager") return fail(ErrorKind::kInvalid, "invalid role filter: '" + role + "'");
  }
  JsonArray nodes;
  for (const auto& [id, node] : manager->view().nodes()) {
    const bool shown = filters.prefix("id", id) && filters.prefix("name", node->description.hostname) &&
                       filters.labels("node.label", node->spec.labels) &&
                       filters.labels("label", node->description.engine.labels) &&
                       filters.labels("engine.label", node->description.engine.labels) &&
                       filters.exact("membership", "accepted") && role_matches(filters, *node);
    if (shown) nodes.push_back(to_api(*node));
  }
  return json_response(nodes);
}

Result<Response> inspect(Context& context, const Request& request) {
  const manager::Manager* manager = TRY(require_manager(context));
  const model::Node* node = TRY(manager->view().find_node(request.capture("id")));
  return json_response(to_api(*node));
}

Result<Response> update(Context& context, const Request& request) {
  manager::Manager* manager = TRY(require_manager(context));
  const std::optional<std::uint64_t> version = TRY(request.number("version"));
  if (!version) return fail(ErrorKind::kInvalid, "query parameter version is missing: the node's Version.Index");
  const model::NodeSpec spec = TRY(read_body<model::NodeSpec>(request));
  const std::string id = TRY(manager->view().find_node(request.capture("id")))->id;
  TRY(manager->update_node(id, *version, spec, context.now()));
  context.swarm.changed();
  return empty_response(200);
}

Result<Response> remove(Context& context, const Request& request) {
  manager::Manager* manager = TRY(require_manager(context));
  const std::string id = TRY(manager->view().find_node(request.capture("id")))->id;
  TRY(manager->remove_node(id, request.flag("force"), context.now()));
  context.swarm.changed();
  return empty_response(200);
}

constexpr std::array kRoutes{
    Route{"GET", "/nodes", &list},
    Route{"GET", "/nodes/{id}", &inspect},
    Route{"POST", "/nodes/{id}/update", &update},
    Route{"DELETE", "/nodes/{id}", &remove},
};

}  // namespace

std::span<const Route> node_routes() { return kRoutes; }

}  // namespace mesh::api
