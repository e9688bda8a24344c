// What becomes of the tables that an earlier meshd pinned when the programs of this one want others (ADR 13): pure.
//
// Tables that user space writes point at each other, so they are made anew together as soon as any map differs: the old
// programs go on with a set that nobody changes any more. Of what the programs write, each map that still fits is used
// on by both.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/state.h"

namespace mesh::dataplane {

struct MapShape {
  std::uint32_t type = 0, key_size = 0, value_size = 0, rows_max = 0, flags = 0;
  bool operator==(const MapShape&) const = default;
};
using MapShapes = std::map<std::string, MapShape, std::less<>>;  // by name

struct Takeover {
  std::set<std::string, std::less<>> anew;   // maps to be made; all others are used on
  std::set<std::string, std::less<>> taken;  // of these: whose rows are taken over
  std::uint32_t version = 0;                 // of the tables that are there
  std::string lost;                          // which of them start empty, and why; empty: none does
};
// `version`: mesh_config.abi of the pinned maps; 0: its meshd never came to write it, or there is no mesh_config.
[[nodiscard]] Takeover take_over(const MapShapes& wanted, const MapShapes& pinned, std::uint32_t version);

struct Row {
  std::string key, value;
  bool operator==(const Row&) const = default;
};
// A row of a map that is taken over as it is in this version. `value` is of one CPU.
[[nodiscard]] Row convert_row(std::string_view map, std::uint32_t version, Row row);

// In which order flow records go to a table that may be too small for all: each takes the place of one that is missed
// less.
void sort_for_carrying(std::vector<FlowEntry>& flows, std::uint32_t now);

}  // namespace mesh::dataplane
