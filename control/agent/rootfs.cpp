#include "control/agent/rootfs.h"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/openat2.h>

#include "base/fd.h"
#include "base/file.h"

namespace mesh::agent {
namespace {

constexpr std::size_t kMountOptionsMax = 4095;  // mount(2) takes one page
constexpr std::size_t kUserFileMax = 4U << 20U;

// Layers are named relative to their directory, or the option string of a deep image would not fit. The working
// directory belongs to the process, so a thread that left it (CLONE_FS) does the mount.
Status mount_overlay(const std::string& layers_directory, const std::string& options, const std::string& target) {
  int code = 0;
  std::thread([&] {
    if (unshare(CLONE_FS) != 0 || chdir(layers_directory.c_str()) != 0 ||
        mount("overlay", target.c_str(), "overlay", 0, options.c_str()) != 0) {
      code = errno;
    }
  }).join();
  if (code == 0) return {};
  return fail_errno(fmt::format("mount overlayfs at {} (is the file system of the data directory able to hold an "
                                "overlay? overlayfs and network file systems are not)",
                                target),
                    code);
}

// "" when the image has no such file.
Result<std::string> read_inside(const std::string& rootfs, const std::string& path) {
  const Fd root(open(rootfs.c_str(), O_DIRECTORY | O_PATH | O_CLOEXEC));
  if (!root) return fail_errno("open " + rootfs, errno);
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const Fd file(static_cast<int>(syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return std::string();
  if (!file) return fail_errno("open " + path + " of the image", errno);
  return read_file(fmt::format("/proc/self/fd/{}", file.get()), kUserFileMax);
}

}  // namespace

Status mount_rootfs(const ImagePaths& images, const std::vector<std::string>& layers, const std::string& directory) {
  for (const char* name : {"/rootfs", "/upper", "/work"}) TRY(make_directories(directory + name, 0755));
  std::string lower;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    const std::string key = ImagePaths::layer_key(*layer);
    // overlayfs refuses the same directory twice; the uppermost of equal layers decides.
    if (lower.find(key) != std::string::npos) continue;
    lower.append(lower.empty() ? "" : ":").append(key);
  }
  if (lower.empty()) {
    TRY(make_directories(directory + "/lower", 0755));
    lower = directory + "/lower";
  }
  const std::string options = fmt::format("lowerdir={},upperdir={}/upper,workdir={}/work", lower, directory, directory);
  if (options.size() > kMountOptionsMax) {
    return fail(ErrorKind::kExhausted,
                fmt::format("the image's {} layers and the path {} do not fit into one mount; use "
                            "a shorter data directory",
                            layers.size(), directory));
  }
  return mount_overlay(images.layers(), options, directory + "/rootfs");
}

Status unmount_rootfs(const std::string& directory) {
  const std::string target = directory + "/rootfs";
  for (;;) {
    if (umount2(target.c_str(), UMOUNT_NOFOLLOW) == 0) continue;  // mounted more than once
    if (errno == EINVAL || errno == ENOENT) return {};
    if (errno == EBUSY && umount2(target.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) continue;
    return fail_errno("unmount " + target, errno);
  }
}

Result<ContainerUser> read_user(const std::string& rootfs, const std::string& user,
                                const std::vector<std::string>& groups) {
  const std::string passwd = TRY(read_inside(rootfs, "etc/passwd"));
  const std::string group = TRY(read_inside(rootfs, "etc/group"));
  return find_user(passwd, group, user, groups);
}

}  // namespace mesh::agent
