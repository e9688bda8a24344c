// Flags of `service create` and `service update` as values, and the ServiceSpec that they mean. Pure: what comes from
// files or from the environment was read by the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/model/service.h"

namespace mesh::meshctl {

// --update-* and --rollback-*.
struct UpdateFlags {
  std::optional<std::uint64_t> parallelism;
  std::optional<std::string> delay, failure_action, monitor, order;
  std::optional<double> max_failure_ratio;
};

// --mesh-*: labels of the service (model/mesh_options.h). "" removes the label.
struct MeshFlags {
  std::optional<std::string> return_mode, affinity, prefer, weight;
};

// Flags with one value, the same for both commands; absent: not given.
struct CommonFlags {
  std::optional<std::uint64_t> replicas, max_replicas, limit_pids;
  std::optional<std::string> hostname, user, workdir, entrypoint, stop_signal, stop_grace_period, endpoint_mode;
  std::optional<std::string> limit_cpu, limit_memory, reserve_cpu, reserve_memory;
  std::optional<std::string> restart_condition, restart_delay, restart_window;
  std::optional<std::uint64_t> restart_max_attempts;
  std::optional<std::string> health_cmd, health_interval, health_timeout, health_start_period, health_start_interval;
  std::optional<std::int64_t> health_retries;
  std::optional<bool> tty, read_only, init, no_healthcheck;
  UpdateFlags update, rollback;
  MeshFlags mesh;
};

struct CreateFlags {
  CommonFlags common;
  std::string name, mode = "replicated", image;
  std::vector<std::string> args;
  std::vector<std::string> env, labels, container_labels, publish, networks, constraints, preferences, mounts;
};

// A list flag of `service update`.
struct ListChange {
  std::vector<std::string> add, remove;
};

struct UpdateServiceFlags {
  CommonFlags common;
  std::optional<std::string> image, args;
  ListChange env, labels, container_labels, publish, networks, constraints, preferences, mounts;
  bool force = false;
};

// `env` entries are complete ("KEY=value").
[[nodiscard]] Result<model::ServiceSpec> make_spec(const CreateFlags& flags);

// `spec` with the flags applied. Removing what is not there is no error, as in docker, but for published ports.
[[nodiscard]] Result<model::ServiceSpec> change_spec(model::ServiceSpec spec, const UpdateServiceFlags& flags);

// Adds a published port; the same port with another target is replaced. False when it is there already.
bool add_port(model::ServiceSpec& spec, const model::PortConfig& port);

}  // namespace mesh::meshctl
