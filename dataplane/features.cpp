#include "dataplane/features.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sched.h>
#include <span>
#include <sys/vfs.h>
#include <thread>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/magic.h>

#include "base/fd.h"

namespace mesh::dataplane {
namespace {

constexpr int kLoopback = 1;  // index of lo in every network namespace

// "return result": the smallest program. The descriptor, or the errno.
Result<Fd> load_smallest(bpf_prog_type type, bpf_attach_type place, int result) {
  const std::array<bpf_insn, 2> code = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = result},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  bpf_prog_load_opts options{};
  options.sz = sizeof options;
  options.expected_attach_type = place;
  Fd fd(bpf_prog_load(type, "mesh_probe", "GPL", code.data(), code.size(), &options));
  if (!fd) return fail_errno("load a BPF program", errno);
  return fd;
}

// Zero or the errno.
int try_map(bpf_map_type type, std::uint32_t key_size, std::uint32_t flags) {
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = flags;
  const Fd fd(bpf_map_create(type, "mesh_probe", key_size, sizeof(std::uint64_t), 1, &options));
  return fd ? 0 : errno;
}

class Search {
 public:
  std::vector<std::string> run(const std::string& pin_dir) {
    if (const Status place = check_pin_directory(pin_dir); !place) note(place.error().message);
    if (!bpf_answers()) return std::move(missing_);
    maps();
    programs();
    if (!forbidden_) {
      helpers();
      tc_attachment();
    }
    return std::move(missing_);
  }

 private:
  void note(std::string text) { missing_.push_back(std::move(text)); }
  void note_forbidden(std::string_view what) {
    if (std::exchange(forbidden_, true)) return;
    note(
        fmt::format("permission for BPF ({} is answered with \"{}\"): run meshd with CAP_BPF and CAP_NET_ADMIN, or "
                    "CAP_SYS_ADMIN, and without a seccomp filter against bpf(2)",
                    what, std::strerror(EPERM)));
  }

  bool bpf_answers() {
    const int code = try_map(BPF_MAP_TYPE_ARRAY, sizeof(std::uint32_t), 0);
    if (code == ENOSYS) {
      note("the bpf(2) system call (CONFIG_BPF_SYSCALL): use a kernel that has it, Linux 6.1 or later");
    } else if (code == EPERM) {
      note_forbidden("a map");
    }
    return code != ENOSYS && code != EPERM;
  }

  void maps() {
    struct Wanted {
      bpf_map_type type;
      std::uint32_t key_size, flags;
      const char* name;
    };
    constexpr std::uint32_t kPrefixKey = 20;  // length and address
    constexpr std::array kWanted{
        Wanted{BPF_MAP_TYPE_ARRAY, 4, BPF_F_MMAPABLE, "mapped array"},
        Wanted{BPF_MAP_TYPE_PERCPU_ARRAY, 4, 0, "per-CPU array"},
        Wanted{BPF_MAP_TYPE_HASH, 4, BPF_F_NO_PREALLOC, "hash"},
        Wanted{BPF_MAP_TYPE_LRU_HASH, 4, 0, "LRU hash"},
        Wanted{BPF_MAP_TYPE_LPM_TRIE, kPrefixKey, BPF_F_NO_PREALLOC, "longest-prefix-match"},
    };
    for (const Wanted& wanted : kWanted) {
      const int code = try_map(wanted.type, wanted.key_size, wanted.flags);
      if (code == EPERM) {
        note_forbidden(fmt::format("a {} map", wanted.name));
      } else if (code != 0) {
        note(fmt::format("BPF maps of type {} ({}): use Linux 6.1 or later", wanted.name, std::strerror(code)));
      }
    }
  }

  void program(bpf_prog_type type, bpf_attach_type place, int result, std::string_view name, std::string_view advice) {
    const Result<Fd> loaded = load_smallest(type, place, result);
    if (loaded) return;
    if (loaded.error().kind == ErrorKind::kForbidden) {
      note_forbidden(fmt::format("a program for {}", name));
    } else {
      note(fmt::format("BPF programs for {} ({}): {}", name, loaded.error().message, advice));
    }
  }

