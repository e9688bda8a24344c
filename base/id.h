// Object ids: 25 characters of base 36, 128 random bits, as the Docker API shows them. Tables print 12.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace mesh {

// Random id from the kernel (getrandom).
[[nodiscard]] std::string make_id();
// The id that 16 given bytes stand for; make_id() of fixed bytes, for tests and derived ids.
[[nodiscard]] std::string id_from_bytes(std::span<const std::uint8_t, 16> bytes);
// `count` random bytes as lower-case hex (container ids: 32 bytes).
[[nodiscard]] std::string make_hex_id(std::size_t byte_count);

}  // namespace mesh
