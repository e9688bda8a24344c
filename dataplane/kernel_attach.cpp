// Kernel: attaching programs, finding what is attached, and taking everything away again.
#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <net/if.h>
#include <optional>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>

#include "base/text.h"
#include "dataplane/filters.h"
#include "dataplane/kernel.h"
#include "dataplane/wanted.h"

namespace mesh::dataplane {
namespace {

// Ours among the tc filters of an interface. A high number: who wants to see packets first can.
constexpr std::uint32_t kFilterHandle = 0x6d65;
constexpr std::uint32_t kFilterPriority = 49000;
constexpr std::size_t kKernelNameMax = 15;  // BPF_OBJ_NAME_LEN - 1: the kernel cuts program names there

std::string interface_name(std::uint32_t ifindex) {
  std::array<char, IF_NAMESIZE> name{};
  if (if_indextoname(ifindex, name.data()) == nullptr) return fmt::format("interface {}", ifindex);
  return name.data();
}

// By the kernel's copy of the name; nothing if it is none of our tc programs.
std::optional<Hook> hook_of_program(std::uint32_t program_id, std::uint32_t ifindex) {
  const Fd fd(bpf_prog_get_fd_by_id(program_id));
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return std::nullopt;
  const std::string name = info.name;
  for (const auto& [kind, program] :
       {std::pair{Hook::Kind::kUplinkTc, kUplinkTcProgram}, std::pair{Hook::Kind::kEndpointTc, kEndpointTcProgram},
        std::pair{Hook::Kind::kEntryTc, kEntryTcProgram}}) {
    if (std::string_view(program).substr(0, kKernelNameMax) == name) return Hook{kind, ifindex, program};
  }
  return std::nullopt;
}

bpf_tc_hook tc_hook(std::uint32_t ifindex) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = static_cast<int>(ifindex);
  hook.attach_point = BPF_TC_INGRESS;
  return hook;
}

bpf_tc_opts filter_options() {
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.handle = kFilterHandle;
  options.priority = kFilterPriority;
  return options;
}

// Program of the filter in our place; 0 if there is none.
std::uint32_t filter_program(std::uint32_t ifindex) {
  const bpf_tc_hook hook = tc_hook(ifindex);
  bpf_tc_opts options = filter_options();
  return bpf_tc_query(&hook, &options) == 0 ? options.prog_id : 0;
}

std::string marker_of(const std::string& pin_dir, std::uint32_t ifindex) {
  return fmt::format("{}/clsact/{}", pin_dir, ifindex);
}

Status remove_filter(const std::string& pin_dir, std::uint32_t ifindex) {
  bpf_tc_hook hook = tc_hook(ifindex);
  const bpf_tc_opts options = filter_options();
  const int outcome = bpf_tc_detach(&hook, &options);
  // An interface that is gone took its filters along.
  if (outcome != 0 && outcome != -ENOENT && outcome != -EINVAL && outcome != -ENODEV) {
    return fail_errno("detach tc filter from " + interface_name(ifindex), -outcome);
  }
  std::error_code error;
  const std::string marker = marker_of(pin_dir, ifindex);
  if (!std::filesystem::exists(marker, error)) return {};
  // The qdisc is ours to remove only if nobody hung another filter into it.
  const bool others = TRY(has_filters(ifindex));
  if (!others) {
    hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
    bpf_tc_hook_destroy(&hook);
  }
  std::filesystem::remove(marker, error);
  return {};
}

struct LinkInfo {
  std::uint32_t program_id = 0;
  std::uint32_t ifindex = 0;
  std::uint64_t cgroup_id = 0;
};
std::optional<LinkInfo> read_link(const std::string& path) {
  const Fd fd(bpf_obj_get(path.c_str()));
  bpf_link_info info{};
  std::uint32_t size = sizeof info;
  if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return std::nullopt;
  if (info.type == BPF_LINK_TYPE_XDP) return LinkInfo{info.prog_id, info.xdp.ifindex, 0};
  if (info.type == BPF_LINK_TYPE_CGROUP) return LinkInfo{info.prog_id, 0, info.cgroup.cgroup_id};
  return std::nullopt;
}

// At once: the kernel would let go of an unpinned link only some time later.
void drop_link(const std::string& path) {
  const Fd fd(bpf_obj_get(path.c_str()));
  if (fd) bpf_link_detach(fd.get());  // of a link whose interface is gone there is nothing to detach
  std::error_code error;
  std::filesystem::remove(path, error);
}

const std::map<std::string, bpf_attach_type>& cgroup_types() {
  static const std::map<std::string, bpf_attach_type> kTypes = {
      {"mesh_connect4", BPF_CGROUP_INET4_CONNECT},      {"mesh_connect6", BPF_CGROUP_INET6_CONNECT},
      {"mesh_sendmsg4", BPF_CGROUP_UDP4_SENDMSG},       {"mesh_sendmsg6", BPF_CGROUP_UDP6_SENDMSG},
      {"mesh_recvmsg4", BPF_CGROUP_UDP4_RECVMSG},       {"mesh_recvmsg6", BPF_CGROUP_UDP6_RECVMSG},
      {"mesh_peername4", BPF_CGROUP_INET4_GETPEERNAME}, {"mesh_peername6", BPF_CGROUP_INET6_GETPEERNAME},
  };
  return kTypes;
}

std::unexpected<Error> xdp_failure(std::uint32_t ifindex, int code) {
  const std::string what = fmt::format("uplink {}: attach XDP program", interface_name(ifindex));
  switch (code) {
    case EOPNOTSUPP:
      return fail(ErrorKind::kUnsupported,
                  what + ": its driver does not run XDP programs; use --uplink-mode tc (or auto)");
    case EBUSY:
    case EEXIST:
      return fail(ErrorKind::kConflict,
                  what +
                      ": another XDP program is attached there; remove it (ip link set dev NAME xdp off) or use "
                      "--uplink-mode tc");
    case EINVAL:
    case ERANGE:
      return fail(ErrorKind::kUnsupported,
                  what +
                      ": the driver refuses it, mostly because of a large MTU or receive offloads; lower the MTU or "
                      "use --uplink-mode tc");
    default:
      return fail_errno(what, code);
  }
}

}  // namespace

