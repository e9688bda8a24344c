#include "base/id.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <sys/random.h>
#include <vector>

#include "base/bytes.h"

namespace mesh {
namespace {

constexpr std::size_t kIdCharacters = 25;  // 36^25 > 2^128 > 36^24

void fill_random(std::span<std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::getrandom(bytes.data(), bytes.size(), 0);
    // Fails only on EINTR here (getrandom(2)); an id without randomness must never be handed out.
    if (count > 0) bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

}  // namespace

std::string make_id() {
  std::array<std::uint8_t, 16> bytes{};
  fill_random(bytes);
  return id_from_bytes(bytes);
}

std::string id_from_bytes(std::span<const std::uint8_t, 16> bytes) {
  std::array<std::uint8_t, 16> rest{};
  std::copy(bytes.begin(), bytes.end(), rest.begin());
  std::string id(kIdCharacters, '0');
  for (std::size_t at = kIdCharacters; at-- > 0;) {
    unsigned remainder = 0;  // long division of a 128-bit number by 36
    for (std::uint8_t& byte : rest) {
      const unsigned value = remainder << 8U | byte;
      byte = static_cast<std::uint8_t>(value / 36U);
      remainder = value % 36U;
    }
    id[at] = static_cast<char>(remainder < 10 ? '0' + remainder : 'a' + (remainder - 10));
  }
  return id;
}

std::string make_hex_id(std::size_t byte_count) {
  std::vector<std::uint8_t> bytes(byte_count);
  fill_random(bytes);
  return hex_encode(bytes);
}

}  // namespace mesh
