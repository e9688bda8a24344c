#include "base/text.h"

namespace mesh {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes the run of digits (or of other characters) at the front of `text`.
std::string_view take_run(std::string_view& text) {
  std::size_t length = 1;
  while (length < text.size() && is_digit(text[length]) == is_digit(text[0])) ++length;
  const std::string_view run = text.substr(0, length);
  text.remove_prefix(length);
  return run;
}

std::string_view without_zeros(std::string_view digits) {
  const std::size_t first = digits.find_first_not_of('0');
  return first == std::string_view::npos ? std::string_view{} : digits.substr(first);
}

// Negative, zero or positive. Numbers of any length: longer (without zeros) is larger.
int compare_runs(std::string_view a, std::string_view b) {
  if (!is_digit(a[0]) || !is_digit(b[0])) return a.compare(b);
  const std::string_view x = without_zeros(a);
  const std::string_view y = without_zeros(b);
  if (x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
  return x.compare(y);
}

}  // namespace

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool natural_less(std::string_view a, std::string_view b) {
  std::string_view x = a;
  std::string_view y = b;
  while (!x.empty() && !y.empty()) {
    const int order = compare_runs(take_run(x), take_run(y));
    if (order != 0) return order < 0;
  }
  if (x.empty() != y.empty()) return x.empty();
  if (a.size() != b.size()) return a.size() < b.size();
  return a < b;
}

}  // namespace mesh
