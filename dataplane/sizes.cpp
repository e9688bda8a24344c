#include "dataplane/sizes.h"

#include <algorithm>
#include <array>
#include <bit>

namespace mesh::dataplane {
namespace {

struct Growing {
  MapId map;
  std::uint32_t rows_first;      // what it begins with
  const char* beside = nullptr;  // a map of the same rows, which the programs write
};
// A hundred services of ten, and what goes with them.
constexpr std::array kGrowing = {
    Growing{MapId::kAddresses, 512},
    Growing{MapId::kRings, 1024},
    Growing{MapId::kRows, 4096},
    Growing{MapId::kBackends, 2048},
    Growing{MapId::kEndpoints, 1024},
    Growing{MapId::kEndpoints4, 1024},
    Growing{MapId::kBindings, 512, "mesh_binding_counters"},
    Growing{MapId::kSources, 1024},
    Growing{MapId::kVnis, 256},
    Growing{MapId::kVips, 1024},
    Growing{MapId::kVipBackends, 4096},
    Growing{MapId::kNamespaces, 512},
    Growing{MapId::kMembers, 1024},
    Growing{MapId::kBound, 256},
    Growing{MapId::kLocals, 256},
};

// Of the kernel's map: a row of mesh_endpoints4 is a line.
struct Extent {
  bool is_array;
  std::uint32_t rows_max;
  std::uint32_t per_row = 1;  // rows of ours that one should hold
};
Extent extent_of(MapId map) {
  const MapInfo& info = map_info(map);
  if (map == MapId::kEndpoints4) return {true, MESH_ENDPOINT_LINES_MAX, MESH_ENDPOINTS_OF_LINE - 1};
  return {info.is_array, info.rows_max};
}

// The next step up: of a hash table, whose buckets are a power of two anyway, twice as much; of an array an eighth of
// a power of two.
std::uint32_t round_up(const Extent& extent, std::uint64_t rows) {
  std::uint64_t size = std::bit_ceil(rows);
  const std::uint64_t eighth = size / 16;  // of the power of two below
  while (extent.is_array && eighth > 0 && size - eighth >= rows) size -= eighth;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(size, extent.rows_max));
}

bool is_array(const MapShape& shape) { return shape.type == BPF_MAP_TYPE_ARRAY; }

using Counts = std::array<std::uint64_t, kMapCount>;

// How many rows each map must have for these actions.
Counts rows_needed(const std::vector<Action>& actions, const Observed& kernel) {
  Counts rows{};
  for (std::size_t i = 0; i < kMapCount; ++i) {
    if (!map_info(static_cast<MapId>(i)).is_array) rows[i] = kernel.tables[i].size();
  }
  for (const Action& action : actions) {
    const auto* write = std::get_if<WriteRow>(&action);
    if (write == nullptr) continue;
    std::uint64_t& count = rows[static_cast<std::size_t>(write->map)];
    if (map_info(write->map).is_array) {
      count = std::max(count, std::uint64_t{value_of<std::uint32_t>(write->key)} + 1);
    } else if (!kernel[write->map].contains(write->key)) {
      ++count;
    }
  }
  return rows;
}

}  // namespace

Sizes sizes_to_make(const MapShapes& pinned, const Sizes& asked, std::uint32_t cpus) {
  Sizes sizes;
  for (const Growing& growing : kGrowing) {
    const std::string name = map_info(growing.map).name;
    const Extent extent = extent_of(growing.map);
    std::uint32_t rows = growing.rows_first;
    const auto there = pinned.find(name);
    if (there != pinned.end() && is_array(there->second) == extent.is_array)
      rows = std::max(rows, there->second.rows_max);
    if (const auto more = asked.find(name); more != asked.end()) rows = std::max(rows, more->second);
    sizes[name] = std::min(rows, extent.rows_max);
    if (growing.beside != nullptr) sizes[growing.beside] = sizes[name];
  }
  sizes["mesh_backend_counters"] = sizes["mesh_backends"] * cpus;
  return sizes;
}

std::optional<Sizes> sizes_for(const std::vector<Action>& actions, const Observed& kernel, const Sizes& sizes) {
  std::optional<Sizes> larger;
  const Counts rows = rows_needed(actions, kernel);
  for (const Growing& growing : kGrowing) {
    const std::string name = map_info(growing.map).name;
    const Extent extent = extent_of(growing.map);
    const std::uint32_t has = sizes.at(name);
    const std::uint64_t needed = (rows[static_cast<std::size_t>(growing.map)] + extent.per_row - 1) / extent.per_row;
    if (needed <= has || has == extent.rows_max) continue;
    if (!larger) larger = sizes;
    // Some more, so that a cluster that grows by and by does not come here each time.
    (*larger)[name] = round_up(extent, std::max<std::uint64_t>(needed + needed / 8, has + has / 2));
  }
  return larger;
}

}  // namespace mesh::dataplane
