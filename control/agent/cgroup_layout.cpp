#include "control/agent/cgroup_layout.h"

#include <cerrno>
#include <chrono>
#include <signal.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

namespace mesh::agent {
namespace {

constexpr Duration kKillTimeout = std::chrono::seconds(5);
constexpr Duration kKillPoll = std::chrono::milliseconds(10);

bool is_directory(const std::string& path) {
  struct stat found{};
  return stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

// A v1 cpuset accepts no process before it has processors and memory nodes; it takes its parent's.
Status inherit_cpuset(const std::string& directory) {
  if (access((directory + "/cgroup.controllers").c_str(), F_OK) == 0) return {};  // v2: empty means the parent's
  for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
    const auto own = read_file(directory + name);
    if (!own || !trim(*own).empty()) continue;
    const std::string parent = directory.substr(0, directory.rfind('/'));
    TRY(write_kernel_file(directory + name, trim(TRY(read_file(parent + name)))));
  }
  return {};
}

Status make_cgroup(const std::string& mount, const std::string& path) {
  std::string directory = mount;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty()) continue;
    directory.append("/").append(part);
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("make cgroup " + directory, errno);
    TRY(inherit_cpuset(directory));
  }
  return {};
}

// Depth first: a cgroup with children cannot be removed.
Status remove_cgroup(const std::string& directory) {
  if (!is_directory(directory)) return {};
  for (const std::string& name : TRY(list_directory(directory))) {
    if (is_directory(directory + "/" + name)) TRY(remove_cgroup(directory + "/" + name));
  }
  for (Duration waited{};; waited += kKillPoll) {
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != EBUSY || waited >= kKillTimeout) return fail_errno("remove cgroup " + directory, errno);
    const auto processes = read_file(directory + "/cgroup.procs");
    if (processes) {
      for (const std::string_view line : split(*processes, '\n')) {
        if (const auto pid = parse_number<pid_t>(line)) (void)kill(*pid, SIGKILL);
      }
    }
    std::this_thread::sleep_for(kKillPoll);
  }
}

}  // namespace

std::string CgroupLayout::container_path(const std::string& container_id) const {
  return prefix + "/meshd/" + container_id;
}

Result<CgroupLayout> parse_cgroup_layout(std::string_view mountinfo, const std::string& root) {
  CgroupLayout layout;
  for (const std::string_view line : split(mountinfo, '\n')) {
    // "36 35 0:32 / /sys/fs/cgroup/unified rw … - cgroup2 cgroup2 rw" (proc(5))
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto left = split(line.substr(0, dash), ' ');
    const auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5) continue;
    const std::string_view mount = left[4];
    if (mount != "/sys/fs/cgroup" && !mount.starts_with("/sys/fs/cgroup/")) continue;
    if (right[0] == "cgroup2" && layout.v2_mount.empty()) layout.v2_mount = mount;
    if (right[0] == "cgroup") layout.v1_mounts.emplace_back(mount);
  }
  if (layout.v2_mount.empty()) {
    return fail(ErrorKind::kUnsupported,
                "no cgroup2 hierarchy is mounted below /sys/fs/cgroup, but virtual IPs need one to attach to; try "
                "\"mkdir /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified\"");
  }
  std::string prefix = root;
  if (prefix == layout.v2_mount || prefix.starts_with(layout.v2_mount + "/")) prefix.erase(0, layout.v2_mount.size());
  while (prefix.ends_with('/')) prefix.pop_back();
  if (!prefix.empty() && !prefix.starts_with('/')) prefix.insert(0, "/");
  if (prefix.starts_with("/sys/fs/cgroup")) {
    return fail(ErrorKind::kInvalid,
                fmt::format("--cgroup-root {} is not below the cgroup2 mount {}", root, layout.v2_mount));
  }
  layout.prefix = prefix;
  return layout;
}

Result<CgroupLayout> find_cgroup_layout(const std::string& root) {
  CgroupLayout layout = TRY(parse_cgroup_layout(TRY(read_file("/proc/self/mountinfo")), root));
  if (!is_directory(layout.hook_directory())) {
    return fail(ErrorKind::kNotFound,
                fmt::format("--cgroup-root {}: there is no cgroup {}", root, layout.hook_directory()));
  }
  return layout;
}

Status enter_monitor_cgroup(const CgroupLayout& layout, pid_t pid) {
  std::vector<std::string> mounts = layout.v1_mounts;
  mounts.push_back(layout.v2_mount);
  for (const std::string& mount : mounts) {
    TRY(make_cgroup(mount, layout.monitor_path()));
    TRY(write_kernel_file(mount + layout.monitor_path() + "/cgroup.procs", std::to_string(pid)));
  }
  return {};
}

Status remove_cgroups(const CgroupLayout& layout) {
  std::vector<std::string> mounts = layout.v1_mounts;
  mounts.push_back(layout.v2_mount);
  Status first;
  for (const std::string& mount : mounts) {
    Status removed = remove_cgroup(mount + layout.prefix + "/meshd");
    if (!removed && first) first = std::move(removed);
  }
  return first;
}

}  // namespace mesh::agent
