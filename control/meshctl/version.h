// The version of meshctl, from the project's CMakeLists.txt.
#pragma once

#include <string_view>

namespace mesh::meshctl {

inline constexpr std::string_view kVersion = MESH_VERSION;

}  // namespace mesh::meshctl
