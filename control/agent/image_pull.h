// Bringing images from a registry into the store, through skopeo. Blocking functions for the pool; they touch only
// blobs, layers and tmp of the store and return what the loop then enters into it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "control/agent/image_reference.h"
#include "control/agent/image_store.h"
#include "control/api/local_node.h"

namespace mesh::agent {

struct RegistryAccess {
  std::string mirror;                           // of docker.io, [https://]HOST[:PORT]; empty: none
  api::RegistryAuth auth;                       // of this request; empty: `auth_file`
  std::string auth_file;                        // containers-auth.json(5); used if it exists
  Duration timeout = std::chrono::minutes(30);  // of one pull
};

using PullReport = std::function<void(const api::PullProgress&)>;

// What the registry has under the reference. Errors: kNotFound "No such image: …", kUnauthorized, kUnavailable; the
// message names the registry and says what to try.
[[nodiscard]] Result<api::RemoteImage> resolve_remote(const ImageReference& reference, const RegistryAccess& access,
                                                      const ImagePaths& paths);

// Copies and unpacks. Every blob is checked against its digest; after an error nothing half-done is left, and a corrupt
// blob is removed so that the next pull fetches it again.
[[nodiscard]] Result<PulledImage> pull_remote(const ImageReference& reference, const RegistryAccess& access,
                                              const ImagePaths& paths, const PullReport& report);

// The kind and text for what skopeo printed on its standard error. Pure; for tests too.
[[nodiscard]] Error registry_error(const ImageReference& reference, std::string_view registry,
                                   std::string_view stderr_text);

}  // namespace mesh::agent
