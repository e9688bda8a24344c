#pragma once
// Where a program runs, as far as it can know: which task and which host answered.

#include <string>

namespace mesh::examples {

struct Place {
  std::string task;  // the container's hostname
  std::string host;  // NODE_HOSTNAME, which a service sets by `--env NODE_HOSTNAME={{.Node.Hostname}}`; may be empty
};

Place place_from_environment();

std::string environment_or(const char* name, const char* otherwise);
// PORT, or 80 when it is unset or no port.
unsigned short port_from_environment();

}  // namespace mesh::examples
