#include "control/cluster/token.h"

#include <algorithm>
#include <span>
#include <vector>

#include <openssl/crypto.h>

#include "base/id.h"

namespace mesh::cluster {
namespace {

constexpr std::string_view kPrefix = "SWMTKN-1-";
constexpr std::size_t kDigestDigits = 50;  // 36^50 > 2^256
constexpr std::size_t kSecretDigits = 25;  // 36^25 > 2^128
constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";

bool is_base36(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return kDigits.find(c) != std::string_view::npos; });
}

// Schoolbook conversion, most significant byte first; the numbers have 32 bytes.
std::string to_base36(std::span<const std::uint8_t> bytes, std::size_t digit_count) {
  std::vector<std::uint8_t> rest(bytes.begin(), bytes.end());
  std::string text(digit_count, '0');
  for (std::size_t i = digit_count; i-- > 0;) {
    std::uint32_t remainder = 0;
    for (std::uint8_t& byte : rest) {
      const std::uint32_t value = remainder * 256 + byte;
      byte = static_cast<std::uint8_t>(value / 36);
      remainder = value % 36;
    }
    text[i] = kDigits[remainder];
  }
  return text;
}

// False if the number does not fit.
bool from_base36(std::string_view text, std::span<std::uint8_t> bytes) {
  std::ranges::fill(bytes, std::uint8_t{0});
  for (const char c : text) {
    std::uint32_t carry = static_cast<std::uint32_t>(kDigits.find(c));
    for (std::size_t i = bytes.size(); i-- > 0;) {
      const std::uint32_t value = bytes[i] * 36U + carry;
      bytes[i] = static_cast<std::uint8_t>(value & 0xff);
      carry = value >> 8U;
    }
    if (carry != 0) return false;
  }
  return true;
}

std::unexpected<Error> bad_token(std::string_view why) {
  return fail(ErrorKind::kInvalid, std::string("invalid join token: ").append(why) +
                                       "; copy the whole line that `swarm join-token` prints on a manager");
}

}  // namespace

Result<JoinToken> JoinToken::parse(std::string_view text) {
  if (!text.starts_with("SWMTKN-")) return bad_token("it does not start with SWMTKN-1-");
  if (!text.starts_with(kPrefix)) return bad_token("its version is not 1");
  text.remove_prefix(kPrefix.size());
  if (text.size() != kDigestDigits + 1 + kSecretDigits || text[kDigestDigits] != '-') {
    return bad_token("it has the wrong length");
  }
  const std::string_view digest = text.substr(0, kDigestDigits);
  const std::string_view secret = text.substr(kDigestDigits + 1);
  if (!is_base36(digest) || !is_base36(secret)) return bad_token("it has a character that is not 0-9 or a-z");
  JoinToken token;
  if (!from_base36(digest, token.ca_digest)) return bad_token("the digest of the root certificate is out of range");
  token.secret = secret;
  return token;
}

std::string JoinToken::to_string() const {
  return std::string(kPrefix) + to_base36(ca_digest, kDigestDigits) + "-" + secret;
}

std::string make_secret() { return make_id(); }

bool secrets_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace mesh::cluster
