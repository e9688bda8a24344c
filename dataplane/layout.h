// Where rings, backends and virtual IPs lie in their array maps: pure. What the kernel holds already stays in its place
// if its contents are still right, whoever wrote it; so a restart of meshd moves nothing.
//
// - A ring is never changed in place: another version (or other contents) gets free chunks, and the service's word is
//   switched to it afterwards.
// - A port's backends are changed in place, since an index is given to another backend only after every host has
//   acknowledged that nothing points at it. When they outgrow their block they move to a larger one.
// - A virtual IP's addresses are never changed in place.
#pragma once

#include <unordered_map>
#include <vector>

#include "dataplane/blocks.h"
#include "dataplane/dataplane.h"
#include "dataplane/pieces.h"
#include "dataplane/state.h"

namespace mesh::dataplane {

// Rows of an array map.
struct RowRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  bool operator==(const RowRange&) const = default;
};

// What is taken in the array maps, and by whom where a row does not say how much.
struct Room {
  Blocks chunks{MESH_RING_CHUNKS_MAX};
  Blocks backend_rows{MESH_BACKENDS_MAX};
  Blocks vip_rows{MESH_VIP_BACKENDS_MAX};
  std::unordered_map<std::uint32_t, RowRange> backends;  // by service index
};
// By what the kernel holds: everything live is out of reach for new pieces, also what is about to go.
[[nodiscard]] Room room_of(const Observed& observed);

struct Layout {
  // Rows of kServices, kRings, kRows, kBackends, kBound, kAllowed, kLocals, kVips, kVipBackends that are wanted.
  Observed tables;
  std::vector<Problem> problems;         // ports and virtual IPs for which there is no room; they are left out
  std::vector<Problem> waiting;          // ports that keep the ring they have: there is no room for both at once
  std::vector<RowRange> fresh_backends;  // rows of mesh_backend_counters that get another meaning
  std::vector<RowRange> left_backends;   // blocks that became too small
};
// Finds places for pieces in `room`. `observed`: what the kernel holds of these pieces at least. The places that they
// leave stay taken until vacate().
[[nodiscard]] Layout lay_out(std::uint16_t self, const Pieces& pieces, const Observed& observed, Room& room);
[[nodiscard]] Layout lay_out(const Desired& desired, const Observed& observed);  // everything
// The rows of a port or virtual IP that stay where the kernel has them.
void add_rows(Observed& tables, std::uint16_t self, const PublishedPort& port, const mesh_service& where);
void add_rows(Observed& tables, const VirtualIp& vip, const mesh_vip& where);
// Frees the places that these pieces have left. `before`: their rows until now, all of them as this layout's maker left
// them.
void vacate(Room& room, const Observed& before, const Layout& after);
// The room of a kernel that holds exactly `wanted`, which was laid out in `room`.
[[nodiscard]] Room settled(const Room& room, const Observed& wanted);

// Index in mesh_services, and back.
[[nodiscard]] std::uint32_t service_index(Protocol protocol, std::uint16_t port);
[[nodiscard]] Protocol service_protocol(std::uint32_t index);
[[nodiscard]] std::uint16_t service_port(std::uint32_t index);

// The ring of a service as the kernel holds it: one byte per slot. Empty if its chunks were not observed.
[[nodiscard]] std::string ring_slots(const Observed& observed, std::uint64_t ring_word);
[[nodiscard]] std::uint32_t ring_chunks(std::uint64_t ring_word);  // how many
// Rows of a block for so many backends.
[[nodiscard]] std::uint32_t backend_block_size(std::size_t backends);

inline constexpr std::uint32_t kSlotsPerChunk = 64;
// Blocks are multiples of it. Larger ones would move less often as they grow, and hold fewer ports: 13,107 of ten
// backends fit.
inline constexpr std::uint32_t kBackendBlockUnit = 2;

}  // namespace mesh::dataplane
