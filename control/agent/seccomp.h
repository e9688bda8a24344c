// The seccomp profile of containers: Debian ships Docker's default in containers-common's form (seccomp.json, with
// conditions on architecture and capabilities); the OCI runtime takes the resolved form. Pure conversion.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace mesh::agent {

inline constexpr const char* kSeccompProfilePath = "/usr/share/containers/seccomp.json";

// `architecture` as images name it ("amd64"); `capabilities` are the container's. The result is the "seccomp" object of
// the OCI runtime-spec.
[[nodiscard]] Result<Json> resolve_seccomp(std::string_view profile, const std::string& architecture,
                                           const std::vector<std::string>& capabilities);

}  // namespace mesh::agent
