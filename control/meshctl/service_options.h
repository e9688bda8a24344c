// The flags of `service create` and `service update` as the command line knows them.
#pragma once

#include "control/meshctl/service_flags.h"

namespace CLI {
class App;
}

namespace mesh::meshctl {

void add_create_flags(CLI::App& command, CreateFlags& flags);
void add_update_flags(CLI::App& command, UpdateServiceFlags& flags);

}  // namespace mesh::meshctl
