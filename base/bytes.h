// Binary data as text: base64 (RFC 4648 §4 and §5) and lower-case hex.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mesh {

// Standard alphabet, padded.
[[nodiscard]] std::string base64_encode(std::span<const std::uint8_t> bytes);
// Either alphabet (docker's X-Registry-Auth uses the URL-safe one), padding optional; anything else is kInvalid.
[[nodiscard]] Result<std::vector<std::uint8_t>> base64_decode(std::string_view text);

[[nodiscard]] std::string hex_encode(std::span<const std::uint8_t> bytes);
[[nodiscard]] Result<std::vector<std::uint8_t>> hex_decode(std::string_view text);

// The bytes of a text, for the functions above.
[[nodiscard]] inline std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace mesh
