// Where rings, backends and virtual IPs lie in their array maps: pure. What the kernel holds already stays in its place
// if its contents are still right, whoever wrote it; so a restart of meshd moves nothing.
//
// - A ring is never changed in place: another version (or other contents) gets free chunks, and the service's word is
//   switched to it afterwards.
// - A port's backends are changed in place, since an index is given to another backend only after every host has
//   acknowledged that nothing points at it. When they outgrow their block they move to a larger one.
// - A virtual IP's addresses are never changed in place.
#pragma once

#include <set>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/state.h"

namespace mesh::dataplane {

struct Layout {
  // Rows of kServices, kRings, kRows, kBackends, kVips, kVipBackends that are wanted.
  Observed tables;
  std::vector<Problem> problems;  // ports and virtual IPs for which there is no room; they are left out
  // Rows of mesh_backend_counters that get another meaning.
  struct Range {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    bool operator==(const Range&) const = default;
  };
  std::vector<Range> fresh_backends;
};
[[nodiscard]] Layout lay_out(const Desired& desired, const Observed& observed);

// Index in mesh_services, and back.
[[nodiscard]] std::uint32_t service_index(Protocol protocol, std::uint16_t port);
[[nodiscard]] Protocol service_protocol(std::uint32_t index);
[[nodiscard]] std::uint16_t service_port(std::uint32_t index);

// The ring of a service as the kernel holds it: one byte per slot. Empty if its chunks were not observed.
[[nodiscard]] std::string ring_slots(const Observed& observed, std::uint64_t ring_word);
[[nodiscard]] std::uint32_t ring_chunks(std::uint64_t ring_word);  // how many
// Rows of its backend block, as far as the ring points at it: a power of two, at least kBackendBlockMin.
[[nodiscard]] std::uint32_t backend_block_size(std::size_t backends);

inline constexpr std::uint32_t kSlotsPerChunk = 64;
inline constexpr std::uint32_t kBackendBlockMin = 16;  // room to grow without moving: 4,096 ports fit

}  // namespace mesh::dataplane
