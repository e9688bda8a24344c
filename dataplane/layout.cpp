#include "dataplane/layout.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "dataplane/layout_rows.h"

namespace mesh::dataplane {
namespace {

class Builder {
 public:
  Builder(std::uint16_t self, const Pieces& pieces, const Observed& observed, Room& room)
      : self_(self), pieces_(pieces), observed_(observed), room_(room) {}

  Layout all() {
    std::map<std::uint32_t, const PublishedPort*> ports;
    for (const PublishedPort* port : pieces_.ports) {
      if (const std::string problem = unfit(*port); !problem.empty()) {
        refuse(*port, problem);
        continue;
      }
      ports[service_index(port->protocol, port->port)] = port;
    }
    // Ports that keep their place first, so that none of them loses it to a newcomer.
    for (const auto& [index, port] : ports) keep_backends(index, *port);
    for (const auto& [index, port] : ports) place(index, *port);
    for (const VirtualIp* vip : pieces_.virtual_ips) place(*vip);
    return std::move(layout_);
  }

 private:
  [[nodiscard]] static std::string unfit(const PublishedPort& port) {
    if (port.backends.size() > kBackendsMax) {
      return fmt::format("{} backends are more than the {} that one ring can hold", port.backends.size(), kBackendsMax);
    }
    if (port.allow.size() > kAllowMax) {
      return fmt::format("{} prefixes of clients are more than the {} that one port takes", port.allow.size(),
                         kAllowMax);
    }
    const std::size_t slots = port.ring.owners.size();
    if (slots != 0 && (!std::has_single_bit(slots) || slots < kSlotsPerChunk || slots > 65536)) {
      return fmt::format("its ring has {} slots; a power of two from {} to 65536 is needed", slots, kSlotsPerChunk);
    }
    for (const auto& [slot, hosts] : port.ring.foreign) {
      if (hosts.size() > MESH_ROW_HOSTS_MAX) {
        return fmt::format("slot {} of its ring remembers {} hosts, at most {} fit", slot, hosts.size(),
                           MESH_ROW_HOSTS_MAX);
      }
    }
    return {};
  }

  static Problem problem_of(const PublishedPort& port, const std::string& why) {
    const std::string subject = fmt::format("{}/{}", port.port, protocol_name(port.protocol));
    return {.kind = Problem::Kind::kPort,
            .subject = subject,
            .message = fmt::format("published port {} of service {}: {}", subject, port.service_name, why),
            .protocol = port.protocol,
            .port = port.port};
  }

  void refuse(const PublishedPort& port, const std::string& why) { layout_.problems.push_back(problem_of(port, why)); }

  [[nodiscard]] mesh_service live(std::uint32_t index) const {
    const auto row = observed_[MapId::kServices].find(bytes_of(index));
    return row == observed_[MapId::kServices].end() ? mesh_service{} : value_of<mesh_service>(row->second);
  }

  // Its block as it is, grown in place if the rows behind it are nobody's.
  void keep_backends(std::uint32_t index, const PublishedPort& port) {
    const auto block = room_.backends.find(index);
    if (block == room_.backends.end() || !MESH_RING_IS_VALID(live(index).ring)) return;
    RowRange& rows = block->second;
    const std::uint32_t wanted = std::max(backend_block_size(port.backends.size()), rows.count);
    if (wanted > rows.count && !room_.backend_rows.is_free(rows.first + rows.count, wanted - rows.count)) return;
    room_.backend_rows.reserve(rows.first, wanted);
    rows.count = wanted;
    kept_backends_.emplace(index, rows.first);
  }