std::string Kernel::link_path(const Hook& hook) const {
  if (hook.kind == Hook::Kind::kUplinkXdp) return fmt::format("{}/links/xdp_{}", pin_dir_, hook.ifindex);
  return fmt::format("{}/links/cgroup_{}", pin_dir_, hook.program);
}

Result<Fd> Kernel::put_in_place(std::uint32_t uplink, int program) const {
  const std::string path = link_path({Hook::Kind::kUplinkXdp, uplink, kUplinkXdpProgram});
  Fd link(bpf_obj_get(path.c_str()));
  if (!link) return fail_errno("open " + path, errno);
  if (bpf_link_update(link.get(), program, nullptr) != 0) return fail_errno("replace the program of " + path, errno);
  return link;
}

void Kernel::observe_links(Observed& observed) const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(pin_dir_ + "/links", error)) {
    const std::string name = entry.path().filename();
    const std::optional<LinkInfo> link = read_link(entry.path());
    if (link && name.starts_with("cgroup_")) {
      const Hook hook{Hook::Kind::kCgroup, 0, name.substr(std::string_view("cgroup_").size())};
      observed.hooks[hook] = {link->program_id, link->cgroup_id};
    } else if (link && name.starts_with("xdp_") && link->ifindex != 0) {
      const auto stand_in = stand_in_.lock();
      const bool stands_in = stand_in && stand_in->program_id == link->program_id;
      observed.hooks[{Hook::Kind::kUplinkXdp, link->ifindex, kUplinkXdpProgram}] = {
          stands_in ? stand_in->for_id : link->program_id, 0};
    } else {
      std::filesystem::remove(entry.path(), error);  // its interface is gone, or it is nothing of ours
    }
  }
}

void Kernel::observe_filters(Observed& observed) const {
  struct FreeNames {
    void operator()(struct if_nameindex* names) const { if_freenameindex(names); }
  };
  const std::unique_ptr<struct if_nameindex, FreeNames> interfaces(if_nameindex());
  for (const struct if_nameindex* at = interfaces.get(); at != nullptr && at->if_index != 0; ++at) {
    const std::uint32_t program = filter_program(at->if_index);
    if (program == 0) continue;
    if (const std::optional<Hook> hook = hook_of_program(program, at->if_index)) observed.hooks[*hook] = {program, 0};
  }
}

Status Kernel::run(const Attach& action) {
  const auto program = programs_.find(action.hook.program);
  if (program == programs_.end()) return fail(ErrorKind::kInternal, "no program " + action.hook.program);
  TRY(catch_up_before(action.hook));
  if (is_tc(action.hook.kind)) return attach_filter(action.hook, program->second.get());
  return attach_link(action.hook, program->second.get());
}

