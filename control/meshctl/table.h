// Tables as docker prints them: columns as wide as their widest cell and three blanks, ten at least; the last is not
// padded.
#pragma once

#include <string>
#include <string_view>

namespace mesh::meshctl {

// `text`: lines of cells that end with a tab, except the last of a line.
[[nodiscard]] std::string align_columns(std::string_view text);

// Characters that a terminal shows, counting UTF-8 sequences as one.
[[nodiscard]] std::size_t display_width(std::string_view text);

// At most `width` characters; a cut text ends with an ellipsis.
[[nodiscard]] std::string shorten(std::string_view text, std::size_t width);

}  // namespace mesh::meshctl
