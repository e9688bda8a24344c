// The way of an endpoint out of the cluster: ready, draining (no new flows), gone. It begins when the task is to stop,
// or when its host says that it is unhealthy. A task is told to stop only when every host holds its endpoint as
// draining and no ring leads to it; its addresses are free only when every host holds it as gone and nothing of it
// runs.
#pragma once

#include "control/manager/draft.h"
#include "control/manager/settled.h"

namespace mesh::manager {

// "<service id>/tcp/8010"
[[nodiscard]] std::string port_id(const std::string& service_id, model::PortProtocol protocol, std::uint16_t published);

// Step: moves every endpoint as far as it may go.
void drain(Draft& draft, const Settled& settled);

// The desired state that the task's host is told.
[[nodiscard]] model::TaskState told_state(const model::Task& task);

}  // namespace mesh::manager