  void place(std::uint32_t index, const PublishedPort& port) {
    const std::optional<std::uint32_t> backends = place_backends(index, port);
    const std::optional<std::uint64_t> ring = backends ? place_ring(index, port.ring) : std::nullopt;
    const mesh_service before = live(index);
    if (backends && !ring && MESH_RING_IS_VALID(before.ring)) {
      PublishedPort waiting = port;
      waiting.ring = live_ring(index, before.ring);
      add_rows(layout_.tables, self_, waiting, mesh_service{.ring = before.ring, .backends = *backends, .options = 0});
      layout_.waiting.push_back(problem_of(port, "its new ring waits for room (MESH_RING_CHUNKS_MAX)"));
      return;
    }
    if (!ring) {
      refuse(port, fmt::format("the kernel tables of this host have no room left for its {}",
                               backends ? "ring (MESH_RING_CHUNKS_MAX)" : "backends (MESH_BACKENDS_MAX)"));
      return;
    }
    add_rows(layout_.tables, self_, port, mesh_service{.ring = *ring, .backends = *backends, .options = 0});
  }

  std::optional<std::uint32_t> place_backends(std::uint32_t index, const PublishedPort& port) {
    if (const auto kept = kept_backends_.find(index); kept != kept_backends_.end()) return kept->second;
    const std::uint32_t size = backend_block_size(port.backends.size());
    const std::optional<std::uint32_t> first = room_.backend_rows.take(size);
    if (!first) return std::nullopt;
    layout_.fresh_backends.push_back({*first, size});
    const auto [block, is_new] = room_.backends.try_emplace(index);
    if (!is_new) layout_.left_backends.push_back(block->second);
    block->second = {*first, size};
    return first;
  }

  std::optional<std::uint64_t> place_ring(std::uint32_t index, const Ring& ring) {
    const std::string slots = encode_slots(ring);
    const std::uint8_t log2 = slots_log2(ring);
    const std::uint64_t word = live(index).ring;
    if (MESH_RING_IS_VALID(word) && MESH_RING_VERSION(word) == ring.version && MESH_RING_LOG2(word) == log2 &&
        ring_slots(observed_, word) == slots) {
      return word;
    }
    const auto chunk = room_.chunks.take(static_cast<std::uint32_t>(slots.size() / kSlotsPerChunk));
    if (!chunk) return std::nullopt;
    return MESH_RING(*chunk, log2, MESH_RING_VALID, ring.version);
  }

  // As the kernel has it.
  [[nodiscard]] Ring live_ring(std::uint32_t index, std::uint64_t word) const {
    Ring ring{.version = MESH_RING_VERSION(word), .owners = {}, .previous = {}, .foreign = {}};
    bool has_owners = false;
    for (const char slot : ring_slots(observed_, word)) {
      ring.owners.push_back(static_cast<std::uint8_t>(slot) & MESH_SLOT_OWNER);
      has_owners = has_owners || ring.owners.back() != MESH_SLOT_NONE;
    }
    if (!has_owners) ring.owners.clear();
    const Table& rows = observed_[MapId::kRows];
    const std::string first = bytes_of(mesh_row_key{.service = index, .version = ring.version, .slot = 0});
    const std::string_view common = std::string_view(first).substr(0, offsetof(mesh_row_key, slot));
    for (auto row = rows.lower_bound(first); row != rows.end() && row->first.starts_with(common); ++row) {
      const auto slot = static_cast<std::uint16_t>(value_of<mesh_row_key>(row->first).slot);
      const auto value = value_of<mesh_row>(row->second);
      if (value.previous != MESH_SLOT_NONE) ring.previous[slot] = value.previous;
      if (value.count > 0)
        ring.foreign[slot].assign(value.host, value.host + std::min<std::size_t>(value.count, MESH_ROW_HOSTS_MAX));
    }
    return ring;
  }

  void place(const VirtualIp& vip) {
    mesh_vip where{};
    const auto live = observed_[MapId::kVips].find(bytes_of(to_abi(vip.address)));
    if (live != observed_[MapId::kVips].end() && holds(value_of<mesh_vip>(live->second), vip)) {
      where.first = value_of<mesh_vip>(live->second).first;
    } else if (!vip.backends.empty()) {
      const std::optional<std::uint32_t> first = room_.vip_rows.take(static_cast<std::uint32_t>(vip.backends.size()));
      if (!first) {
        const std::string subject = "virtual IP " + vip.address.to_string();
        layout_.problems.push_back(
            {.kind = Problem::Kind::kLimit,
             .subject = subject,
             .message =
                 subject + ": the kernel table of this host has no room for its backends (MESH_VIP_BACKENDS_MAX)"});
        return;
      }
      where.first = *first;
    }
    add_rows(layout_.tables, vip, where);
  }

