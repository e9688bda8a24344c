// The way meshd hands its names to the mesh-dns process: a unix stream socket, one frame each way. A frame is a 32-bit
// big-endian length and a JSON text; the request is a Desired, or null to ask for the state only.
#pragma once

#include <cstdint>
#include <string>

#include "dns/desired.h"

namespace mesh::dns {

inline constexpr std::size_t kFeedBytesMax = 64U << 20U;  // names of 10,000 services with 10 tasks each, several times

// What a running mesh-dns says of itself. Counts are since its start.
struct ServerState {
  std::uint64_t version = 0;  // of the table it answers from
  std::int32_t pid = 0;
  std::string build;  // of the binary; meshd starts a new one when it differs
  std::uint64_t answered = 0;
  std::uint64_t forwarded = 0;
  std::uint64_t refused = 0;  // source is no task of this host
  std::uint64_t malformed = 0;
  std::uint64_t forward_failed = 0;   // no upstream answered
  std::uint64_t forward_limited = 0;  // too many at once: answered SERVFAIL
};
template <class Visit>
constexpr bool json_fields(const ServerState*, Visit&& visit) {
  return visit("Version", &ServerState::version) && visit("Pid", &ServerState::pid) &&
         visit("Build", &ServerState::build) && visit("Answered", &ServerState::answered) &&
         visit("Forwarded", &ServerState::forwarded) && visit("Refused", &ServerState::refused) &&
         visit("Malformed", &ServerState::malformed) && visit("ForwardFailed", &ServerState::forward_failed) &&
         visit("ForwardLimited", &ServerState::forward_limited);
}

// Both block for at most a second. kUnavailable: no mesh-dns listens at `path`.
[[nodiscard]] Result<ServerState> feed(const std::string& path, const Desired& desired);
[[nodiscard]] Result<ServerState> ask_state(const std::string& path);

}  // namespace mesh::dns
