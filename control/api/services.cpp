// /services (Docker Engine API, "Service").
#include <algorithm>
#include <array>
#include <functional>

#include <fmt/format.h>

#include "base/id.h"
#include "control/api/filters.h"
#include "control/api/port_agreement.h"
#include "control/api/registry_auth.h"
#include "control/api/router.h"
#include "control/manager/backend_limit.h"
#include "control/manager/port_options.h"
#include "control/model/validate.h"

namespace mesh::api {
namespace {

std::string_view mode_of(const model::ServiceSpec& spec) {
  if (spec.mode.global) return "global";
  if (spec.mode.replicated_job) return "replicated-job";
  if (spec.mode.global_job) return "global-job";
  return "replicated";
}

// What `service ls` shows as 2/3. A task counts while it is wanted, running, and its host is not known to be down.
model::ServiceStatus count_tasks(const store::View& view, const model::Service& service) {
  model::ServiceStatus status;
  const bool global = model::is_global(service.spec);
  if (!global) status.desired_tasks = model::replicas_of(service.spec);
  for (const model::Task* task : view.tasks_of_service(service.id)) {
    if (task->status.state == model::TaskState::kComplete) ++status.completed_tasks;
    if (task->desired_state > model::TaskState::kRunning) continue;
    if (global) ++status.desired_tasks;
    const model::Node* node = view.node(task->node_id);
    const bool node_down = node == nullptr || node->status.state == model::NodeState::kDown;
    if (task->status.state == model::TaskState::kRunning && !node_down) ++status.running_tasks;
  }
  return status;
}

Result<Response> list(Context& context, const Request& request) {
  const manager::Manager* manager = TRY(require_manager(context));
  const Filters filters = TRY(Filters::parse(request, {"id", "label", "mode", "name", "runtime"}));
  const bool counted = request.flag("status");
  JsonArray services;
  for (const auto& [id, service] : manager->view().services()) {
    const bool shown = filters.prefix("id", id) && filters.prefix("name", service->spec.name) &&
                       filters.labels("label", service->spec.labels) && filters.exact("mode", mode_of(service->spec));
    if (!shown) continue;
    model::Service row = *service;
    if (counted) row.service_status = count_tasks(manager->view(), row);
    services.push_back(to_api(row));
  }
  return json_response(services);
}

Result<Response> inspect(Context& context, const Request& request) {
  const manager::Manager* manager = TRY(require_manager(context));
  model::Service service = *TRY(manager->view().find_service(request.capture("id")));
  if (request.flag("insertDefaults")) service.spec = model::with_defaults(std::move(service.spec));
  return json_response(to_api(service));
}

// Things that were asked for and have no effect, or less than one would think; the CLI prints them.
Json warnings_for(Context& context, const store::View& view, const model::ServiceSpec& spec, const RegistryAuth& auth) {
  JsonArray warnings;
  if (!auth.empty()) {
    warnings.emplace_back(
        fmt::format("The registry's credentials are not sent to the hosts: each pulls with those in "
                    "its own {}/auth.json.",
                    context.engine.data_dir));
  }
  for (const std::string& warning : manager::backend_limit_warnings(view, spec)) warnings.emplace_back(warning);
  for (const std::string& warning : manager::port_option_warnings(view, spec)) warnings.emplace_back(warning);
  if (!spec.networks.empty() && !spec.task_template.networks.empty()) {
    warnings.emplace_back("Networks of the service are ignored: TaskTemplate.Networks is set.");
  }
  if (warnings.empty()) return nullptr;
  return warnings;
}

// For a service that was given no name, as Docker does it: two words, and a number if they are taken.
std::string free_name(const store::View& view) {
  constexpr std::array<std::string_view, 16> kFirst{"amber", "bold",  "calm",  "deft",  "eager", "fair",
                                                    "glad",  "hardy", "keen",  "lucid", "merry", "noble",
                                                    "prime", "quiet", "swift", "vivid"};
  constexpr std::array<std::string_view, 16> kSecond{"anchor",  "beacon", "canal",  "delta", "ember", "ferry",
                                                     "grove",   "harbor", "island", "jetty", "lark",  "meadow",
                                                     "orchard", "pine",   "river",  "willow"};
  const std::string random = make_id();
  const std::string words = fmt::format("{}-{}", kFirst[static_cast<std::size_t>(random[23]) % kFirst.size()],
                                        kSecond[static_cast<std::size_t>(random[24]) % kSecond.size()]);
  const auto taken = [&](const std::string& name) {
    return std::ranges::any_of(view.services(), [&](const auto& entry) { return entry.second->spec.name == name; });
  };
  std::string name = words;
  for (int number = 2; taken(name); ++number) name = fmt::format("{}-{}", words, number);
  return name;
}

// A change of a service, to be made once the hosts have agreed to its ports.
struct ServiceChange {
  model::Service service;  // as it will be, with its present end point
  // `avoided`: ports that programs of hosts use.
  std::function<Result<Response>(manager::Manager&, const std::set<model::PublishedPort>& avoided)> make;
};

void make_when_free(Context& context, Result<ServiceChange> change, const ResponderPtr& responder) {
  if (!change) return responder->send(error_response(change.error()));
  const auto go_on = [&context, make = std::move(change->make),
                      responder](const Result<std::set<model::PublishedPort>>& agreed) {
    const auto made = [&]() -> Result<Response> {
      const auto& avoided = TRY(agreed);
      // This node may have left the swarm while the hosts were asked.
      manager::Manager* manager = TRY(require_manager(context));
      Response response = TRY(make(*manager, avoided));
      context.swarm.changed();
      return response;
    }();
    responder->send(made ? *made : error_response(made.error()));
  };
  agree_on_ports(context, std::move(change->service), go_on);
}

Result<ServiceChange> prepare_create(Context& context, const Request& request) {
  const manager::Manager* manager = TRY(require_manager(context));
  const RegistryAuth auth = TRY(registry_auth(request));
  model::ServiceSpec spec = TRY(read_body<model::ServiceSpec>(request));
  model::settle_mode(spec);
  if (spec.name.empty()) spec.name = free_name(manager->view());
  TRY(model::validate_service_spec(model::with_defaults(spec)));
  ServiceChange change;
  change.service.spec = spec;
  change.make = [&context, auth, spec = std::move(spec)](manager::Manager& now,
                                                         const auto& avoided) -> Result<Response> {
    const Json warnings = warnings_for(context, now.view(), spec, auth);
    const std::string id = TRY(now.create_service(spec, context.now(), avoided));
    return json_response(JsonObject{{"ID", id}, {"Warnings", warnings}}, 201);
  };
  return change;
}

void create(Context& context, const Request& request, const ResponderPtr& responder) {
  make_when_free(context, prepare_create(context, request), responder);
}

Result<ServiceChange> prepare_update(Context& context, const Request& request) {
  const manager::Manager* manager = TRY(require_manager(context));
  const RegistryAuth auth = TRY(registry_auth(request));
  const std::optional<std::uint64_t> version = TRY(request.number("version"));
  if (!version) return fail(ErrorKind::kInvalid, "query parameter version is missing: the service's Version.Index");
  const std::string& rollback = request.parameter("rollback");
  if (!rollback.empty() && rollback != "previous") {
    return fail(ErrorKind::kInvalid, "unrecognized rollback option: " + rollback);
  }
  const auto direction = rollback.empty() ? manager::ServiceRollback::kNo : manager::ServiceRollback::kPrevious;
  model::ServiceSpec spec = TRY(read_body<model::ServiceSpec>(request));
  model::settle_mode(spec);
  ServiceChange change;
  change.service = *TRY(manager->view().find_service(request.capture("id")));
  const std::string id = change.service.id;
  change.service.spec = rollback.empty() ? spec : change.service.previous_spec.value_or(model::ServiceSpec{});
  change.make = [&context, auth, id, version = *version, direction, spec = std::move(spec)](
                    manager::Manager& now, const auto& avoided) -> Result<Response> {
    const Json warnings = warnings_for(context, now.view(), spec, auth);
    TRY(now.update_service(id, version, spec, direction, context.now(), avoided));
    return json_response(JsonObject{{"Warnings", warnings}});
  };
  return change;
}

void update(Context& context, const Request& request, const ResponderPtr& responder) {
  make_when_free(context, prepare_update(context, request), responder);
}

Result<Response> remove(Context& context, const Request& request) {
  manager::Manager* manager = TRY(require_manager(context));
  const std::string id = TRY(manager->view().find_service(request.capture("id")))->id;
  TRY(manager->remove_service(id, context.now()));
  context.swarm.changed();
  return empty_response(200);
}

constexpr std::array kRoutes{
    Route{"GET", "/services", &list},           Route{"POST", "/services/create", nullptr, &create},
    Route{"GET", "/services/{id}", &inspect},   Route{"POST", "/services/{id}/update", nullptr, &update},
    Route{"DELETE", "/services/{id}", &remove},
};

}  // namespace

std::span<const Route> service_routes() { return kRoutes; }

}  // namespace mesh::api