  [[nodiscard]] bool holds(const mesh_vip& live, const VirtualIp& vip) const {
    if (live.count != vip.backends.size()) return false;
    for (std::uint32_t i = 0; i < live.count; ++i) {
      const auto row = observed_[MapId::kVipBackends].find(bytes_of(live.first + i));
      if (row == observed_[MapId::kVipBackends].end() || row->second != bytes_of(to_abi(vip.backends[i]))) return false;
    }
    return true;
  }

  std::uint16_t self_;
  const Pieces& pieces_;
  const Observed& observed_;
  Room& room_;
  Layout layout_;
  std::map<std::uint32_t, std::uint32_t> kept_backends_;  // service index -> first row
};

// As far as a ring points.
std::uint32_t owners_of(const Observed& observed, std::uint64_t ring) {
  std::uint32_t count = 0;
  for (const char c : ring_slots(observed, ring)) {
    const auto owner = static_cast<std::uint32_t>(static_cast<std::uint8_t>(c) & MESH_SLOT_OWNER);
    if (owner != MESH_SLOT_NONE) count = std::max(count, owner + 1);
  }
  return count;
}

// A block whose size is not written anywhere: its ring says how far programs read it, and the rows before the next
// block (`end`) that it has more backends, which take no new flows any more.
std::uint32_t live_rows(const Observed& observed, const mesh_service& service, std::uint32_t end) {
  std::uint32_t count = owners_of(observed, service.ring);
  const std::uint32_t limit = std::min(end, service.backends + MESH_SERVICE_BACKENDS_MAX);
  for (std::uint32_t row = service.backends + count; row < limit; ++row) {
    if (observed[MapId::kBackends].contains(bytes_of(row))) count = row + 1 - service.backends;
  }
  return std::max(backend_block_size(owners_of(observed, service.ring)),
                  std::min(backend_block_size(count), end - service.backends));
}

}  // namespace

Room room_of(const Observed& observed) {
  Room room;
  std::multimap<std::uint32_t, std::pair<std::uint32_t, mesh_service>> blocks;  // by first row
  for (const auto& [key, value] : observed[MapId::kServices]) {
    const auto service = value_of<mesh_service>(value);
    if (!MESH_RING_IS_VALID(service.ring)) continue;
    room.chunks.reserve(MESH_RING_CHUNK(service.ring), ring_chunks(service.ring));
    blocks.emplace(service.backends, std::pair(value_of<std::uint32_t>(key), service));
  }
  for (auto block = blocks.begin(); block != blocks.end(); ++block) {
    const auto& [index, service] = block->second;
    const auto next = blocks.upper_bound(block->first);
    const std::uint32_t end = next == blocks.end() ? MESH_BACKENDS_MAX : next->first;
    const std::uint32_t count = live_rows(observed, service, end);
    room.backend_rows.reserve(service.backends, count);
    room.backends[index] = {service.backends, count};
  }
  for (const auto& [key, value] : observed[MapId::kVips]) {
    const auto vip = value_of<mesh_vip>(value);
    room.vip_rows.reserve(vip.first, vip.count);
  }
  return room;
}

Pieces pieces_of(const Desired& desired) {
  Pieces pieces;
  std::unordered_map<std::string_view, const Endpoint*> endpoints;
  for (const Endpoint& endpoint : desired.endpoints) {
    pieces.endpoints.push_back(&endpoint);
    endpoints[endpoint.task_id] = &endpoint;
  }
  for (const Binding& binding : desired.bindings) {
    if (const auto task = endpoints.find(binding.task_id); task != endpoints.end()) {
      pieces.bindings.push_back({&binding, task->second});
    }
  }
  for (const PublishedPort& port : desired.ports) pieces.ports.push_back(&port);
  for (const VirtualIp& vip : desired.virtual_ips) pieces.virtual_ips.push_back(&vip);
  return pieces;
}

Layout lay_out(std::uint16_t self, const Pieces& pieces, const Observed& observed, Room& room) {
  return Builder(self, pieces, observed, room).all();
}

Layout lay_out(const Desired& desired, const Observed& observed) {
  Room room = room_of(observed);
  return lay_out(desired.self, pieces_of(desired), observed, room);
}

void vacate(Room& room, const Observed& before, const Layout& after) {
  const auto now = [&](MapId map, const std::string& key) {
    const auto row = after.tables[map].find(key);
    return row == after.tables[map].end() ? std::string() : row->second;
  };
  for (const auto& [key, value] : before[MapId::kServices]) {
    const auto was = value_of<mesh_service>(value);
    const auto is = value_of<mesh_service>(now(MapId::kServices, key));
    if (was.ring != is.ring) room.chunks.release(MESH_RING_CHUNK(was.ring), ring_chunks(was.ring));
    const auto block = room.backends.find(value_of<std::uint32_t>(key));
    if (MESH_RING_IS_VALID(is.ring) || block == room.backends.end()) continue;
    room.backend_rows.release(block->second.first, block->second.count);
    room.backends.erase(block);
  }
  for (const RowRange& rows : after.left_backends) room.backend_rows.release(rows.first, rows.count);
  for (const auto& [key, value] : before[MapId::kVips]) {
    const auto was = value_of<mesh_vip>(value);
    const auto is = value_of<mesh_vip>(now(MapId::kVips, key));
    if (was.first != is.first || is.count == 0) room.vip_rows.release(was.first, was.count);
  }
}

Room settled(const Room& room, const Observed& wanted) {
  Room result;
  for (const auto& [key, value] : wanted[MapId::kServices]) {
    const auto service = value_of<mesh_service>(value);
    result.chunks.reserve(MESH_RING_CHUNK(service.ring), ring_chunks(service.ring));
    const auto index = value_of<std::uint32_t>(key);
    const RowRange rows = room.backends.at(index);
    result.backend_rows.reserve(rows.first, rows.count);
    result.backends[index] = rows;
  }
  for (const auto& [key, value] : wanted[MapId::kVips]) {
    const auto vip = value_of<mesh_vip>(value);
    result.vip_rows.reserve(vip.first, vip.count);
  }
  return result;
}

std::uint32_t service_index(Protocol protocol, std::uint16_t port) {
  return MESH_SERVICE_INDEX(static_cast<std::uint32_t>(protocol), port);
}
Protocol service_protocol(std::uint32_t index) {
  if (index >= MESH_SERVICES_MAX) return Protocol::kSctp;
  return index >= 65536 ? Protocol::kUdp : Protocol::kTcp;
}
std::uint16_t service_port(std::uint32_t index) { return static_cast<std::uint16_t>(index & 0xffffU); }

std::uint32_t ring_chunks(std::uint64_t ring_word) {
  const std::uint32_t log2 = std::clamp(MESH_RING_LOG2(ring_word), 6U, 16U);
  return (1U << log2) / kSlotsPerChunk;
}

std::string ring_slots(const Observed& observed, std::uint64_t ring_word) {
  std::string slots;
  for (std::uint32_t i = 0; i < ring_chunks(ring_word); ++i) {
    const auto row = observed[MapId::kRings].find(bytes_of(MESH_RING_CHUNK(ring_word) + i));
    if (row == observed[MapId::kRings].end()) return {};
    slots += row->second;
  }
  return slots;
}

std::uint32_t backend_block_size(std::size_t backends) {
  const auto count = static_cast<std::uint32_t>(std::max<std::size_t>(backends, 1));
  return (count + kBackendBlockUnit - 1) / kBackendBlockUnit * kBackendBlockUnit;
}

}  // namespace mesh::dataplane
