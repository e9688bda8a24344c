#include "dataplane/layout_rows.h"

#include <algorithm>
#include <bit>
#include <map>

#include "dataplane/layout.h"

namespace mesh::dataplane {
namespace {

constexpr std::uint8_t kEmptyRingLog2 = 6;  // one chunk of "none": a published port without any backend

std::string backend_row(const Backend& backend) {
  mesh_backend row{};
  row.node = backend.node;
  row.binding = backend.binding;
  row.state = static_cast<std::uint8_t>(backend.state);
  return bytes_of(row);
}

// A tick is about a second, which is near enough for how long a client keeps its backend.
std::uint32_t options_of(const PublishedPort& port) {
  std::uint32_t flags = 0;
  if (port.return_mode == ReturnMode::kDirect) flags |= MESH_SERVICE_DIRECT;
  if (port.prefer_local) flags |= MESH_SERVICE_LOCAL;
  if (!port.addresses.empty()) flags |= MESH_SERVICE_BOUND;
  if (!port.allow.empty()) flags |= MESH_SERVICE_ALLOW;
  if (!port.entry) flags |= MESH_SERVICE_NO_ENTRY;
  const auto is_ready = [](const Backend& backend) {
    return backend.node != 0 && backend.state == EndpointState::kReady;
  };
  if (std::ranges::any_of(port.backends, is_ready)) flags |= MESH_SERVICE_READY;
  constexpr std::uint32_t kAffinityMax = 0xffffff;
  return MESH_OPTIONS(flags, std::min(port.affinity_seconds, kAffinityMax));
}

// What the service's options refer to.
void add_options(Observed& tables, std::uint16_t self, std::uint32_t service, const PublishedPort& port) {
  const std::string present = bytes_of(std::uint32_t{0});
  for (const IpAddress& address : port.addresses) {
    tables[MapId::kBound][bytes_of(mesh_bound{.service = service, .address = to_abi(address)})] = present;
  }
  for (const Cidr& cidr : port.allow) {
    const mesh_allow key{
        .length = MESH_ALLOW_SERVICE_BITS + mapped_length(cidr), .service = service, .address = to_abi(cidr.network)};
    tables[MapId::kAllowed][bytes_of(key)] = present;
  }
  mesh_local local{};
  for (const Backend& backend : port.backends) {
    const bool here = backend.node == self && backend.state == EndpointState::kReady;
    if (port.prefer_local && here && local.count < MESH_LOCALS_MAX) local.binding[local.count++] = backend.binding;
  }
  if (local.count > 0) tables[MapId::kLocals][bytes_of(service)] = bytes_of(local);
}

// Only slots that remember something have a row.
void add_memories(Observed& tables, std::uint32_t service, const Ring& ring) {
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
    tables[MapId::kRows][bytes_of(key)] = bytes_of(row);
  }
}

}  // namespace

std::string encode_slots(const Ring& ring) {
  if (ring.owners.empty()) return std::string(kSlotsPerChunk, static_cast<char>(MESH_SLOT_NONE));
  std::string slots(ring.owners.size(), '\0');
  for (std::size_t slot = 0; slot < slots.size(); ++slot) slots[slot] = static_cast<char>(ring.owners[slot] & 0x7fU);
  for (const auto& [slot, hosts] : ring.foreign) {
    if (slot >= slots.size()) continue;
    slots[slot] = static_cast<char>((ring.owners[slot] & MESH_SLOT_OWNER) | MESH_SLOT_MOVED);
  }
  return slots;
}

std::uint8_t slots_log2(const Ring& ring) {
  return ring.owners.empty() ? kEmptyRingLog2 : static_cast<std::uint8_t>(std::bit_width(ring.owners.size()) - 1);
}

// FNV-1a.
std::uint32_t number_of(const std::string& id) {
  std::uint32_t hash = 0x811c9dc5U;
  for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193U;
  return hash;
}

void add_rows(Observed& tables, std::uint16_t self, const PublishedPort& port, const mesh_service& where) {
  for (std::size_t i = 0; i < port.backends.size(); ++i) {
    if (port.backends[i].node == 0 || port.backends[i].state == EndpointState::kGone) continue;
    tables[MapId::kBackends][bytes_of(static_cast<std::uint32_t>(where.backends + i))] = backend_row(port.backends[i]);
  }
  const std::string slots = encode_slots(port.ring);
  const std::uint32_t chunk = MESH_RING_CHUNK(where.ring);
  for (std::uint32_t i = 0; i * kSlotsPerChunk < slots.size(); ++i) {
    tables[MapId::kRings][bytes_of(chunk + i)] = slots.substr(i * kSlotsPerChunk, kSlotsPerChunk);
  }
  const std::uint32_t index = service_index(port.protocol, port.port);
  add_memories(tables, index, port.ring);
  add_options(tables, self, index, port);
  const mesh_service service{.ring = where.ring, .backends = where.backends, .options = options_of(port)};
  tables[MapId::kServices][bytes_of(index)] = bytes_of(service);
}

void add_rows(Observed& tables, const VirtualIp& vip, const mesh_vip& where) {
  for (std::uint32_t i = 0; i < vip.backends.size(); ++i) {
    tables[MapId::kVipBackends][bytes_of(where.first + i)] = bytes_of(to_abi(vip.backends[i]));
  }
  const mesh_vip value{.vni = vip.vni,
                       .first = where.first,
                       .count = static_cast<std::uint32_t>(vip.backends.size()),
                       .service = number_of(vip.service_id)};
  tables[MapId::kVips][bytes_of(to_abi(vip.address))] = bytes_of(value);
}

}  // namespace mesh::dataplane
