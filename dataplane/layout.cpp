#include "dataplane/layout.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "dataplane/blocks.h"

namespace mesh::dataplane {
namespace {

constexpr std::uint8_t kEmptyRingLog2 = 6;  // one chunk of "none": a published port without any backend

// The bytes of a ring's slots: owner and moved bit.
std::string encode_slots(const Ring& ring) {
  if (ring.owners.empty()) return std::string(kSlotsPerChunk, static_cast<char>(MESH_SLOT_NONE));
  std::string slots(ring.owners.size(), '\0');
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    const bool moved = ring.foreign.contains(static_cast<std::uint16_t>(slot));
    slots[slot] = static_cast<char>((ring.owners[slot] & MESH_SLOT_OWNER) | (moved ? MESH_SLOT_MOVED : 0));
  }
  return slots;
}

std::uint8_t log2_of(const Ring& ring) {
  return ring.owners.empty() ? kEmptyRingLog2 : static_cast<std::uint8_t>(std::bit_width(ring.owners.size()) - 1);
}

std::string backend_row(const Backend& backend) {
  mesh_backend row{};
  row.node = backend.node;
  row.binding = backend.binding;
  row.state = static_cast<std::uint8_t>(backend.state);
  return bytes_of(row);
}

// FNV-1a: a number for reports; two services with the same one are told apart by their addresses.
std::uint32_t number_of(const std::string& id) {
  std::uint32_t hash = 0x811c9dc5U;
  for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193U;
  return hash;
}

// A tick is about a second, which is near enough for how long a client keeps its backend.
std::uint32_t options_of(const PublishedPort& port) {
  std::uint32_t flags = 0;
  if (port.return_mode == ReturnMode::kDirect) flags |= MESH_SERVICE_DIRECT;
  if (port.prefer_local) flags |= MESH_SERVICE_LOCAL;
  if (!port.addresses.empty()) flags |= MESH_SERVICE_BOUND;
  if (!port.allow.empty()) flags |= MESH_SERVICE_ALLOW;
  if (!port.entry) flags |= MESH_SERVICE_NO_ENTRY;
  constexpr std::uint32_t kAffinityMax = 0xffffff;
  return MESH_OPTIONS(flags, std::min(port.affinity_seconds, kAffinityMax));
}

class Builder {
 public:
  Builder(const Desired& desired, const Observed& observed) : desired_(desired), observed_(observed) {
    // Everything live is out of reach for new pieces in this pass, also what is about to go.
    for (const auto& [key, value] : observed[MapId::kServices]) {
      const auto service = value_of<mesh_service>(value);
      if (!MESH_RING_IS_VALID(service.ring)) continue;
      chunks_.reserve(MESH_RING_CHUNK(service.ring), ring_chunks(service.ring));
      live_backends_[value_of<std::uint32_t>(key)] = {service.backends, live_block_size(service.ring)};
    }
    for (const auto& [key, value] : observed[MapId::kVips]) {
      const auto vip = value_of<mesh_vip>(value);
      vip_rows_.reserve(vip.first, vip.count);
    }
    for (const auto& [index, block] : live_backends_) backend_rows_.reserve(block.first, block.count);
  }

  Layout all() {
    // Ports that keep their place first, so that none of them loses it to a newcomer.
    std::map<std::uint32_t, const PublishedPort*> ports;
    for (const PublishedPort& port : desired_.ports) {
      if (const std::string problem = unfit(port); !problem.empty()) {
        refuse(port, problem);
        continue;
      }
      ports[service_index(port.protocol, port.port)] = &port;
    }
    for (const auto& [index, port] : ports) keep_backends(index, *port);
    for (const auto& [index, port] : ports) place(index, *port);
    for (const VirtualIp& vip : desired_.virtual_ips) place(vip);
    return std::move(layout_);
  }

 private:
  using Range = Layout::Range;

