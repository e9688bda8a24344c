#include "control/agent/layer_tree.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/openat2.h>

namespace mesh::agent {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr std::string_view kAufsPrefix = ".wh..wh.";  // bookkeeping of aufs, no whiteout
constexpr const char* kOpaqueAttribute = "trusted.overlay.opaque";

int open_beneath(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
}

std::unexpected<Error> refuse(const std::string& path, std::string_view why) {
  return fail(ErrorKind::kInvalid, fmt::format("layer entry \"{}\" refused: {}", path, why));
}

// "./a//b/" -> "a/b"; the root is "".
Result<std::string> clean_path(const std::string& path) {
  if (path.starts_with('/') && path.find_first_not_of('/') != std::string::npos) {
    return refuse(path, "an absolute path would leave the container's root");
  }
  std::string clean;
  std::size_t at = 0;
  while (at <= path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = std::string_view(path).substr(at, end - at);
    if (part == "..") return refuse(path, "\"..\" would leave the container's root");
    if (!part.empty() && part != ".") clean.append(clean.empty() ? "" : "/").append(part);
    at = end + 1;
  }
  return clean;
}

// A path in /proc that names an open directory's entry: for calls that have no *at form.
std::string proc_path(int directory, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", directory, name);
}

Status set_xattrs(const std::string& proc, const LayerEntry& entry) {
  for (const auto& [name, value] : entry.xattrs) {
    // trusted.* steers overlayfs itself; a layer has no business there.
    if (name.starts_with("trusted.")) continue;
    if (lsetxattr(proc.c_str(), name.c_str(), value.data(), value.size(), 0) != 0 && errno != ENOTSUP &&
        !(errno == EPERM && S_ISLNK(entry.mode))) {
      return fail_errno(fmt::format("layer entry \"{}\": attribute {}", entry.path, name), errno);
    }
  }
  return {};
}

std::unexpected<Error> entry_errno(const LayerEntry& entry, std::string_view what) {
  return fail_errno(fmt::format("layer entry \"{}\": {}", entry.path, what), errno);
}

}  // namespace

