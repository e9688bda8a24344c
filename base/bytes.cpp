#include "base/bytes.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace mesh {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 0xff;

constexpr std::array<std::uint8_t, 256> make_base64_digits() {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<std::uint8_t>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  digits[static_cast<std::uint8_t>('-')] = 62;
  digits[static_cast<std::uint8_t>('_')] = 63;
  return digits;
}
constexpr std::array<std::uint8_t, 256> kBase64Digits = make_base64_digits();

std::uint8_t hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return kNoDigit;
}

}  // namespace

std::string base64_encode(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) group = group << 8U | (i < count ? bytes[at + i] : 0U);
    for (std::size_t i = 0; i < 4; ++i) {
      text.push_back(i <= count ? kAlphabet[group >> (18U - 6U * i) & 63U] : '=');
    }
  }
  return text;
}

Result<std::vector<std::uint8_t>> base64_decode(std::string_view text) {
  std::string_view digits = text;
  for (int i = 0; i < 2 && digits.ends_with('='); ++i) digits.remove_suffix(1);
  const bool padded = digits.size() != text.size();
  if (digits.size() % 4 == 1 || (padded && text.size() % 4 != 0)) {
    return fail(ErrorKind::kInvalid, fmt::format("base64 text of {} characters is cut off", text.size()));
  }
  std::vector<std::uint8_t> bytes;
  bytes.reserve(digits.size() / 4 * 3 + 2);
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (std::size_t at = 0; at < digits.size(); ++at) {
    const std::uint8_t digit = kBase64Digits[static_cast<std::uint8_t>(digits[at])];
    if (digit == kNoDigit) {
      return fail(ErrorKind::kInvalid, fmt::format("base64 text has a foreign character at position {}", at));
    }
    group = group << 6U | digit;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<std::uint8_t>(group >> bits & 0xffU));
    }
  }
  if ((group & ((1U << bits) - 1U)) != 0) {
    return fail(ErrorKind::kInvalid, "base64 text ends in bits that belong to no byte");
  }
  return bytes;
}

std::string hex_encode(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4U]);
    text.push_back(kDigits[byte & 15U]);
  }
  return text;
}

Result<std::vector<std::uint8_t>> hex_decode(std::string_view text) {
  if (text.size() % 2 != 0) {
    return fail(ErrorKind::kInvalid, fmt::format("hex text has an odd number of digits ({})", text.size()));
  }
  std::vector<std::uint8_t> bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t at = 0; at < text.size(); at += 2) {
    const std::uint8_t high = hex_digit(text[at]);
    const std::uint8_t low = hex_digit(text[at + 1]);
    if (high == kNoDigit || low == kNoDigit) {
      return fail(ErrorKind::kInvalid, fmt::format("hex text has a foreign character at position {}", at));
    }
    bytes.push_back(static_cast<std::uint8_t>(high << 4U | low));
  }
  return bytes;
}

}  // namespace mesh