  [[nodiscard]] static std::string unfit(const PublishedPort& port) {
    if (port.protocol == Protocol::kSctp) return "the kernel programs carry TCP and UDP, not SCTP";
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

  void refuse(const PublishedPort& port, const std::string& why) {
    const std::string subject = fmt::format("{}/{}", port.port, protocol_name(port.protocol));
    layout_.problems.push_back(
        {.kind = Problem::Kind::kPort,
         .subject = subject,
         .message = fmt::format("published port {} of service {}: {}", subject, port.service_name, why),
         .protocol = port.protocol,
         .port = port.port});
  }

  // A block whose size is not written anywhere: what the ring points at says how far programs read it.
  [[nodiscard]] std::uint32_t live_block_size(std::uint64_t ring) const {
    std::size_t backends = 0;
    for (const char c : ring_slots(observed_, ring)) {
      const auto owner = static_cast<std::uint8_t>(static_cast<std::uint8_t>(c) & MESH_SLOT_OWNER);
      if (owner != MESH_SLOT_NONE) backends = std::max(backends, std::size_t{owner} + 1);
    }
    return backend_block_size(backends);
  }

  // Its block as it is, grown in place if the rows behind it are nobody's.
  void keep_backends(std::uint32_t index, const PublishedPort& port) {
    const auto live = live_backends_.find(index);
    if (live == live_backends_.end()) return;
    const auto [first, count] = live->second;
    const std::uint32_t wanted = std::max(backend_block_size(port.backends.size()), count);
    if (first % wanted != 0) return;  // was made for fewer: it moves
    if (wanted > count && !backend_rows_.is_free(first + count, wanted - count)) return;
    backend_rows_.reserve(first, wanted);
    kept_backends_[index] = first;
  }

  void place(std::uint32_t index, const PublishedPort& port) {
    const std::optional<std::uint32_t> backends = place_backends(index, port);
    const std::optional<std::uint64_t> ring = backends ? place_ring(index, port.ring) : std::nullopt;
    if (!ring) {
      refuse(port, fmt::format("the kernel tables of this host have no room left for its {}",
                               backends ? "ring (MESH_RING_CHUNKS_MAX)" : "backends (MESH_BACKENDS_MAX)"));
      return;
    }
    for (std::size_t i = 0; i < port.backends.size(); ++i) {
      if (port.backends[i].node == 0 || port.backends[i].state == EndpointState::kGone) continue;
      layout_.tables[MapId::kBackends][bytes_of(static_cast<std::uint32_t>(*backends + i))] =
          backend_row(port.backends[i]);
    }
    rows(index, port.ring);
    options(index, port);
    const mesh_service service{.ring = *ring, .backends = *backends, .options = options_of(port)};
    layout_.tables[MapId::kServices][bytes_of(index)] = bytes_of(service);
  }

  std::optional<std::uint32_t> place_backends(std::uint32_t index, const PublishedPort& port) {
    if (const auto kept = kept_backends_.find(index); kept != kept_backends_.end()) return kept->second;
    const std::uint32_t size = backend_block_size(port.backends.size());
    const std::optional<std::uint32_t> first = backend_rows_.take(size, size);
    if (first) layout_.fresh_backends.push_back({*first, size});
    return first;
  }

  std::optional<std::uint64_t> place_ring(std::uint32_t index, const Ring& ring) {
    const std::string slots = encode_slots(ring);
    const std::uint8_t log2 = log2_of(ring);
    const std::uint64_t live = live_ring(index);
    std::optional<std::uint32_t> chunk;
    if (MESH_RING_IS_VALID(live) && MESH_RING_VERSION(live) == ring.version && MESH_RING_LOG2(live) == log2 &&
        ring_slots(observed_, live) == slots) {
      chunk = MESH_RING_CHUNK(live);
    } else {
      chunk = chunks_.take(static_cast<std::uint32_t>(slots.size() / kSlotsPerChunk));
    }
    if (!chunk) return std::nullopt;
    for (std::uint32_t i = 0; i * kSlotsPerChunk < slots.size(); ++i) {
      layout_.tables[MapId::kRings][bytes_of(*chunk + i)] = slots.substr(i * kSlotsPerChunk, kSlotsPerChunk);
    }
    return MESH_RING(*chunk, log2, MESH_RING_VALID, ring.version);
  }

  [[nodiscard]] std::uint64_t live_ring(std::uint32_t index) const {
    const auto row = observed_[MapId::kServices].find(bytes_of(index));
    return row == observed_[MapId::kServices].end() ? 0 : value_of<mesh_service>(row->second).ring;
  }

  // What the service's options refer to.
  void options(std::uint32_t service, const PublishedPort& port) {
    const std::string present = bytes_of(std::uint32_t{0});
    for (const IpAddress& address : port.addresses) {
      layout_.tables[MapId::kBound][bytes_of(mesh_bound{.service = service, .address = to_abi(address)})] = present;
    }
    for (const Cidr& cidr : port.allow) {
      const mesh_allow key{
          .length = MESH_ALLOW_SERVICE_BITS + mapped_length(cidr), .service = service, .address = to_abi(cidr.network)};
      layout_.tables[MapId::kAllowed][bytes_of(key)] = present;
    }
    mesh_local local{};
    for (const Backend& backend : port.backends) {
      const bool here = backend.node == desired_.self && backend.state == EndpointState::kReady;
      if (port.prefer_local && here && local.count < MESH_LOCALS_MAX) local.binding[local.count++] = backend.binding;
    }
    if (local.count > 0) layout_.tables[MapId::kLocals][bytes_of(service)] = bytes_of(local);
  }

  // Only slots that remember something have a row.
  void rows(std::uint32_t service, const Ring& ring) {
    std::map<std::uint16_t, mesh_row> rows;
    const auto row_of = [&](std::uint16_t slot) -> mesh_row& {
      const auto [row, is_new] = rows.try_emplace(slot);
      if (is_new) row->second.previous = MESH_SLOT_NONE;
      return row->second;
    };
    for (const auto& [slot, previous] : ring.previous) row_of(slot).previous = previous;
    for (const auto& [slot, hosts] : ring.foreign) {
      mesh_row& row = row_of(slot);
      row.count = static_cast<std::uint8_t>(hosts.size());
      std::ranges::copy(hosts, row.host);
    }
    for (const auto& [slot, row] : rows) {
      const mesh_row_key key{.service = service, .version = ring.version, .slot = slot};
      layout_.tables[MapId::kRows][bytes_of(key)] = bytes_of(row);
    }
  }

  void place(const VirtualIp& vip) {
    const std::string key = bytes_of(to_abi(vip.address));
    mesh_vip value{.vni = vip.vni,
                   .first = 0,
                   .count = static_cast<std::uint32_t>(vip.backends.size()),
                   .service = number_of(vip.service_id)};
    const auto live = observed_[MapId::kVips].find(key);
    if (live != observed_[MapId::kVips].end() && holds(value_of<mesh_vip>(live->second), vip)) {
      value.first = value_of<mesh_vip>(live->second).first;
    } else if (value.count > 0) {
      const std::optional<std::uint32_t> first = vip_rows_.take(value.count);
      if (!first) {
        const std::string subject = "virtual IP " + vip.address.to_string();
        layout_.problems.push_back(
            {.kind = Problem::Kind::kLimit,
             .subject = subject,
             .message =
                 subject + ": the kernel table of this host has no room for its backends (MESH_VIP_BACKENDS_MAX)"});
        return;
      }
      value.first = *first;
    }
    for (std::uint32_t i = 0; i < value.count; ++i) {
      layout_.tables[MapId::kVipBackends][bytes_of(value.first + i)] = bytes_of(to_abi(vip.backends[i]));
    }
    layout_.tables[MapId::kVips][key] = bytes_of(value);
  }

  [[nodiscard]] bool holds(const mesh_vip& live, const VirtualIp& vip) const {
    if (live.count != vip.backends.size()) return false;
    for (std::uint32_t i = 0; i < live.count; ++i) {
      const auto row = observed_[MapId::kVipBackends].find(bytes_of(live.first + i));
      if (row == observed_[MapId::kVipBackends].end() || row->second != bytes_of(to_abi(vip.backends[i]))) return false;
    }
    return true;
  }

  const Desired& desired_;
  const Observed& observed_;
  Layout layout_;
  Blocks chunks_{MESH_RING_CHUNKS_MAX};
  Blocks backend_rows_{MESH_BACKENDS_MAX};
  Blocks vip_rows_{MESH_VIP_BACKENDS_MAX};
  std::map<std::uint32_t, Range> live_backends_;          // by service index
  std::map<std::uint32_t, std::uint32_t> kept_backends_;  // service index -> first row
};

}  // namespace

Layout lay_out(const Desired& desired, const Observed& observed) { return Builder(desired, observed).all(); }

std::uint32_t service_index(Protocol protocol, std::uint16_t port) {
  return MESH_SERVICE_INDEX(static_cast<std::uint32_t>(protocol), port);
}
Protocol service_protocol(std::uint32_t index) { return index >= 65536 ? Protocol::kUdp : Protocol::kTcp; }
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
  return std::max(kBackendBlockMin, static_cast<std::uint32_t>(std::bit_ceil(std::max<std::size_t>(backends, 1))));
}

}  // namespace mesh::dataplane
