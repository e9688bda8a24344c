// /tasks (Docker Engine API, "Task").
#include <array>

#include "control/api/filters.h"
#include "control/api/router.h"

namespace mesh::api {
namespace {

// The values of a filter that names objects, as ids; what names nothing stays and so matches nothing.
template <class Find>
std::set<std::string> resolve(const std::set<std::string>& names, Find find) {
  std::set<std::string> ids;
  for (const std::string& name : names) {
    const auto found = find(name);
    ids.insert(found ? (*found)->id : name);
  }
  return ids;
}

bool contains(const std::set<std::string>& ids, const std::string& id) { return ids.empty() || ids.contains(id); }

// running: wanted; shutdown: not wanted any more; accepted: waiting for its turn.
bool desired_matches(const Filters& filters, model::TaskState desired) {
  const auto name = desired == model::TaskState::kRunning || desired == model::TaskState::kComplete ? "running"
                    : desired < model::TaskState::kRunning                                          ? "accepted"
                                                                                                    : "shutdown";
  return filters.exact("desired-state", name);
}

// Made from the service's current spec: what the CLI waits for after an update ("_up-to-date").
bool up_to_date(const store::View& view, const model::Task& task) {
  const model::Service* service = view.service(task.service_id);
  return service != nullptr && task.spec == service->spec.task_template;
}

std::string shown_name(const model::Task& task) { return task.name.empty() ? task.mesh.name : task.name; }

Result<Response> list(Context& context, const Request& request) {
  const manager::Manager* manager = TRY(require_manager(context));
  const store::View& view = manager->view();
  const Filters filters = TRY(
      Filters::parse(request, {"id", "label", "name", "node", "service", "desired-state", "runtime", "_up-to-date"}));
  for (const std::string& state : filters.values("desired-state")) {
    if (state != "running" && state != "shutdown" && state != "accepted") {
      return fail(ErrorKind::kInvalid, "invalid desired-state filter: '" + state + "'");
    }
  }
  const auto services =
      resolve(filters.values("service"), [&](const std::string& name) { return view.find_service(name); });
  const auto nodes = resolve(filters.values("node"), [&](const std::string& name) { return view.find_node(name); });
  const bool only_current = filters.exact("_up-to-date", "true") && filters.has("_up-to-date");
  JsonArray tasks;
  for (const auto& [id, task] : view.tasks()) {
    const bool shown = filters.prefix("id", id) && filters.prefix("name", shown_name(*task)) &&
                       filters.labels("label", task->labels) && contains(services, task->service_id) &&
                       contains(nodes, task->node_id) && desired_matches(filters, task->desired_state) &&
                       (!only_current || up_to_date(view, *task));
    if (shown) tasks.push_back(to_api(*task));
  }
  return json_response(tasks);
}

Result<Response> inspect(Context& context, const Request& request) {
  const manager::Manager* manager = TRY(require_manager(context));
  const model::Task* task = TRY(manager->view().find_task(request.capture("id")));
  return json_response(to_api(*task));
}

constexpr std::array kRoutes{
    Route{"GET", "/tasks", &list},
    Route{"GET", "/tasks/{id}", &inspect},
};

}  // namespace

std::span<const Route> task_routes() { return kRoutes; }

}  // namespace mesh::api
