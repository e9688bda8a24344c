// What a node remembers of its swarm beside its identity: <data dir>/cluster/swarm.json.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "base/json.h"

namespace mesh::meshd {

struct SwarmFile {
  bool manager = false;
  std::string listen;                 // of the cluster port, "0.0.0.0:2377"
  IpAddress advertise;                // this host's address in the cluster; unset on a worker that named none
  std::uint16_t port = 0;             // of a manager, as others reach it
  std::vector<std::string> managers;  // "192.168.1.10:2377", of a worker
};
template <class Visit>
constexpr bool json_fields(const SwarmFile*, Visit&& visit) {
  using S = SwarmFile;
  return visit("Manager", &S::manager) && visit("Listen", &S::listen) && visit("Advertise", &S::advertise) &&
         visit("Port", &S::port) && visit("Managers", &S::managers);
}

// `directory`: <data dir>/cluster. kNotFound: in no swarm.
[[nodiscard]] Result<SwarmFile> load_swarm_file(const std::string& directory);
[[nodiscard]] Status save_swarm_file(const std::string& directory, const SwarmFile& file);

}  // namespace mesh::meshd
