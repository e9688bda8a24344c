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
  std::uint32_t type, value_size;  // then
  void (*convert)(Row& row);
};

// Until the first pass has written them there are no endpoints of IPv4.
void convert_config(Row& row) { row.value.resize(sizeof(mesh_config)); }

constexpr std::array kConversions = {
    Conversion{"mesh_config", BPF_MAP_TYPE_ARRAY, previous::kConfigSize, convert_config},
    // By another way (Kernel::copy_backend_counters): a row of that becomes several.
    Conversion{"mesh_backend_counters", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(mesh_traffic), [](Row&) {}},
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
  const Conversion* conversion = conversion_of(map, version);
  const std::uint32_t type = conversion != nullptr ? conversion->type : wanted.type;
  const std::uint32_t value_size = conversion != nullptr ? conversion->value_size : wanted.value_size;
  return pinned.type == type && pinned.key_size == wanted.key_size && pinned.value_size == value_size;
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
