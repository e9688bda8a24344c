// The lines in which programs search endpoints of IPv4, against a plain map; and what a program would find meanwhile.
#include <map>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bpf/lib/endpoint.h"
#include "dataplane/endpoint_table.h"

namespace mesh::dataplane {
namespace {

using Key = std::pair<std::uint32_t, __be32>;
using Twin = std::map<Key, std::uint32_t>;  // places

mesh_endpoint4_key key_of(const Key& key) { return {.vni = key.first, .address = key.second}; }

// As the programs do (bpf/tables.h).
std::uint32_t search(const std::vector<mesh_endpoint_line>& lines, const Key& key) {
  mesh_probe probe = mesh_probe_first(key.first, key.second);
  for (std::uint32_t i = 0; i < MESH_ENDPOINT_PROBES; ++i, mesh_probe_next(&probe)) {
    const mesh_endpoint_line& line = lines.at(mesh_probe_line(&probe, static_cast<std::uint32_t>(lines.size())));
    for (const mesh_endpoint4& entry : line.entry) {
      if ((entry.network & ~MESH_ENDPOINT_MORE) == key.first && entry.address == key.second) return entry.place;
    }
    if ((line.entry[0].network & MESH_ENDPOINT_MORE) == 0) return 0;
  }
  return 0;
}

std::size_t lines_with_more(const std::vector<mesh_endpoint_line>& lines) {
  std::size_t count = 0;
  for (const mesh_endpoint_line& line : lines) count += (line.entry[0].network & MESH_ENDPOINT_MORE) != 0 ? 1 : 0;
  return count;
}

void expect_same(const std::vector<mesh_endpoint_line>& lines, const EndpointTable& table, const Twin& twin) {
  for (const auto& [key, place] : twin) ASSERT_EQ(search(lines, key), place);
  const Table rows = table.rows();
  ASSERT_EQ(rows.size(), twin.size());
  for (const auto& [key, value] : rows) {
    const auto row = value_of<mesh_endpoint4_key>(key);
    ASSERT_EQ(value_of<mesh_endpoint4_place>(value).place, twin.at({row.vni, row.address}));
  }
}

TEST(EndpointTable, HoldsWhatAMapHoldsThroughRandomChanges) {
  for (const std::uint32_t count : {1U, 2U, 3U, 100U, 1366U}) {
    std::mt19937 random(count);
    std::vector<mesh_endpoint_line> lines(count);
    EndpointTable table(lines);
    Twin twin;
    const std::size_t most = std::size_t{count} * 3;
    for (std::uint32_t step = 0; step < count * 40 + 100; ++step) {
      const Key key{MESH_VNI_MIN + random() % 3, static_cast<__be32>(0x0a000000U + random() % (count * 4))};
      if (random() % 3 == 0 || (twin.size() >= most && !twin.contains(key))) {
        table.erase(key_of(key));
        twin.erase(key);
        ASSERT_EQ(search(lines, key), 0U);
      } else {
        const std::uint32_t place = step + 1;
        ASSERT_TRUE(table.put(key_of(key), {.place = place, .ingress = 0})) << count << " lines, " << twin.size();
        twin[key] = place;
        ASSERT_EQ(search(lines, key), place);
      }
    }
    expect_same(lines, table, twin);
    // The next meshd finds the same, and leaves no trace of it.
    EndpointTable next(lines);
    expect_same(lines, next, twin);
    while (!twin.empty()) {
      next.erase(key_of(twin.begin()->first));
      twin.erase(twin.begin());
      if (twin.size() % 50 == 0) expect_same(lines, next, twin);
    }
    EXPECT_EQ(lines_with_more(lines), 0U);
  }
}

TEST(EndpointTable, AsManyAsThereMayBeFindAPlace) {
  std::vector<mesh_endpoint_line> lines(MESH_ENDPOINT_LINES_MAX);
  EndpointTable table(lines);
  for (std::uint32_t i = 0; i < MESH_ENDPOINTS_MAX; ++i) {
    ASSERT_TRUE(table.put({.vni = MESH_VNI_MIN, .address = __builtin_bswap32(0x0a000000U + i)}, {.place = i + 1}));
  }
  EXPECT_EQ(table.rows().size(), MESH_ENDPOINTS_MAX);
}

TEST(EndpointTable, AFullOneSaysSoAndKeepsWhatItHas) {
  std::vector<mesh_endpoint_line> lines(2);
  EndpointTable table(lines);
  Twin twin;
  for (std::uint32_t i = 0; i < 8; ++i) {
    const Key key{MESH_VNI_MIN, i};
    if (table.put(key_of(key), {.place = i + 1})) twin[key] = i + 1;
  }
  EXPECT_EQ(twin.size(), 8U);
  EXPECT_FALSE(table.put({.vni = MESH_VNI_MIN, .address = 99}, {.place = 99}));
  expect_same(lines, table, twin);
}

TEST(EndpointTable, WhatProgramsWouldNotFindIsNoRowAndGoesWithTheNextMeshd) {
  std::vector<mesh_endpoint_line> lines(100);
  const Key lost{MESH_VNI_MIN, 7};
  const mesh_probe probe = mesh_probe_first(lost.first, lost.second);
  const std::uint32_t home = mesh_probe_line(&probe, 100);
  lines[(home + 1) % 100].entry[2] = {lost.first, lost.second, 5, 0};
  EndpointTable table(lines);
  EXPECT_TRUE(table.rows().empty());
  EXPECT_EQ(lines[(home + 1) % 100].entry[2].network, 0U);
}

}  // namespace
}  // namespace mesh::dataplane
