#pragma once
// The picture of the day: a night sky, drawn as SVG from the day's number alone, so that every replica shows the same.

#include <cstdint>
#include <string>

namespace mesh::examples {

struct Picture {
  std::string caption;
  std::string svg;
};

// `day`: days since 1970-01-01, UTC.
Picture draw_picture(std::int64_t day);

}  // namespace mesh::examples
