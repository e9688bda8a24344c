// Network namespaces as bind mounts. Work inside one runs on a thread of its own that enters it and ends: a namespace
// belongs to a thread (setns(2)), so no other code of the process can ever find itself in the wrong one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"

namespace mesh::vxlan {

// Runs `work` inside the namespace at `path` and gives back its status. "" is the caller's own namespace.
[[nodiscard]] Status in_netns(const std::string& path, const std::function<Status()>& work);
// The same inside a new one that ends with the work.
[[nodiscard]] Status in_new_netns(const std::function<Status()>& work);
// True if a namespace is mounted at `path`.
[[nodiscard]] bool is_netns(const std::string& path);
// SO_NETNS_COOKIE of the calling thread's namespace: what BPF's bpf_get_netns_cookie() returns there.
[[nodiscard]] Result<std::uint64_t> netns_cookie();

}  // namespace mesh::vxlan
