// Rings: which backend of a published port owns a new flow, and where older flows may live. Pure values.
//
// A ring has 2^k slots; slot = the top k bits of the flow hash. The leader computes each version from the one before so
// that only surplus slots move; every host copies it, so the same version is the same ring everywhere. A slot also
// remembers its previous owner and the hosts that may hold records of flows that are not the owner's ("foreign"): a
// packet without a record walks these. The exact algorithm and its invariants: docs/adr, "flow consistency".
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/result.h"

namespace mesh::dataplane {

inline constexpr std::uint8_t kNoBackend = 0x7f;        // slot value for "none"; 0..126 are backends
inline constexpr std::size_t kBackendsMax = 127;        // u8 slots: 7 bits and the moved bit
inline constexpr std::uint8_t kRingLog2Min = 8;         // 256 slots serve 25 backends at 10 % imbalance
inline constexpr std::size_t kSlotsPerBackendMin = 10;  // imbalance max/mean 1.10

struct Ring {
  std::uint32_t version = 0;                       // counts changes of this port's ring; 0 is "never built"
  std::vector<std::uint8_t> owners;                // per slot, size 2^k; index into the port's backends
  std::map<std::uint16_t, std::uint8_t> previous;  // slot -> owner one version ago, where it differs
  std::map<std::uint16_t, std::vector<std::uint16_t>> foreign;  // slot -> node numbers, sorted; absent: not moved

  [[nodiscard]] std::uint8_t log2() const;  // k; 0 when empty
  bool operator==(const Ring&) const = default;
};

// A backend that should own slots: its index in the port's backend list, its node and its weight (>= 1).
struct RingMember {
  std::uint8_t index = 0;
  std::uint16_t node = 0;
  std::uint16_t weight = 1;
};

// The next version: minimal movement from `ring` to `members`; surplus slots go first to a member whose host is already
// in the slot's foreign set. `node_of` gives the node of every index still alive, including draining ones: a moved
// slot's old owner's host enters the foreign set only if that backend is in `node_of`. Unchanged input gives the same
// ring and version. kExhausted when there are more than kBackendsMax members.
[[nodiscard]] Result<Ring> change_ring(const Ring& ring, const std::vector<RingMember>& members,
                                       const std::map<std::uint8_t, std::uint16_t>& node_of);

// The same owners one version later: nothing has a previous owner. For a ring whose foreign sets have shrunk, because
// hosts must agree on these too.
[[nodiscard]] Ring next_version(Ring ring);

// A host's scan result: it committed `version` and holds foreign records only in `held` slots. It leaves the foreign
// set of every other slot. Returns whether anything changed; the caller then publishes next_version().
bool drop_foreign(Ring& ring, std::uint16_t node, std::uint32_t version, const std::vector<std::uint16_t>& held);
// A dead host leaves every foreign set.
bool drop_dead(Ring& ring, std::uint16_t node);

}  // namespace mesh::dataplane
