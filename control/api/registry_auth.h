// The X-Registry-Auth header: base64url JSON of credentials, as the docker CLI sends it.
#pragma once

#include "control/api/http.h"
#include "control/api/local_node.h"

namespace mesh::api {

// Empty if the header is absent; kInvalid if it is not what it should be.
[[nodiscard]] Result<RegistryAuth> registry_auth(const Request& request);

}  // namespace mesh::api
