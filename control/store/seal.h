// Sealing: secrets are encrypted before they reach the store (AES-256-GCM, NIST SP 800-38D), with a key that is kept in
// a file outside of it. What is sealed for one purpose cannot be opened as another.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace mesh::store {

class Seal {
 public:
  static constexpr std::size_t kKeyBytes = 32;
  using Key = std::array<std::uint8_t, kKeyBytes>;

  explicit Seal(const Key& key) : key_(key) {}
  // Reads the key file; makes it (mode 0600, random key) if it does not exist. Errors name the file.
  static Result<Seal> open(const std::string& key_path);

  // version byte, 12 bytes nonce, cipher text, 16 bytes tag. `purpose` is authenticated, not stored: "ca-key".
  [[nodiscard]] Result<Bytes> seal(std::string_view plain, std::string_view purpose) const;
  // kForbidden: another key, another purpose, or changed bytes.
  [[nodiscard]] Result<std::string> unseal(const Bytes& sealed, std::string_view purpose) const;

 private:
  Key key_;
};

}  // namespace mesh::store
