#include "dataplane/endpoint_table.h"

#include <atomic>

#include "bpf/lib/endpoint.h"

namespace mesh::dataplane {
namespace {

static_assert(sizeof(mesh_endpoint4) == 2 * sizeof(std::uint64_t));

// An entry's halves: what it is of, and where that is.
std::atomic_ref<std::uint64_t> half(mesh_endpoint4& entry, std::size_t which) {
  return std::atomic_ref(reinterpret_cast<std::uint64_t*>(&entry)[which]);
}
template <class T>
std::uint64_t word_of(const T& value) {
  std::uint64_t word = 0;
  static_assert(sizeof value == sizeof word);
  std::memcpy(&word, &value, sizeof word);
  return word;
}
// MESH_ENDPOINT_MORE where the first half has it.
std::uint64_t more_bit() { return word_of(mesh_endpoint4_key{.vni = MESH_ENDPOINT_MORE, .address = 0}); }

bool is_of(const mesh_endpoint4& entry, const mesh_endpoint4_key& key) {
  return (entry.network & ~MESH_ENDPOINT_MORE) == key.vni && entry.address == key.address;
}

}  // namespace

template <class Visit>
void EndpointTable::walk(const mesh_endpoint4_key& key, const Visit& visit) const {
  mesh_probe probe = mesh_probe_first(key.vni, key.address);
  for (std::uint32_t i = 0; i < MESH_ENDPOINT_PROBES; ++i, mesh_probe_next(&probe)) {
    if (!visit(mesh_probe_line(&probe, static_cast<std::uint32_t>(lines_.size())))) return;
  }
}

template <class Visit>
void EndpointTable::for_each(const Visit& visit) const {
  for (std::uint32_t line = 0; line < lines_.size(); ++line) {
    for (std::uint32_t way = 0; way < MESH_ENDPOINTS_OF_LINE; ++way) {
      const mesh_endpoint4& entry = lines_[line].entry[way];
      const mesh_endpoint4_key key{.vni = entry.network & ~MESH_ENDPOINT_MORE, .address = entry.address};
      if (key.vni == 0) continue;
      Place place;
      const bool is_found = find(key, place) && place.line == line && place.way == way;
      visit(key, Place{line, way}, is_found);
    }
  }
}

EndpointTable::EndpointTable(std::span<mesh_endpoint_line> lines) : lines_(lines), passed_(lines.size(), 0) {
  std::vector<Place> lost;
  for_each([&](const mesh_endpoint4_key& key, const Place& place, bool is_found) {
    if (!is_found) lost.push_back(place);
    if (is_found)
      walk(key, [&](std::uint32_t line) {
        if (line != place.line) ++passed_[line];
        return line != place.line;
      });
  });
  for (const Place& place : lost) clear(place);
}

bool EndpointTable::find(const mesh_endpoint4_key& key, Place& place) const {
  bool found = false;
  walk(key, [&](std::uint32_t line) {
    for (std::uint32_t way = 0; way < MESH_ENDPOINTS_OF_LINE && !found; ++way) {
      found = is_of(lines_[line].entry[way], key);
      place = {line, way};
    }
    return !found && (lines_[line].entry[0].network & MESH_ENDPOINT_MORE) != 0;
  });
  return found;
}

// It lies on `line` of its sequence: those before say so as long as any does.
void EndpointTable::pass(const mesh_endpoint4_key& key, std::uint32_t line, int count) {
  walk(key, [&](std::uint32_t before) {
    if (before == line) return false;
    passed_[before] = static_cast<std::uint16_t>(passed_[before] + count);
    const auto first = half(lines_[before].entry[0], 0);
    const std::uint64_t rest = first.load() & ~more_bit();
    first.store(passed_[before] == 0 ? rest : rest | more_bit(), std::memory_order_release);
    return true;
  });
}

bool EndpointTable::put(const mesh_endpoint4_key& key, const mesh_endpoint4_place& value) {
  Place place;
  if (find(key, place)) {
    half(lines_[place.line].entry[place.way], 1).store(word_of(value), std::memory_order_release);
    return true;
  }
  bool has_place = false;
  walk(key, [&](std::uint32_t line) {
    for (std::uint32_t way = 0; way < MESH_ENDPOINTS_OF_LINE && !has_place; ++way) {
      has_place = (lines_[line].entry[way].network & ~MESH_ENDPOINT_MORE) == 0;
      place = {line, way};
    }
    return !has_place;
  });
  if (!has_place) return false;
  pass(key, place.line, 1);
  mesh_endpoint4& entry = lines_[place.line].entry[place.way];
  half(entry, 1).store(word_of(value), std::memory_order_release);
  const std::uint64_t more = half(entry, 0).load() & more_bit();
  half(entry, 0).store(word_of(key) | more, std::memory_order_release);
  return true;
}

void EndpointTable::clear(const Place& place) {
  mesh_endpoint4& entry = lines_[place.line].entry[place.way];
  half(entry, 0).store(half(entry, 0).load() & (place.way == 0 ? more_bit() : 0), std::memory_order_release);
}

void EndpointTable::erase(const mesh_endpoint4_key& key) {
  Place place;
  if (!find(key, place)) return;
  clear(place);
  pass(key, place.line, -1);
}

Table EndpointTable::rows() const {
  Table table;
  for_each([&](const mesh_endpoint4_key& key, const Place& place, bool is_found) {
    const mesh_endpoint4& entry = lines_[place.line].entry[place.way];
    if (is_found) table[bytes_of(key)] = bytes_of(mesh_endpoint4_place{.place = entry.place, .ingress = entry.ingress});
  });
  return table;
}

}  // namespace mesh::dataplane
