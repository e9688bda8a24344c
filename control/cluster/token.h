// Join tokens: SWMTKN-1-<50 base-36 digits: SHA-256 of the cluster's root certificate>-<25 base-36 digits: secret>,
// the format of Docker Swarm. A joiner checks the digest against the certificate that the manager shows before it sends
// the secret; the secret says which role it gets. Rotating a token changes the secret only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mesh::cluster {

using Digest = std::array<std::uint8_t, 32>;  // SHA-256

struct JoinToken {
  Digest ca_digest{};
  std::string secret;  // 25 digits

  // kInvalid says which part is wrong; the secret is never repeated in a message.
  [[nodiscard]] static Result<JoinToken> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
};

// 128 random bits as 25 base-36 digits.
[[nodiscard]] std::string make_secret();
// In time that does not depend on where the two differ.
[[nodiscard]] bool secrets_equal(std::string_view a, std::string_view b);

}  // namespace mesh::cluster
