#include "base/file.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/id.h"

namespace mesh {
namespace {

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t count = ::write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(fmt::format("write {}", path), errno);
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status write_and_rename(int fd, const std::string& temporary, const std::string& path, std::string_view content,
                        mode_t mode) {
  TRY(write_all(fd, content, temporary));
  // open(2) applied the umask; the caller's mode is meant exactly.
  if (::fchmod(fd, mode) != 0) return fail_errno(fmt::format("set mode of {}", temporary), errno);
  if (::fsync(fd) != 0) return fail_errno(fmt::format("sync {}", temporary), errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fail_errno(fmt::format("rename {} to {}", temporary, path), errno);
  return {};
}

Status sync_directory(const std::string& path) {
  const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return fail_errno(fmt::format("sync {}", path), errno);
  return {};
}

using Directory = std::unique_ptr<DIR, decltype([](DIR* dir) { ::closedir(dir); })>;

Result<std::vector<std::string>> names_in(DIR* directory, const std::string& path) {
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr && errno != 0) return fail_errno(fmt::format("list {}", path), errno);
    if (entry == nullptr) return names;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

Status remove_entry(int parent, const std::string& name, const std::string& path, dev_t device, int depth);

Status remove_content(int parent, const std::string& name, const std::string& path, dev_t device, int depth) {
  if (depth >= kTreeDepthMax) {
    return fail(ErrorKind::kExhausted, fmt::format("remove {}: deeper than {} directories", path, kTreeDepthMax));
  }
  Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return fail_errno(fmt::format("open {}", path), errno);
  const Directory directory(::fdopendir(fd.get()));
  if (!directory) return fail_errno(fmt::format("list {}", path), errno);
  const int number = fd.release();  // closedir closes it
  for (const std::string& child : TRY(names_in(directory.get(), path))) {
    TRY(remove_entry(number, child, path + "/" + child, device, depth + 1));
  }
  return {};
}

Status remove_entry(int parent, const std::string& name, const std::string& path, dev_t device, int depth) {
  struct stat status{};
  if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(fmt::format("remove {}", path), errno);
  }
  if (!S_ISDIR(status.st_mode)) {
    if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    return fail_errno(fmt::format("remove {}", path), errno);
  }
  if (status.st_dev != device) {
    return fail(ErrorKind::kConflict,
                fmt::format("remove {}: another file system is mounted there: unmount it first", path));
  }
  TRY(remove_content(parent, name, path, device, depth));
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return fail_errno(fmt::format("remove {}", path), errno);
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(fmt::format("open {}", path), errno);
  constexpr std::size_t kStep = 64U << 10U;
  std::string content;
  for (;;) {
    const std::size_t size = content.size();
    content.resize(size + kStep);
    const ssize_t count = ::read(fd.get(), content.data() + size, kStep);
    content.resize(size + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(fmt::format("read {}", path), errno);
    if (count == 0) return content;
    if (content.size() > max_bytes) {
      return fail(ErrorKind::kInvalid, fmt::format("{} is larger than the limit of {} bytes", path, max_bytes));
    }
  }
}

Status write_file(const std::string& path, std::string_view content, mode_t mode) {
  const std::string directory = parent_of(path);
  const std::string temporary = fmt::format("{}.{}.tmp", path, make_hex_id(4));
  const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(fmt::format("create {}", temporary), errno);
  Status status = write_and_rename(fd.get(), temporary, path, content, mode);
  if (!status) {
    (void)::unlink(temporary.c_str());
    return status;
  }
  return sync_directory(directory);
}

Status append_file(const std::string& path, std::string_view content, mode_t mode) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, mode));
  if (!fd) return fail_errno(fmt::format("open {}", path), errno);
  TRY(write_all(fd.get(), content, path));
  if (::fdatasync(fd.get()) != 0) return fail_errno(fmt::format("sync {}", path), errno);
  return sync_directory(parent_of(path));
}

Status write_kernel_file(const std::string& path, std::string_view content) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno(fmt::format("open {}", path), errno);
  return write_all(fd.get(), content, path);
}

Status make_directories(const std::string& path, mode_t mode) {
  if (path.empty()) return fail(ErrorKind::kInvalid, "make a directory: the path is empty");
  for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    if (::mkdir(path.substr(0, end).c_str(), 0755) != 0 && errno != EEXIST) {
      return fail_errno(fmt::format("make directory {}", path.substr(0, end)), errno);
    }
  }
  if (::mkdir(path.c_str(), mode) == 0) {
    if (::chmod(path.c_str(), mode) != 0) return fail_errno(fmt::format("set mode of {}", path), errno);
    return {};
  }
  struct stat status{};
  if (errno == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  return fail_errno(fmt::format("make directory {}", path), errno);
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  const Directory directory(::opendir(path.c_str()));
  if (!directory) return fail_errno(fmt::format("list {}", path), errno);
  std::vector<std::string> names = TRY(names_in(directory.get(), path));
  std::sort(names.begin(), names.end());
  return names;
}

Status remove_tree(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(fmt::format("remove {}", path), errno);
  }
  return remove_entry(AT_FDCWD, path, path, status.st_dev, 0);
}

}  // namespace mesh
