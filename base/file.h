// Whole files and directories. Every failure names the path. All calls block: keep them off the event loop when the
// path may be on a slow disk.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/limits.h"
#include "base/result.h"

namespace mesh {

// The whole content; also of /proc and /sys files, whose size is not known before. Larger than max_bytes: kInvalid.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t max_bytes = kFileBytesMax);

// Replaces or creates `path` in one step: a reader, or a crash at any moment, sees the old content or the new one.
// Written to a temporary file beside it, synced, renamed; the directory is synced too.
Status write_file(const std::string& path, std::string_view content, mode_t mode = 0644);

// Adds to the end of `path`, made with `mode` if it is absent; synced, and the directory too. A crash can leave a part
// of `content`.
Status append_file(const std::string& path, std::string_view content, mode_t mode = 0644);

// Writes to a file that exists and is not replaced: /proc/sys, cgroup and other kernel files.
Status write_kernel_file(const std::string& path, std::string_view content);

// As `mkdir -p`: parents get 0755, a directory that is made at `path` gets `mode`; an existing one keeps its own.
Status make_directories(const std::string& path, mode_t mode = 0755);

// Names in a directory without "." and "..", sorted.
[[nodiscard]] Result<std::vector<std::string>> list_directory(const std::string& path);

// Removes a file or a whole tree. Never follows a symbolic link and never enters another file system; what does not
// exist is removed already.
Status remove_tree(const std::string& path);

}  // namespace mesh
