#include "dataplane/takeover.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bpf/lib/flow.h"
#include "dataplane/abi_previous.h"

namespace mesh::dataplane {
namespace {

// How rows of the previous version that meant or held something else become rows of this one.
struct Conversion {
  std::string_view map;
  std::uint32_t value_size;  // then
  void (*convert)(Row& row);
};

void convert_binding_traffic(Row& row) {
  const auto before = value_of<previous::BindingTraffic>(row.value);
  row.value = bytes_of(mesh_binding_traffic{.in = before.in, .out = before.out});
}

void convert_counter(Row& row) {
  const auto index = value_of<std::uint32_t>(row.key);
  if (index >= previous::kFirstMovedCounter) row.key = bytes_of(index + 1);
}

constexpr std::array kConversions = {
    Conversion{"mesh_binding_counters", sizeof(previous::BindingTraffic), convert_binding_traffic},
    Conversion{"mesh_counters", sizeof(std::uint64_t), convert_counter},
};

const Conversion* conversion_of(std::string_view map, std::uint32_t version) {
  const auto* found = std::ranges::find(kConversions, map, &Conversion::map);
  return version == previous::kVersion && found != kConversions.end() ? found : nullptr;
}

bool is_written_by_user_space(std::string_view map) {
  if (map == kSctpServices) return true;
  for (std::size_t i = 0; i < kMapCount; ++i) {
    if (map_info(static_cast<MapId>(i)).name == map) return true;
  }
  return false;
}

bool can_be_taken(const std::string& map, std::uint32_t version, const MapShape& pinned, const MapShape& wanted) {
  if (pinned.type != wanted.type || pinned.key_size != wanted.key_size) return false;
  const Conversion* conversion = conversion_of(map, version);
  return pinned.value_size == (conversion != nullptr ? conversion->value_size : wanted.value_size);
}

// Why none of the tables can be read; empty: they can.
std::string obstacle(const MapShapes& wanted, const MapShapes& pinned, std::uint32_t version) {
  const auto config = pinned.find("mesh_config");
  if (config == pinned.end()) return "mesh_config is gone, without which the other tables mean nothing";
  if (version != 0 && version != MESH_ABI_VERSION && version != previous::kVersion) {
    return fmt::format("the tables have version {}, this meshd has {} and reads {}", version, MESH_ABI_VERSION,
                       previous::kVersion);
  }
  if (!can_be_taken("mesh_config", version, config->second, wanted.at("mesh_config"))) {
    return "map mesh_config has another layout";
  }
  return {};
}

}  // namespace

Takeover take_over(const MapShapes& wanted, const MapShapes& pinned, std::uint32_t version) {
  Takeover result{.anew = {}, .taken = {}, .version = version, .lost = {}};
  const bool is_earlier = version == previous::kVersion;
  const std::string why = pinned.empty() ? std::string() : obstacle(wanted, pinned, version);
  if (wanted == pinned && why.empty() && !is_earlier) return result;
  std::vector<std::string> others;
  for (const auto& [name, shape] : wanted) {
    const auto found = pinned.find(name);
    const bool fits = found != pinned.end() && found->second == shape && conversion_of(name, version) == nullptr;
    if (why.empty() && fits && !is_written_by_user_space(name)) continue;
    result.anew.insert(name);
    if (found == pinned.end() || !why.empty()) continue;
    if (can_be_taken(name, version, found->second, shape)) {
      result.taken.insert(name);
    } else {
      others.push_back(name);
    }
  }
  result.lost = why;
  if (!others.empty()) result.lost = fmt::format("another layout have: {}", fmt::join(others, ", "));
  return result;
}

Row convert_row(std::string_view map, std::uint32_t version, Row row) {
  if (const Conversion* conversion = conversion_of(map, version)) conversion->convert(row);
  if (map == "mesh_config") {
    auto config = value_of<mesh_config>(row.value);
    config.abi = MESH_ABI_VERSION;
    row.value = bytes_of(config);
  }
  return row;
}

void sort_for_carrying(std::vector<FlowEntry>& flows, std::uint32_t now) {
  const auto cost = [&](const FlowEntry& flow) { return mesh_flow_cost(flow.tag, flow.mark, now); };
  std::ranges::sort(flows, std::greater(), cost);
}

}  // namespace mesh::dataplane
