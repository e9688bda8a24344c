#include "control/meshctl/table.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace mesh::meshctl {
namespace {

constexpr std::size_t kCellWidthMin = 10;
constexpr std::size_t kPadding = 3;

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

}  // namespace

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, starts_character));
}

std::string shorten(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::size_t characters = 0;
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    if (starts_character(text[end]) && characters++ == width - 1) break;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string align_columns(std::string_view text) {
  std::vector<std::vector<std::string_view>> lines;
  if (text.ends_with('\n')) text.remove_suffix(1);
  for (const auto line : split(text, '\n')) lines.push_back(split(line, '\t'));

  std::vector<std::size_t> widths;
  for (const auto& cells : lines) {
    if (widths.size() < cells.size()) widths.resize(cells.size(), kCellWidthMin);
    for (std::size_t i = 0; i + 1 < cells.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(cells[i]) + kPadding);
    }
  }
  std::string out;
  for (const auto& cells : lines) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      out += cells[i];
      if (i + 1 < cells.size()) out.append(widths[i] - display_width(cells[i]), ' ');
    }
    out += '\n';
  }
  return out;
}

}  // namespace mesh::meshctl
