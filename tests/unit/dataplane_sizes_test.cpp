// How many rows the tables are made with, and when they are made anew with more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include "dataplane/sizes.h"

namespace mesh::dataplane {
namespace {

constexpr std::uint32_t kCpus = 3;

std::string row(std::uint32_t index) { return bytes_of(index); }

std::vector<Action> writes(MapId map, std::uint32_t first, std::uint32_t count) {
  std::vector<Action> actions;
  for (std::uint32_t i = 0; i < count; ++i) actions.emplace_back(WriteRow{map, row(first + i), "value"});
  return actions;
}

TEST(Sizes, BeginSmallAndNeverBecomeSmaller) {
  const Sizes first = sizes_to_make({}, {}, kCpus);
  EXPECT_LT(first.at("mesh_rings"), MESH_RING_CHUNKS_MAX / 8);
  EXPECT_EQ(first.at("mesh_backends") * kCpus, first.at("mesh_backend_counters"));
  EXPECT_EQ(first.at("mesh_bindings"), first.at("mesh_binding_counters"));
  EXPECT_FALSE(first.contains("mesh_services")) << "its index is the port";
  EXPECT_FALSE(first.contains("mesh_flows"));

  const MapShapes pinned = {{"mesh_rings", {BPF_MAP_TYPE_ARRAY, 4, 64, 9000, 0}},
                            {"mesh_backends", {BPF_MAP_TYPE_ARRAY, 4, 8, MESH_BACKENDS_MAX * 2, 0}},
                            {"mesh_vips", {BPF_MAP_TYPE_HASH, 16, 16, 1, 0}},
                            {"mesh_rows", {BPF_MAP_TYPE_ARRAY, 4, 28, MESH_ROWS_MAX, 0}}};
  const Sizes then = sizes_to_make(pinned, {}, kCpus);
  EXPECT_EQ(then.at("mesh_rings"), 9000U);
  EXPECT_EQ(then.at("mesh_backends"), MESH_BACKENDS_MAX) << "the limit of this build";
  EXPECT_EQ(then.at("mesh_backend_counters"), MESH_BACKENDS_MAX * kCpus);
  EXPECT_EQ(then.at("mesh_vips"), first.at("mesh_vips"));
  EXPECT_EQ(then.at("mesh_rows"), first.at("mesh_rows")) << "another kind of table has other rows";

  EXPECT_EQ(sizes_to_make(pinned, {{"mesh_rings", 10000}}, kCpus).at("mesh_rings"), 10000U);
  EXPECT_EQ(sizes_to_make(pinned, {{"mesh_rings", 100}}, kCpus).at("mesh_rings"), 9000U);
}

TEST(Sizes, FollowWhatIsPlanned) {
  Observed kernel;
  for (std::uint32_t i = 0; i < 1000; ++i) kernel[MapId::kVips][row(i)] = "old";
  const Sizes sizes = sizes_to_make({}, {}, kCpus);
  struct Case {
    const char* name;
    std::vector<Action> actions;
    const char* map;
    std::uint32_t rows;  // 0: everything fits
  };
  const Case cases[] = {
      {"nothing to do", {}, "", 0},
      {"the last rows of an array", writes(MapId::kRings, 0, sizes.at("mesh_rings")), "", 0},
      {"a row more, and some of room", writes(MapId::kRings, sizes.at("mesh_rings"), 1), "mesh_rings", 1536},
      {"many more, an eighth of room, in eighths", writes(MapId::kRings, 19999, 1), "mesh_rings", 22528},
      {"as many as there may be", writes(MapId::kRings, MESH_RING_CHUNKS_MAX - 1, 1), "mesh_rings",
       MESH_RING_CHUNKS_MAX},
      {"rows of a hash table that are there already", writes(MapId::kVips, 0, 1000), "", 0},
      {"new rows beside them", writes(MapId::kVips, 5000, 25), "mesh_vips", 2048},
      {"many new rows, in powers of two", writes(MapId::kVips, 5000, 3000), "mesh_vips", 8192},
      {"endpoints of IPv4, three to a line", writes(MapId::kEndpoints4, 0, 3 * sizes.at("mesh_endpoints4")), "", 0},
      {"... and one more", writes(MapId::kEndpoints4, 0, 3 * sizes.at("mesh_endpoints4") + 1), "mesh_endpoints4", 1536},
      {"... and many", writes(MapId::kEndpoints4, 0, 100000), "mesh_endpoints4", 40960},
      {"backends", writes(MapId::kBackends, 119999, 1), "mesh_backends", MESH_BACKENDS_MAX},
      {"a map whose size is fixed", writes(MapId::kServices, MESH_SERVICES_MAX - 1, 1), "", 0},
      {"only rows that go", {DeleteRow{MapId::kRings, row(40000)}}, "", 0},
  };
  for (const Case& c : cases) {
    const std::optional<Sizes> larger = sizes_for(c.actions, kernel, sizes);
    ASSERT_EQ(larger.has_value(), c.rows != 0) << c.name;
    if (!larger) continue;
    EXPECT_EQ(larger->at(c.map), c.rows) << c.name;
    // These are asked for, and so made, and then suffice.
    EXPECT_FALSE(sizes_for(c.actions, kernel, sizes_to_make({}, *larger, kCpus))) << c.name;
  }
}

TEST(Sizes, AtTheLimitNothingIsMadeAnew) {
  Sizes sizes = sizes_to_make({}, {{"mesh_rings", MESH_RING_CHUNKS_MAX}}, kCpus);
  EXPECT_EQ(sizes.at("mesh_rings"), MESH_RING_CHUNKS_MAX);
  EXPECT_FALSE(sizes_for(writes(MapId::kRings, MESH_RING_CHUNKS_MAX, 1), {}, sizes));
}

}  // namespace
}  // namespace mesh::dataplane
