#include "dataplane/blocks.h"

#include <algorithm>
#include <iterator>

namespace mesh::dataplane {

void Blocks::reserve(std::uint32_t first, std::uint32_t count) {
  if (count == 0) return;
  std::uint32_t end = first + count;
  auto next = taken_.upper_bound(first);
  if (next != taken_.begin() && std::prev(next)->second >= first) {
    --next;
    first = next->first;
  }
  // Swallow every piece that overlaps or touches.
  while (next != taken_.end() && next->first <= end) {
    end = std::max(end, next->second);
    next = taken_.erase(next);
  }
  taken_.emplace(first, end);
}

void Blocks::release(std::uint32_t first, std::uint32_t count) {
  if (count == 0) return;
  auto piece = taken_.upper_bound(first);
  if (piece == taken_.begin()) return;
  --piece;
  const auto [begin, end] = *piece;
  const std::uint32_t after = first + count;
  if (end < after) return;
  taken_.erase(piece);
  if (begin < first) taken_.emplace(begin, first);
  if (after < end) taken_.emplace(after, end);
}

bool Blocks::is_free(std::uint32_t first, std::uint32_t count) const {
  if (std::uint64_t{first} + count > capacity_) return false;
  const auto next = taken_.upper_bound(first);
  if (next != taken_.begin() && std::prev(next)->second > first) return false;
  return next == taken_.end() || next->first >= first + count;
}

std::optional<std::uint32_t> Blocks::take(std::uint32_t count, std::uint32_t alignment) {
  std::uint32_t candidate = 0;
  const auto align = [&](std::uint32_t row) { return (row + alignment - 1) / alignment * alignment; };
  for (const auto& [first, end] : taken_) {
    if (candidate + count <= first) break;
    candidate = std::max(candidate, align(end));
  }
  if (std::uint64_t{candidate} + count > capacity_) return std::nullopt;
  reserve(candidate, count);
  return candidate;
}

}  // namespace mesh::dataplane
