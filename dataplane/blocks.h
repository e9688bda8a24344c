// Where variable-length pieces (a ring's chunks, a port's backends, a virtual IP's addresses) go inside one array map:
// first fit, in units of rows. Pure; what is already in the kernel is reserved first, so a piece stays where it is.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace mesh::dataplane {

class Blocks {
 public:
  explicit Blocks(std::uint32_t capacity) : capacity_(capacity) {}

  // Marks rows as taken; may overlap what is taken already.
  void reserve(std::uint32_t first, std::uint32_t count);
  // Marks rows as free; all of them were taken.
  void release(std::uint32_t first, std::uint32_t count);
  [[nodiscard]] bool is_free(std::uint32_t first, std::uint32_t count) const;
  // The lowest free place aligned to `alignment`, taken at once; nothing if there is none.
  [[nodiscard]] std::optional<std::uint32_t> take(std::uint32_t count, std::uint32_t alignment = 1);

 private:
  std::uint32_t capacity_;
  std::map<std::uint32_t, std::uint32_t> taken_;  // first -> end, disjoint, not touching
};

}  // namespace mesh::dataplane
