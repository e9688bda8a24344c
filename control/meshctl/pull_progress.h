// What `image pull` shows of the stream of messages of POST /images/create. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mesh::meshctl {

class PullProgress {
 public:
  // One line of the stream. Returns what is to be printed now (empty: nothing): a layer's line each time that its state
  // changes, not for each step of a download. An "error" in the stream is the Error.
  Result<std::string> take(std::string_view line);

 private:
  std::map<std::string, std::string> states_;  // layer -> last status
};

// "nginx:1.27" -> {"nginx", "1.27"}; "nginx" -> {"nginx", "latest"}; "nginx@sha256:…" -> {"nginx", "sha256:…"}.
[[nodiscard]] std::pair<std::string, std::string> split_reference(std::string_view reference);

}  // namespace mesh::meshctl