  void programs() {
    program(BPF_PROG_TYPE_XDP, bpf_attach_type{}, XDP_PASS, "XDP", "use Linux 6.1 or later with CONFIG_NET");
    program(BPF_PROG_TYPE_SCHED_CLS, bpf_attach_type{}, 0, "tc", "use a kernel with CONFIG_NET_CLS_BPF");
    struct Place {
      bpf_attach_type type;
      const char* name;
    };
    constexpr std::array kPlaces{Place{BPF_CGROUP_INET4_CONNECT, "cgroup connect4"},
                                 Place{BPF_CGROUP_INET6_CONNECT, "cgroup connect6"},
                                 Place{BPF_CGROUP_UDP4_SENDMSG, "cgroup sendmsg4"},
                                 Place{BPF_CGROUP_UDP6_SENDMSG, "cgroup sendmsg6"},
                                 Place{BPF_CGROUP_UDP4_RECVMSG, "cgroup recvmsg4"},
                                 Place{BPF_CGROUP_UDP6_RECVMSG, "cgroup recvmsg6"},
                                 Place{BPF_CGROUP_INET4_GETPEERNAME, "cgroup getpeername4"},
                                 Place{BPF_CGROUP_INET6_GETPEERNAME, "cgroup getpeername6"}};
    for (const Place& place : kPlaces) {
      program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, place.type, 1, place.name, "use a kernel with CONFIG_CGROUP_BPF");
    }
  }

  // The newest that the programs call; older kernels have the others.
  void helpers() {
    struct Helper {
      bpf_prog_type type;
      bpf_func_id id;
      const char* name;
      const char* since;
    };
    constexpr std::array kHelpers{
        Helper{BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_redirect_peer, "bpf_redirect_peer", "5.10"},
        Helper{BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_redirect_neigh, "bpf_redirect_neigh", "5.10"},
        Helper{BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_fib_lookup, "bpf_fib_lookup", "4.18"},
        Helper{BPF_PROG_TYPE_XDP, BPF_FUNC_fib_lookup, "bpf_fib_lookup", "4.18"},
        Helper{BPF_PROG_TYPE_XDP, BPF_FUNC_jiffies64, "bpf_jiffies64", "5.6"},
        Helper{BPF_PROG_TYPE_XDP, BPF_FUNC_loop, "bpf_loop", "5.17"},
        Helper{BPF_PROG_TYPE_XDP, BPF_FUNC_xdp_load_bytes, "bpf_xdp_load_bytes", "5.18"},
        Helper{BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_netns_cookie, "bpf_get_netns_cookie", "5.7"},
        Helper{BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval, "bpf_set_retval", "5.18"}};
    for (const Helper& helper : kHelpers) {
      // Negative: it cannot be asked here; loading the programs will tell.
      if (libbpf_probe_bpf_helper(helper.type, helper.id, nullptr) != 0) continue;
      note(fmt::format("the BPF helper {} (Linux {}): use Linux 6.1 or later", helper.name, helper.since));
    }
  }

  // The queueing discipline that holds the programs, and the classifier: often modules, loaded at their first use.
  void tc_attachment() {
    const Result<Fd> loaded = load_smallest(BPF_PROG_TYPE_SCHED_CLS, bpf_attach_type{}, 0);
    if (!loaded) return;  // named already
    int made = 0;
    int attached = 0;
    std::thread thread([&] {                   // a namespace belongs to a thread, and ends with this one
      if (unshare(CLONE_NEWNET) != 0) return;  // named by whoever needs namespaces more
      bpf_tc_hook hook{};
      hook.sz = sizeof hook;
      hook.ifindex = kLoopback;
      hook.attach_point = BPF_TC_INGRESS;
      made = bpf_tc_hook_create(&hook);
      if (made != 0) return;
      bpf_tc_opts options{};
      options.sz = sizeof options;
      options.prog_fd = loaded->get();
      attached = bpf_tc_attach(&hook, &options);
    });
    thread.join();
    if (made != 0) {
      note(
          fmt::format("the queueing discipline clsact ({}): use a kernel with CONFIG_NET_SCH_INGRESS (module "
                      "sch_ingress), and run meshd with CAP_NET_ADMIN and CAP_SYS_ADMIN",
                      std::strerror(-made)));
    } else if (attached != 0) {
      note(fmt::format("the tc classifier bpf ({}): use a kernel with CONFIG_NET_CLS_BPF (module cls_bpf)",
                       std::strerror(-attached)));
    }
  }

  std::vector<std::string> missing_;
  bool forbidden_ = false;
};

}  // namespace

Status check_pin_directory(const std::string& path) {
  std::filesystem::path existing = path;
  std::error_code error;
  while (!std::filesystem::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  struct statfs info{};
  if (statfs(existing.c_str(), &info) != 0) return fail_errno(path, errno);
  if (static_cast<unsigned long>(info.f_type) == BPF_FS_MAGIC) return {};
  return fail(ErrorKind::kUnsupported,
              fmt::format("a BPF file system for {} (the data plane could not outlive meshd without): mount one with: "
                          "mount -t bpf bpf /sys/fs/bpf",
                          path));
}

std::vector<std::string> missing_features(const Options& options) {
  // What is probed and missing is no news for the log.
  const libbpf_print_fn_t before = libbpf_set_print(nullptr);
  std::vector<std::string> missing = Search().run(options.pin_dir);
  libbpf_set_print(before);
  return missing;
}

}  // namespace mesh::dataplane
