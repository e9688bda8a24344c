// Writes the entries of one layer below a root directory and never outside it: every parent is opened with
// openat2(RESOLVE_BENEATH), so a symbolic link that leaves the root ends the unpacking. Used by unpack_layer.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <sys/stat.h>
#include <sys/types.h>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace mesh::agent {

struct LayerEntry {
  std::string path;  // as in the archive
  mode_t mode = 0;   // with the file type
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t device = 0;  // character and block devices
  timespec modified{};
  std::string link_target;  // symbolic link's text
  std::string hard_link;    // path of an earlier entry; then only `path` counts besides
  std::vector<std::pair<std::string, std::string>> xattrs;
};

class LayerTree {
 public:
  [[nodiscard]] static Result<LayerTree> open(const std::string& root);

  // Writes one entry; for a regular file `content` then writes into the open descriptor.
  [[nodiscard]] Status add(const LayerEntry& entry, const std::function<Status(int fd)>& content);
  // Times of directories, which later entries changed. Call once at the end.
  [[nodiscard]] Status finish();

 private:
  struct Place {
    Fd parent;
    std::string name;  // empty: the root itself
    std::string path;  // relative, clean
  };

  [[nodiscard]] Result<Place> locate(const std::string& path, bool make_parents);
  [[nodiscard]] Status add_whiteout(const Place& place);
  [[nodiscard]] Status add_hard_link(const Place& place, const LayerEntry& entry);
  [[nodiscard]] Status add_directory(const Place& place, const LayerEntry& entry);
  [[nodiscard]] Status add_file(const Place& place, const LayerEntry& entry,
                                const std::function<Status(int fd)>& content);
  [[nodiscard]] Status add_special(const Place& place, const LayerEntry& entry);
  // Removes what an earlier entry put at `place`; tells whether that was a whiteout.
  [[nodiscard]] Result<bool> make_room(const Place& place);

  Fd root_;
  std::map<std::string, timespec> directory_times_;
};

}  // namespace mesh::agent
