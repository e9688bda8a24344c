// Docker's routes that this version does not have and that clients ask for: 501 with what to do instead, where a bare
// "page not found" would leave the user in the dark.
#include <array>

#include <fmt/format.h>

#include "control/api/router.h"

namespace mesh::api {
namespace {

Result<Response> logs(Context& context, const Request&) {
  return fail(ErrorKind::kUnsupported,
              fmt::format("logs are not collected by this version; what a task prints is in the file "
                          "{}/containers/CONTAINER/log of its host (\"service ps\" names the host, \"inspect\" of the "
                          "task its ContainerID)",
                          context.engine.data_dir));
}

Result<Response> prune_networks(Context&, const Request&) {
  return fail(
      ErrorKind::kUnsupported,
      "unused networks are not pruned by this version; \"network ls\" lists them and \"network rm\" removes them");
}

Result<Response> connect(Context&, const Request&) {
  return fail(
      ErrorKind::kUnsupported,
      "containers of services are not connected or disconnected one by one; use \"service update --network-add\" "
      "or \"--network-rm\"");
}

Result<Response> unlock(Context&, const Request&) {
  return fail(ErrorKind::kUnsupported, "autolock is not supported by this version, so there is nothing to unlock");
}

constexpr std::array kRoutes{
    Route{"GET", "/services/{id}/logs", &logs},           Route{"GET", "/tasks/{id}/logs", &logs},
    Route{"POST", "/networks/prune", &prune_networks},    Route{"POST", "/networks/{id}/connect", &connect},
    Route{"POST", "/networks/{id}/disconnect", &connect}, Route{"POST", "/swarm/unlock", &unlock},
};

}  // namespace

std::span<const Route> unsupported_routes() { return kRoutes; }

}  // namespace mesh::api
