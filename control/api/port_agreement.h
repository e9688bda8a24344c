// Asking every host about the ports that a change of a service brings, before it is made.
#pragma once

#include <functional>
#include <set>

#include "control/api/context.h"
#include "control/model/service.h"

namespace mesh::api {

// Calls `done` once the hosts can publish what `service`, with its new spec and its present end point, will publish: at
// once if nothing is new. Its value are the ports that the manager must not choose: programs of hosts use them, and the
// next ones were asked for instead. kConflict names the port that the spec asks for and who uses it.
void agree_on_ports(Context& context, model::Service service,
                    std::function<void(Result<std::set<model::PublishedPort>>)> done);

}  // namespace mesh::api
