// One host's part of the walk of a traced packet (control/model/trace.h): from where it comes in to where it leaves,
// and if that is a container, that container's answer on its way out.
#pragma once

#include <vector>

#include "control/model/endpoint_table.h"
#include "control/model/trace.h"
#include "dataplane/dataplane.h"
#include "dataplane/trace.h"

namespace mesh::agent {

// `self`: this node's number. A packet from outside comes in by the uplink that has its destination, else by the first.
// `caught`: the packet that the question waited for. An error is in the answer.
[[nodiscard]] model::TraceAnswer walk_host(dataplane::Dataplane& dataplane,
                                           const std::vector<dataplane::Uplink>& uplinks,
                                           const model::EndpointTables& tables, std::uint16_t self,
                                           const model::TraceQuestion& question,
                                           const std::optional<dataplane::CaughtPacket>& caught = std::nullopt);

[[nodiscard]] Result<dataplane::CatchOrder> catch_order(const model::TraceCatch& next);

}  // namespace mesh::agent
