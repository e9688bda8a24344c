// Where this host's cgroups are, and the part of them that is ours: <prefix>/meshd below every hierarchy.
// cgroup v1, hybrid and v2 (kernel Documentation/admin-guide/cgroup-v2.rst).
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.h"

namespace mesh::agent {

struct CgroupLayout {
  std::vector<std::string> v1_mounts;  // "/sys/fs/cgroup/memory" …
  std::string v2_mount;                // "/sys/fs/cgroup" or "/sys/fs/cgroup/unified"
  std::string prefix;                  // "" or "/lab/node1": where this host lives in each of them

  [[nodiscard]] bool v2_only() const { return v1_mounts.empty(); }
  // The cgroup2 directory whose processes the connect hooks see.
  [[nodiscard]] std::string hook_directory() const { return v2_mount + prefix; }
  [[nodiscard]] std::string container_path(const std::string& container_id) const;  // cgroupsPath of the OCI spec
  [[nodiscard]] std::string monitor_path() const { return prefix + "/meshd/monitor"; }
};

// From /proc/self/mountinfo's text. `root` is --cgroup-root: "", a path below the cgroup2 mount, or a prefix.
// kUnsupported without a cgroup2 mount: the connect hooks attach only there. Pure.
[[nodiscard]] Result<CgroupLayout> parse_cgroup_layout(std::string_view mountinfo, const std::string& root);
[[nodiscard]] Result<CgroupLayout> find_cgroup_layout(const std::string& root);

// Moves a process into the monitors' cgroup in every hierarchy; made if absent.
Status enter_monitor_cgroup(const CgroupLayout& layout, pid_t pid);
// Kills what is left in <prefix>/meshd and removes it in every hierarchy.
Status remove_cgroups(const CgroupLayout& layout);

}  // namespace mesh::agent
