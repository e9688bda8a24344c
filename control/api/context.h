// What a handler may use: this host, its swarm, the time, and what meshd says of itself.
#pragma once

#include <functional>
#include <string>

#include "control/api/http.h"
#include "control/api/local_node.h"
#include "control/api/swarm.h"
#include "control/manager/manager.h"
#include "control/model/node.h"

namespace mesh::api {

// Versions of the Docker Engine API that are spoken; the CLI negotiates downwards from its own.
inline constexpr int kApiVersionMin = 24;  // 1.24
inline constexpr int kApiVersionMax = 50;  // 1.50

struct EngineInfo {
  std::string version;  // of meshd
  std::string git_commit;
  std::string build_time;
  std::string data_dir;
};

struct Context {
  LocalNode& node;
  Swarm& swarm;
  EngineInfo engine;
  std::function<model::NodeDescription()> description;  // of this host
  std::function<Time()> now = wall_now;
};

// The manager of this node, or kUnavailable in Docker's wording: in no swarm, or a worker asked for cluster state.
[[nodiscard]] Result<manager::Manager*> require_manager(Context& context);

// An object as the API shows it: without the part "Mesh".
template <class T>
[[nodiscard]] Json to_api(const T& object) {
  Json value = encode(object);
  value.as_object().erase("Mesh");
  return value;
}

}  // namespace mesh::api
