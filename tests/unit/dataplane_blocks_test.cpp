// Blocks against an obviously right twin: one flag per row.
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "dataplane/blocks.h"

namespace mesh::dataplane {
namespace {

class SlowBlocks {
 public:
  explicit SlowBlocks(std::uint32_t capacity) : taken_(capacity, false) {}
  void reserve(std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t row = first; row < first + count && row < taken_.size(); ++row) taken_[row] = true;
  }
  [[nodiscard]] bool is_free(std::uint32_t first, std::uint32_t count) const {
    if (first + count > taken_.size()) return false;
    for (std::uint32_t row = first; row < first + count; ++row) {
      if (taken_[row]) return false;
    }
    return true;
  }
  void release(std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t row = first; row < first + count; ++row) taken_[row] = false;
  }
  [[nodiscard]] bool is_taken(std::uint32_t first, std::uint32_t count) const {
    for (std::uint32_t row = first; row < first + count; ++row) {
      if (row >= taken_.size() || !taken_[row]) return false;
    }
    return true;
  }
  std::optional<std::uint32_t> take(std::uint32_t count, std::uint32_t alignment) {
    for (std::uint32_t first = 0; first + count <= taken_.size(); first += alignment) {
      if (!is_free(first, count)) continue;
      reserve(first, count);
      return first;
    }
    return std::nullopt;
  }

 private:
  std::vector<bool> taken_;
};

TEST(Blocks, AgreesWithOneFlagPerRow) {
  constexpr std::uint32_t kCapacity = 256;
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    Blocks blocks(kCapacity);
    SlowBlocks slow(kCapacity);
    for (int step = 0; step < 60; ++step) {
      const std::uint32_t count = 1 + random() % 20;
      const std::uint32_t first = random() % kCapacity;
      switch (random() % 4) {
        case 0:
          if (first + count > kCapacity) break;
          blocks.reserve(first, count);
          slow.reserve(first, count);
          break;
        case 1:
          ASSERT_EQ(blocks.is_free(first, count), slow.is_free(first, count)) << "seed " << seed << " step " << step;
          break;
        case 2:
          if (!slow.is_taken(first, count)) break;
          blocks.release(first, count);
          slow.release(first, count);
          break;
        default: {
          const std::uint32_t alignment = 1U << (random() % 5);
          ASSERT_EQ(blocks.take(count, alignment), slow.take(count, alignment)) << "seed " << seed << " step " << step;
        }
      }
    }
  }
}

TEST(Blocks, SaysWhenThereIsNoRoom) {
  Blocks blocks(64);
  EXPECT_EQ(blocks.take(16, 16), 0U);
  EXPECT_EQ(blocks.take(1), 16U);
  EXPECT_EQ(blocks.take(32, 32), 32U);
  EXPECT_EQ(blocks.take(16, 16), std::nullopt) << "15 rows are left, not aligned";
  EXPECT_EQ(blocks.take(15), 17U);
  EXPECT_EQ(blocks.take(1), std::nullopt);
}

}  // namespace
}  // namespace mesh::dataplane
