// The OCI runtime-spec (1.0.2) of a container: Docker's default confinement and what the service asks. Pure.
#pragma once

#include <string>

#include "base/json.h"
#include "control/agent/container_config.h"
#include "control/agent/container_user.h"

namespace mesh::agent {

// Where a container's parts are on this host; every path absolute.
struct ContainerPlaces {
  std::string directory;          // its own: config.json, rootfs, hosts, hostname, resolv.conf, log …
  std::string netns_path;         // empty: a network namespace of its own, not wired
  std::string cgroup_path;        // below each hierarchy
  bool cgroup_namespace = false;  // with cgroup v2 alone, as docker does
  std::string init_path;          // of a small init on the host; used if config.init

  [[nodiscard]] std::string rootfs() const { return directory + "/rootfs"; }
};

[[nodiscard]] Json make_oci_spec(const ContainerConfig& config, const ContainerUser& user, const Json& seccomp,
                                 const ContainerPlaces& places);

// The files bound over the image's own.
[[nodiscard]] std::string make_hosts_file(const ContainerConfig& config);
[[nodiscard]] std::string make_resolv_conf(const ContainerConfig& config);

}  // namespace mesh::agent
