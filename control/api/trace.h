// `meshctl trace`: the walk of one packet from host to host, asked of a manager.
#pragma once

#include "control/api/context.h"

namespace mesh::api {

void trace(Context& context, const Request& request, const ResponderPtr& responder);

// Number of the node where such a packet meets the first program: a task's own host, or the host that is asked.
[[nodiscard]] Result<std::uint16_t> trace_entry(const model::EndpointTables& tables, const IpAddress& source,
                                                const IpAddress& destination);

}  // namespace mesh::api
