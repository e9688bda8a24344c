// What meshd needs of its host, asked when it starts: a host that lacks a part of it would take tasks and fail them one
// by one, so meshd does not start there and says what to change. Blocking, some 100 ms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/agent/cgroup_layout.h"
#include "control/api/local_node.h"

namespace mesh::agent {

// kUnsupported with one line per thing that is missing: capabilities of this process; if it has them all, features of
// the kernel for programs (dataplane/features.h), overlay (vxlan/features.h) and containers.
[[nodiscard]] Status check_host(const std::string& pin_dir);

// "CAP_NET_ADMIN (interfaces, routes, programs)" for each that is needed and not in the set (capabilities(7), CapEff of
// /proc/self/status). Pure.
[[nodiscard]] std::vector<std::string> missing_capabilities(std::uint64_t effective);
// kUnsupported: the kernel cannot mount this type, not even after loading a module for it.
[[nodiscard]] Status find_filesystem(const std::string& type);

// By the controllers of this host's cgroups. Without one of them meshd runs: only services that want its limit do not.
[[nodiscard]] api::LimitSupport limits_of(const CgroupLayout& layout);

}  // namespace mesh::agent
