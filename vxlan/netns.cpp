#include "vxlan/netns.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <net/if.h>
#include <optional>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/magic.h>

#include "base/fd.h"
#include "vxlan/overlay.h"

namespace mesh::vxlan {
namespace {

// Runs `work` on a thread that ends with it, so whatever namespace it enters is forgotten.
Status on_own_thread(const std::function<Status()>& work) {
  Status status;
  std::thread thread([&] {
    try {
      status = work();
    } catch (const std::exception& error) {
      status = fail(ErrorKind::kInternal, error.what());
    }
  });
  thread.join();
  return status;
}

Status bring_up_loopback() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket", errno);
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("lo: up", errno);
  return {};
}

}  // namespace

Status in_netns(const std::string& path, const std::function<Status()>& work) {
  if (path.empty()) return work();
  const Fd netns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns) return fail_errno(fmt::format("network namespace {}", path), errno);
  return on_own_thread([&]() -> Status {
    if (setns(netns.get(), CLONE_NEWNET) != 0) return fail_errno(fmt::format("enter {}", path), errno);
    return work();
  });
}

Status in_new_netns(const std::function<Status()>& work) {
  return on_own_thread([&]() -> Status {
    if (unshare(CLONE_NEWNET) != 0) return fail_errno("make a network namespace", errno);
    return work();
  });
}

bool is_netns(const std::string& path) {
  struct statfs info{};
  return statfs(path.c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

Result<std::uint64_t> netns_cookie() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket", errno);
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  constexpr int kSoNetnsCookie = 71;  // since Linux 5.14; libc's header may be older
  if (getsockopt(socket.get(), SOL_SOCKET, kSoNetnsCookie, &cookie, &size) != 0) {
    return fail_errno("SO_NETNS_COOKIE (Linux 5.14 or later is needed)", errno);
  }
  return cookie;
}

Status create_netns(const std::string& path) {
  if (is_netns(path)) return {};
  const std::string what = fmt::format("create network namespace {}", path);
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return fail_errno(what, error.value());
  const Fd file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
  if (!file) return fail_errno(what, errno);
  return on_own_thread([&]() -> Status {
    if (unshare(CLONE_NEWNET) != 0) return fail_errno(what, errno);
    TRY(bring_up_loopback());
    if (mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail_errno(what, errno);
    return {};
  });
}

Status delete_netns(const std::string& path) {
  const std::string what = fmt::format("delete network namespace {}", path);
  // An interrupted create may have mounted twice: unmount until nothing is there.
  while (is_netns(path)) {
    if (umount2(path.c_str(), MNT_DETACH) != 0) return fail_errno(what, errno);
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(what, errno);
  return {};
}

}  // namespace mesh::vxlan
