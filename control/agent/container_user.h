// Which user a container runs as: names looked up in the image's own /etc/passwd and /etc/group. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mesh::agent {

struct ContainerUser {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> additional_gids;  // sorted
  std::string home = "/";
  bool operator==(const ContainerUser&) const = default;
};

// `user` is "", "name", "uid", "name:group" or "uid:gid". A number needs no entry; a name without one is kInvalid
// ("unable to find user NAME: no matching entries in passwd file", docker's words).
[[nodiscard]] Result<ContainerUser> find_user(std::string_view passwd, std::string_view group, std::string_view user,
                                              const std::vector<std::string>& groups);

}  // namespace mesh::agent