Status Kernel::attach_filter(const Hook& hook, int program) {
  bpf_tc_hook where = tc_hook(hook.ifindex);
  const std::string what = fmt::format("attach {} to {}", hook.program, interface_name(hook.ifindex));
  const int made = bpf_tc_hook_create(&where);
  if (made == 0) {
    std::error_code error;
    std::filesystem::create_directories(marker_of(pin_dir_, hook.ifindex), error);
  } else if (made != -EEXIST) {
    return fail_errno(what + " (clsact)", -made);
  }
  const std::uint32_t present = filter_program(hook.ifindex);
  if (present != 0 && !hook_of_program(present, hook.ifindex)) {
    return fail(ErrorKind::kConflict, fmt::format("{}: a filter of another program has priority {} and handle {:#x}",
                                                  what, kFilterPriority, kFilterHandle));
  }
  bpf_tc_opts options = filter_options();
  options.prog_fd = program;
  options.flags = BPF_TC_F_REPLACE;
  const int outcome = bpf_tc_attach(&where, &options);
  if (outcome != 0) return fail_errno(what, -outcome);
  return {};
}

Status Kernel::attach_link(const Hook& hook, int program) {
  const std::string path = link_path(hook);
  const bool is_xdp = hook.kind == Hook::Kind::kUplinkXdp;
  std::error_code error;
  if (const std::optional<LinkInfo> link = read_link(path)) {
    const bool same_place = is_xdp ? link->ifindex == hook.ifindex : link->cgroup_id == facts_.cgroup_id;
    const Fd fd(bpf_obj_get(path.c_str()));
    // In one step, without a moment in which nothing is attached. Refused, the program that is there stays.
    if (same_place && fd && bpf_link_update(fd.get(), program, nullptr) == 0) return {};
    if (same_place && fd && errno != ENOLINK) {
      if (is_xdp) return xdp_failure(hook.ifindex, errno);
      return fail_errno("replace " + hook.program + " at the cgroup root", errno);
    }
  }
  drop_link(path);
  std::filesystem::create_directories(pin_dir_ + "/links", error);
  if (error) return fail_errno(pin_dir_ + "/links", error.value());
  Fd fd;
  if (is_xdp) {
    bpf_link_create_opts options{};
    options.sz = sizeof options;
    options.flags = XDP_FLAGS_DRV_MODE;
    fd.reset(bpf_link_create(program, static_cast<int>(hook.ifindex), BPF_XDP, &options));
    if (!fd) return xdp_failure(hook.ifindex, errno);
  } else {
    const auto type = cgroup_types().find(hook.program);
    if (type == cgroup_types().end()) return fail(ErrorKind::kInternal, "no cgroup hook for " + hook.program);
    // Links are "multi": programs of others in this cgroup and below it run too.
    fd.reset(bpf_link_create(program, cgroup_.get(), type->second, nullptr));
    if (!fd) return fail_errno("attach " + hook.program + " to the cgroup root", errno);
  }
  if (bpf_obj_pin(fd.get(), path.c_str()) != 0) return fail_errno("pin " + path, errno);
  return {};
}

Status Kernel::run(const Detach& action) {
  if (is_tc(action.hook.kind)) return remove_filter(pin_dir_, action.hook.ifindex);
  drop_link(link_path(action.hook));
  return {};
}

Status Kernel::cleanup(const Options& options) {
  std::string problems;
  const auto note = [&](const Status& status) {
    if (!status) problems.append(problems.empty() ? "" : "; ").append(status.error().message);
  };
  libbpf_set_print(nullptr);
  Kernel kernel;
  kernel.pin_dir_ = options.pin_dir;
  Observed observed;
  kernel.observe_filters(observed);
  for (const auto& [hook, attached] : observed.hooks) note(remove_filter(options.pin_dir, hook.ifindex));
  // Qdiscs whose filter went by another hand.
  std::error_code error;
  std::vector<std::uint32_t> left;
  for (const auto& entry : std::filesystem::directory_iterator(options.pin_dir + "/clsact", error)) {
    if (const auto ifindex = parse_number<std::uint32_t>(entry.path().filename().string())) left.push_back(*ifindex);
  }
  for (const std::uint32_t ifindex : left) note(remove_filter(options.pin_dir, ifindex));
  std::vector<std::string> links;
  for (const auto& entry : std::filesystem::directory_iterator(options.pin_dir + "/links", error)) {
    links.push_back(entry.path());
  }
  for (const std::string& link : links) drop_link(link);
  error.clear();
  std::filesystem::remove_all(options.pin_dir, error);
  if (error) note(fail_errno(options.pin_dir, error.value()));
  if (problems.empty()) return {};
  return fail(ErrorKind::kInternal, "cleanup of the data plane: " + problems);
}

}  // namespace mesh::dataplane
