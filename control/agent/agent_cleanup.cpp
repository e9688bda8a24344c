// meshd --cleanup: every trace of the agent on this host.
#include <unistd.h>

#include <fmt/format.h>

#include "base/file.h"
#include "control/agent/agent.h"
#include "control/agent/container_runtime.h"
#include "control/agent/dns_process.h"
#include "control/agent/rootfs.h"
#include "dataplane/dataplane.h"
#include "vxlan/overlay.h"

namespace mesh::agent {
namespace {

// Goes on after an error and keeps what each said.
class Problems {
 public:
  void note(std::string_view what, Status status) {
    if (status) return;
    text_ += fmt::format("{}{}: {}", text_.empty() ? "" : "; ", what, status.error().message);
  }
  [[nodiscard]] Status result() const {
    if (text_.empty()) return {};
    return fail(ErrorKind::kInternal, "cleanup is not complete: " + text_);
  }

 private:
  std::string text_;
};

void remove_containers(const Options& options, const CgroupLayout& cgroups, Problems& problems) {
  const std::string containers = options.data_dir + "/containers";
  if (access(containers.c_str(), F_OK) != 0) return;
  const auto runtime = ContainerRuntime::find({options.data_dir, options.runtime_dir, cgroups});
  for (const std::string& id : list_directory(containers).value_or(std::vector<std::string>{})) {
    // Without a runtime the cgroups below still end every process; mounts are freed either way.
    problems.note("container " + id, runtime ? runtime->remove(id) : unmount_rootfs(containers + "/" + id));
  }
}

}  // namespace

Status Agent::cleanup(const Options& options) {
  Problems problems;
  const auto cgroups = find_cgroup_layout(options.cgroup_root);
  if (cgroups) {
    remove_containers(options, *cgroups, problems);
  } else {
    problems.note("cgroups, so containers stay", std::unexpected(cgroups.error()));
  }
  if (const auto names = dns::ask_state(options.runtime_dir + "/dns.sock"); names && cgroups) {
    DnsProcess dns({options.program, options.runtime_dir + "/dns.sock", options.runtime_dir + "/dns.json",
                    options.runtime_dir + "/dns.log", *cgroups});
    problems.note("mesh-dns", dns.stop());
  }
  problems.note("data plane", dataplane::Dataplane::cleanup({options.pin_dir}));
  problems.note("overlay", vxlan::Overlay::cleanup({options.runtime_dir}));
  if (cgroups) problems.note("cgroups", remove_cgroups(*cgroups));
  for (const char* name : {"/containers", "/images", "/agent"}) {
    problems.note(options.data_dir + name, remove_tree(options.data_dir + name));
  }
  for (const char* name : {"/runtime", "/netns", "/dns.sock", "/dns.json", "/dns.log"}) {
    problems.note(options.runtime_dir + name, remove_tree(options.runtime_dir + name));
  }
  return problems.result();
}

}  // namespace mesh::agent
