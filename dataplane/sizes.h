// How many rows the tables have: pure. As many as the cluster needs and some more, so that a small one takes little. A
// table that is too small for what is planned is made anew, larger (ADR 13), and with it all that user space writes;
// none becomes smaller while the host runs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/plan.h"
#include "dataplane/state.h"
#include "dataplane/takeover.h"

namespace mesh::dataplane {

using Sizes = std::map<std::string, std::uint32_t, std::less<>>;  // rows, by the map's name

// Of the maps whose size follows the cluster's; the others have the size that the object says. `pinned`: tables of an
// earlier meshd, whose rows all find a place. `asked`: no fewer than these. `cpus`: numbers of CPUs that there may be.
[[nodiscard]] Sizes sizes_to_make(const MapShapes& pinned, const Sizes& asked, std::uint32_t cpus);

// What a plan's rows need of maps that have `sizes`, and hold `kernel`: all sizes to make them anew with, or nothing
// where all rows have a place, or the limit is reached.
[[nodiscard]] std::optional<Sizes> sizes_for(const std::vector<Action>& actions, const Observed& kernel,
                                             const Sizes& sizes);

}  // namespace mesh::dataplane
