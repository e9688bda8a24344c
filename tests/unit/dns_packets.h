// Building and reading DNS packets the obvious way, for the tests: independent of the code under test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::dns::testing {

using Raw = std::vector<std::uint8_t>;

inline void put16(Raw& raw, unsigned value) {
  raw.push_back(static_cast<std::uint8_t>(value >> 8U));
  raw.push_back(static_cast<std::uint8_t>(value));
}

inline Raw name_bytes(std::string_view name) {
  Raw raw;
  std::string label;
  for (const char c : std::string(name) + ".") {
    if (c != '.') {
      label.push_back(c);
      continue;
    }
    if (label.empty()) continue;
    raw.push_back(static_cast<std::uint8_t>(label.size()));
    raw.insert(raw.end(), label.begin(), label.end());
    label.clear();
  }
  raw.push_back(0);
  return raw;
}

// Flags: recursion desired. `edns_bytes` 0: no OPT record.
inline Raw query(std::string_view name, unsigned type, unsigned edns_bytes = 0, unsigned id = 0x1234,
                 unsigned edns_version = 0) {
  Raw raw;
  for (const unsigned word : {id, 0x0100U, 1U, 0U, 0U, edns_bytes != 0 ? 1U : 0U}) put16(raw, word);
  const Raw owner = name_bytes(name);
  raw.insert(raw.end(), owner.begin(), owner.end());
  put16(raw, type);
  put16(raw, 1);
  if (edns_bytes != 0) {
    raw.push_back(0);
    put16(raw, 41);
    put16(raw, edns_bytes);
    put16(raw, edns_version);
    put16(raw, 0);
    put16(raw, 0);
  }
  return raw;
}

inline unsigned word(const Raw& raw, std::size_t at) { return (static_cast<unsigned>(raw[at]) << 8U) | raw[at + 1]; }
inline unsigned rcode(const Raw& raw) { return raw[3] & 0xfU; }
inline bool truncated(const Raw& raw) { return (raw[2] & 0x02U) != 0; }
inline unsigned answer_count(const Raw& raw) { return word(raw, 6); }

}  // namespace mesh::dns::testing
