// A container's root file system: overlayfs over the unpacked layers, with an upper directory of its own.
// Source: kernel Documentation/filesystems/overlayfs.rst. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "control/agent/container_user.h"
#include "control/agent/image_store.h"

namespace mesh::agent {

// Mounts <directory>/rootfs with <directory>/upper and <directory>/work. `layers` are diff ids, lowest first.
Status mount_rootfs(const ImagePaths& images, const std::vector<std::string>& layers, const std::string& directory);
// Unmounts whatever is mounted there; not mounted is success.
Status unmount_rootfs(const std::string& directory);

// find_user() with the files of a mounted root; symbolic links are followed inside it only.
[[nodiscard]] Result<ContainerUser> read_user(const std::string& rootfs, const std::string& user,
                                              const std::vector<std::string>& groups);

}  // namespace mesh::agent
