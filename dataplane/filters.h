// Whether an interface's clsact qdisc has any filter left, whoever's. (libbpf asks for one given filter only.)
#pragma once

#include <cstdint>

#include "base/result.h"

namespace mesh::dataplane {

[[nodiscard]] Result<bool> has_filters(std::uint32_t ifindex);

}  // namespace mesh::dataplane