Result<LayerTree> LayerTree::open(const std::string& root) {
  LayerTree tree;
  tree.root_ = Fd(::open(root.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  if (!tree.root_) return fail_errno("open layer directory " + root, errno);
  return tree;
}

Result<LayerTree::Place> LayerTree::locate(const std::string& path, bool make_parents) {
  Place place;
  place.path = TRY(clean_path(path));
  const std::size_t slash = place.path.rfind('/');
  place.name = slash == std::string::npos ? place.path : place.path.substr(slash + 1);
  const std::string parent = slash == std::string::npos ? std::string(".") : place.path.substr(0, slash);
  place.parent = Fd(open_beneath(root_.get(), parent, O_DIRECTORY | O_RDONLY));
  if (!place.parent && errno == ENOENT && make_parents) {
    // Archives may leave directories out; they are root's, 0755, as docker makes them.
    const Place above = TRY(locate(parent, true));
    if (mkdirat(above.parent.get(), above.name.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail_errno(fmt::format("layer entry \"{}\": make directory {}", path, parent), errno);
    }
    place.parent = Fd(open_beneath(root_.get(), parent, O_DIRECTORY | O_RDONLY));
  }
  if (!place.parent && errno == EXDEV) {
    return refuse(path, "it goes through a symbolic link that leaves the container's root");
  }
  if (!place.parent && (errno == ENOTDIR || errno == ELOOP)) return refuse(path, "its parent is no directory");
  if (!place.parent) return fail_errno(fmt::format("layer entry \"{}\": open its parent", path), errno);
  return place;
}

Result<bool> LayerTree::make_room(const Place& place) {
  struct stat found{};
  if (fstatat(place.parent.get(), place.name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    return fail_errno(fmt::format("layer entry \"{}\"", place.path), errno);
  }
  if (S_ISDIR(found.st_mode)) {
    std::error_code error;
    std::filesystem::remove_all(proc_path(place.parent.get(), place.name), error);
    if (error) return fail(ErrorKind::kInternal, fmt::format("replace \"{}\": {}", place.path, error.message()));
    std::erase_if(directory_times_,
                  [&](const auto& row) { return row.first == place.path || row.first.starts_with(place.path + "/"); });
    return false;
  }
  if (unlinkat(place.parent.get(), place.name.c_str(), 0) != 0) {
    return fail_errno(fmt::format("replace \"{}\"", place.path), errno);
  }
  return S_ISCHR(found.st_mode) && found.st_rdev == makedev(0, 0);
}

Status LayerTree::add_whiteout(const Place& place) {
  if (place.name == kOpaqueMarker) {
    if (fsetxattr(place.parent.get(), kOpaqueAttribute, "y", 1, 0) != 0) {
      return fail_errno(fmt::format("mark the directory of \"{}\" opaque (is the file system able to hold trusted.* "
                                    "attributes?)",
                                    place.path),
                        errno);
    }
    return {};
  }
  if (place.name.starts_with(kAufsPrefix)) return {};
  const std::string hidden = place.name.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") return refuse(place.path, "a whiteout of no file");
  struct stat found{};
  if (fstatat(place.parent.get(), hidden.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) {
    // This layer itself has the file: the whiteout only hides what lies below.
    if (!S_ISDIR(found.st_mode)) return {};
    const Fd directory(openat(place.parent.get(), hidden.c_str(), O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory || fsetxattr(directory.get(), kOpaqueAttribute, "y", 1, 0) != 0) {
      return fail_errno(fmt::format("mark \"{}\" opaque", place.path), errno);
    }
    return {};
  }
  if (mknodat(place.parent.get(), hidden.c_str(), S_IFCHR, makedev(0, 0)) != 0) {
    return fail_errno(fmt::format("whiteout \"{}\"", place.path), errno);
  }
  return {};
}

Status LayerTree::add_hard_link(const Place& place, const LayerEntry& entry) {
  const Place target = TRY_IN(fmt::format("hard link \"{}\"", entry.path), locate(entry.hard_link, false));
  if (target.path == place.path) return {};
  if (target.name.empty()) return refuse(entry.path, "a hard link to the root directory");
  TRY(make_room(place));
  if (linkat(target.parent.get(), target.name.c_str(), place.parent.get(), place.name.c_str(), 0) != 0) {
    return entry_errno(entry, fmt::format("hard link to \"{}\"", entry.hard_link));
  }
  return {};
}

Status LayerTree::add_directory(const Place& place, const LayerEntry& entry) {
  bool hides = false;
  if (!place.name.empty()) {
    struct stat found{};
    const bool exists = fstatat(place.parent.get(), place.name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
    if (!exists || !S_ISDIR(found.st_mode)) {
      hides = TRY(make_room(place));
      if (mkdirat(place.parent.get(), place.name.c_str(), 0700) != 0) return entry_errno(entry, "make directory");
    }
  }
  const std::string name = place.name.empty() ? "." : place.name;
  const Fd directory(openat(place.parent.get(), name.c_str(), O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return entry_errno(entry, "open directory");
  if (hides && fsetxattr(directory.get(), kOpaqueAttribute, "y", 1, 0) != 0) return entry_errno(entry, "mark opaque");
  if (fchown(directory.get(), entry.uid, entry.gid) != 0) return entry_errno(entry, "set owner");
  if (fchmod(directory.get(), entry.mode & 07777U) != 0) return entry_errno(entry, "set mode");
  TRY(set_xattrs(proc_path(place.parent.get(), name), entry));
  directory_times_[place.path] = entry.modified;
  return {};
}

Status LayerTree::add_file(const Place& place, const LayerEntry& entry, const std::function<Status(int)>& content) {
  TRY(make_room(place));
  const Fd file(
      openat(place.parent.get(), place.name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return entry_errno(entry, "create file");
  TRY_IN(fmt::format("layer entry \"{}\"", entry.path), content(file.get()));
  if (fchown(file.get(), entry.uid, entry.gid) != 0) return entry_errno(entry, "set owner");
  if (fchmod(file.get(), entry.mode & 07777U) != 0) return entry_errno(entry, "set mode");
  // After the owner: chown drops security.capability.
  TRY(set_xattrs(proc_path(place.parent.get(), place.name), entry));
  const timespec times[2] = {entry.modified, entry.modified};
  if (futimens(file.get(), times) != 0) return entry_errno(entry, "set time");
  return {};
}

Status LayerTree::add_special(const Place& place, const LayerEntry& entry) {
  const int parent = place.parent.get();
  const char* name = place.name.c_str();
  if (S_ISCHR(entry.mode) && entry.device == makedev(0, 0)) {
    return refuse(entry.path, "a character device 0:0 would hide a file of another layer");
  }
  TRY(make_room(place));
  const int made = S_ISLNK(entry.mode) ? symlinkat(entry.link_target.c_str(), parent, name)
                                       : mknodat(parent, name, (entry.mode & S_IFMT) | 0600U, entry.device);
  if (made != 0) return entry_errno(entry, "create");
  if (fchownat(parent, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) return entry_errno(entry, "set owner");
  if (!S_ISLNK(entry.mode) && fchmodat(parent, name, entry.mode & 07777U, 0) != 0)
    return entry_errno(entry, "set mode");
  TRY(set_xattrs(proc_path(parent, place.name), entry));
  const timespec times[2] = {entry.modified, entry.modified};
  if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) != 0) return entry_errno(entry, "set time");
  return {};
}

Status LayerTree::add(const LayerEntry& entry, const std::function<Status(int fd)>& content) {
  const Place place = TRY(locate(entry.path, true));
  if (place.name.starts_with(kWhiteoutPrefix)) return add_whiteout(place);
  if (place.name.empty() && (!S_ISDIR(entry.mode) || !entry.hard_link.empty())) {
    return refuse(entry.path, "the root must be a directory");
  }
  if (!entry.hard_link.empty()) return add_hard_link(place, entry);
  switch (entry.mode & S_IFMT) {
    case S_IFDIR:
      return add_directory(place, entry);
    case S_IFREG:
      return add_file(place, entry, content);
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
      return add_special(place, entry);
    case S_IFSOCK:
      return {};  // no tool writes one; it could not be used
    default:
      return refuse(entry.path, fmt::format("unknown file type {:o}", entry.mode & S_IFMT));
  }
}

Status LayerTree::finish() {
  for (const auto& [path, modified] : directory_times_) {
    const Fd directory(open_beneath(root_.get(), path.empty() ? "." : path, O_DIRECTORY | O_RDONLY));
    const timespec times[2] = {modified, modified};
    if (!directory || futimens(directory.get(), times) != 0) return fail_errno("set time of " + path, errno);
  }
  return {};
}

}  // namespace mesh::agent
