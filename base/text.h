// Small text functions that the standard library lacks. ASCII only: none of them looks at a locale.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mesh {

// Parts between separators; empty parts are kept, so "" has one part and "a,,b" three.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
// Without leading and trailing blanks, tabs and line ends.
[[nodiscard]] std::string_view trim(std::string_view text);
// Digits compare as numbers: "web.2" < "web.10". A total order (equal numbers: fewer leading zeros first).
[[nodiscard]] bool natural_less(std::string_view a, std::string_view b);

// The whole text as a decimal number, or nothing: no sign for unsigned types, no "+", no blanks.
template <class T>
  requires std::is_integral_v<T>
[[nodiscard]] std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return value;
}

}  // namespace mesh
