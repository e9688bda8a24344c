#include "control/agent/host_check.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/capability.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"
#include "dataplane/features.h"
#include "vxlan/features.h"

namespace mesh::agent {
namespace {

Result<std::uint64_t> effective_capabilities() {
  const std::string status = TRY(read_file("/proc/self/status"));
  for (const std::string_view line : split(status, '\n')) {
    constexpr std::string_view kKey = "CapEff:";
    if (!line.starts_with(kKey)) continue;
    const std::string digits(trim(line.substr(kKey.size())));
    return std::stoull(digits, nullptr, 16);
  }
  return fail(ErrorKind::kInternal, "/proc/self/status: no CapEff");
}

std::set<std::string> controllers_of(const CgroupLayout& layout) {
  std::set<std::string> controllers;
  const auto unified = read_file(layout.hook_directory() + "/cgroup.controllers");
  if (unified) {
    for (const std::string_view name : split(trim(*unified), ' ')) controllers.emplace(name);
  }
  // "/sys/fs/cgroup/cpu,cpuacct"
  for (const std::string& mount : layout.v1_mounts) {
    const std::string names = mount.substr(mount.rfind('/') + 1);
    for (const std::string_view name : split(names, ',')) controllers.emplace(name);
  }
  return controllers;
}

}  // namespace

std::vector<std::string> missing_capabilities(std::uint64_t effective) {
  struct Capability {
    unsigned int number;
    const char* name;
    const char* use;
  };
  constexpr std::array kNeeded{
      Capability{CAP_NET_ADMIN, "CAP_NET_ADMIN", "interfaces, routes, programs on them"},
      Capability{CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "namespaces, mounts, BPF"},
      Capability{CAP_CHOWN, "CAP_CHOWN", "unpacking images"},
      Capability{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", "unpacking images"},
      Capability{CAP_FOWNER, "CAP_FOWNER", "unpacking images"},
      Capability{CAP_MKNOD, "CAP_MKNOD", "unpacking images"},
      Capability{CAP_SETFCAP, "CAP_SETFCAP", "unpacking images"},
      Capability{CAP_KILL, "CAP_KILL", "stopping containers"},
      Capability{CAP_SETUID, "CAP_SETUID", "starting containers"},
      Capability{CAP_SETGID, "CAP_SETGID", "starting containers"},
      Capability{CAP_SETPCAP, "CAP_SETPCAP", "starting containers"},
      Capability{CAP_SYS_CHROOT, "CAP_SYS_CHROOT", "starting containers"},
  };
  std::vector<std::string> missing;
  for (const Capability& one : kNeeded) {
    if ((effective >> one.number & 1U) == 0) missing.push_back(fmt::format("{} ({})", one.name, one.use));
  }
  return missing;
}

Status find_filesystem(const std::string& type) {
  // Loads the module, if there is one, and makes no mount (fsopen(2), Linux 5.2).
  const Fd context(static_cast<int>(syscall(SYS_fsopen, type.c_str(), 1U /* FSOPEN_CLOEXEC */)));
  if (context) return {};
  const int code = errno;
  if (code == ENODEV) {
    return fail(ErrorKind::kUnsupported, fmt::format("the file system type {}: use a kernel that has it", type));
  }
  return fail_errno("the file system type " + type, code);
}

Status check_host(const std::string& pin_dir) {
  std::vector<std::string> missing;
  for (const std::string& capability : missing_capabilities(TRY(effective_capabilities()))) {
    missing.push_back(
        "the capability " + capability +
        ": run meshd as root, where nothing takes it away (CapabilityBoundingSet= of a unit, a container)");
  }
  if (missing.empty()) {  // without them no answer below would be the kernel's own
    missing = dataplane::missing_features({pin_dir});
    std::ranges::move(vxlan::missing_features(), std::back_inserter(missing));
    if (const Status overlay = find_filesystem("overlay"); !overlay) {
      missing.push_back(overlay.error().message + " (images are mounted with it; CONFIG_OVERLAY_FS, module overlay)");
    }
  }
  if (missing.empty()) return {};
  utsname name{};
  uname(&name);
  return fail(ErrorKind::kUnsupported, fmt::format("this host (Linux {}) lacks what meshd needs:\n  - {}", name.release,
                                                   fmt::join(missing, "\n  - ")));
}

api::LimitSupport limits_of(const CgroupLayout& layout) {
  const std::set<std::string> controllers = controllers_of(layout);
  return {controllers.contains("memory"), controllers.contains("cpu"), controllers.contains("pids")};
}

}  // namespace mesh::agent
