// /swarm: making, entering and leaving a cluster, and its own settings (Docker Engine API, "Swarm").
#include <array>

#include <fmt/format.h>

#include "control/api/router.h"

namespace mesh::api {
namespace {

Result<Response> inspect(Context& context, const Request&) {
  manager::Manager* manager = TRY(require_manager(context));
  const model::Cluster* cluster = manager->view().cluster();
  if (cluster == nullptr) return fail(ErrorKind::kUnavailable, "the cluster's state is not loaded yet; try again");
  model::Cluster shown = *cluster;
  shown.join_tokens = TRY(context.swarm.join_tokens());
  return json_response(to_api(shown));
}

// An answer of a Swarm call, later.
std::function<void(Status)> answer_with(const ResponderPtr& responder) {
  return [responder](const Status& status) {
    responder->send(status ? empty_response(200) : error_response(status.error()));
  };
}

// The docker CLI sends "" for "not said".
Status check_availability(const std::string& text) {
  if (text.empty()) return {};
  const Result<model::Availability> known = decode<model::Availability>(Json(text), "Availability");
  return known ? Status{} : std::unexpected(known.error());
}

Status check_data_path(const std::string& address) {
  if (address.empty()) return {};
  return fail(ErrorKind::kUnsupported,
              fmt::format("a data path address of its own ({}) is not supported by this version: containers' traffic "
                          "uses the host's address in the cluster; leave --data-path-addr out and give that address to "
                          "--advertise-addr",
                          address));
}

Status check_new_cluster(bool forced) {
  if (!forced) return {};
  return fail(ErrorKind::kUnsupported,
              "--force-new-cluster is not supported by this version: the cluster has one manager, and its state comes "
              "back when meshd is started there; to begin anew, use swarm leave --force and swarm init");
}

void init(Context& context, const Request& request, const ResponderPtr& responder) {
  const Result<SwarmInit> body = read_body<SwarmInit>(request);
  if (!body) return responder->send(error_response(body.error()));
  for (const Status& supported : {check_data_path(body->data_path_addr), check_new_cluster(body->force_new_cluster)}) {
    if (!supported) return responder->send(error_response(supported.error()));
  }
  if (const Status known = check_availability(body->availability); !known) {
    return responder->send(error_response(known.error()));
  }
  context.swarm.init(*body, [responder](const Result<std::string>& node_id) {
    responder->send(node_id ? json_response(encode(*node_id)) : error_response(node_id.error()));
  });
}

void join(Context& context, const Request& request, const ResponderPtr& responder) {
  const Result<SwarmJoin> body = read_body<SwarmJoin>(request);
  if (!body) return responder->send(error_response(body.error()));
  if (const Status supported = check_data_path(body->data_path_addr); !supported) {
    return responder->send(error_response(supported.error()));
  }
  if (const Status known = check_availability(body->availability); !known) {
    return responder->send(error_response(known.error()));
  }
  context.swarm.join(*body, answer_with(responder));
}

void leave(Context& context, const Request& request, const ResponderPtr& responder) {
  context.swarm.leave(request.flag("force"), answer_with(responder));
}

Result<Response> update(Context& context, const Request& request) {
  manager::Manager* manager = TRY(require_manager(context));
  const std::optional<std::uint64_t> version = TRY(request.number("version"));
  if (!version) return fail(ErrorKind::kInvalid, "query parameter version is missing: the cluster's Version.Index");
  const model::ClusterSpec spec = TRY(read_body<model::ClusterSpec>(request));
  if (request.flag("rotateManagerUnlockKey") || spec.encryption_config.auto_lock_managers) {
    return fail(ErrorKind::kUnsupported, "autolock is not available: the cluster's key is on the manager's disk only");
  }
  TRY(manager->update_cluster(*version, spec, context.now()));
  const bool worker = request.flag("rotateWorkerToken");
  const bool managers = request.flag("rotateManagerToken");
  if (worker || managers) TRY(context.swarm.rotate_tokens(worker, managers));
  context.swarm.changed();
  return empty_response(200);
}

Result<Response> unlock_key(Context& context, const Request&) {
  TRY(require_manager(context));
  return json_response(JsonObject{{"UnlockKey", ""}});  // as Docker answers when the swarm is not locked
}

constexpr std::array kRoutes{
    Route{"GET", "/swarm", &inspect},
    Route{"POST", "/swarm/init", nullptr, &init},
    Route{"POST", "/swarm/join", nullptr, &join},
    Route{"POST", "/swarm/leave", nullptr, &leave},
    Route{"POST", "/swarm/update", &update},
    Route{"GET", "/swarm/unlockkey", &unlock_key},
};

}  // namespace

std::span<const Route> swarm_routes() { return kRoutes; }

}  // namespace mesh::api
