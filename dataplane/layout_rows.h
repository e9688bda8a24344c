// What a port's ring and a virtual IP are in the maps' terms, without where they lie. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/desired.h"
#include "dataplane/ring.h"

namespace mesh::dataplane {

// The bytes of a ring's slots: owner and moved bit. Without owners one chunk of "none".
[[nodiscard]] std::string encode_slots(const Ring& ring);
[[nodiscard]] std::uint8_t slots_log2(const Ring& ring);  // of how many these are
// A number for reports; two services with the same one are told apart by their addresses.
[[nodiscard]] std::uint32_t number_of(const std::string& id);

}  // namespace mesh::dataplane
