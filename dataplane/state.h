// What the kernel holds of the data plane, as values: the contents of the maps, byte for byte as bpf/abi.h lays them
// out, and which of our programs is attached where. observe() reads it, plan() compares it with what is wanted.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <type_traits>

#include "base/address.h"
#include "bpf/abi.h"

namespace mesh::dataplane {

// The maps that user space writes.
enum class MapId : std::uint8_t {
  kConfig,
  kAddresses,
  kNodes,
  kServices,
  kRings,
  kRows,
  kBackends,
  kBindings,
  kEndpoints,
  kSources,
  kNetworks,
  kVnis,
  kVips,
  kVipBackends,
  kNamespaces,
  kMembers,
  kBound,
  kAllowed,
  kLocals,
  kEndpoints4,
  kFormers,
};
inline constexpr std::size_t kMapCount = 21;

struct MapInfo {
  const char* name;  // of the object's symbol and of the pin
  bool is_array;     // a row of zeros is an absent row
  std::uint32_t rows_max;
};
[[nodiscard]] const MapInfo& map_info(MapId map);

// Where the rows of kServices are that are SCTP's: those from MESH_SERVICES_MAX on.
inline constexpr const char* kSctpServices = "mesh_sctp_services";

// The two halves of a mesh_endpoint4: a row of kEndpoints4, wherever it lies (endpoint_table.h).
struct mesh_endpoint4_key {
  std::uint32_t vni = 0;
  __be32 address = 0;
};
struct mesh_endpoint4_place {
  std::uint32_t place = 0;
  __be32 ingress = 0;
};

// Key and value bytes of one map. Rows of kRings, kBackends and kVipBackends are held only as far as a service or a
// virtual IP points at them.
using Table = std::map<std::string, std::string>;

template <class T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] std::string bytes_of(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
// A row of another size than T (never written by us) reads as zeros.
template <class T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] T value_of(const std::string& bytes) {
  T value{};
  if (bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}
[[nodiscard]] bool is_zero(const std::string& bytes);

[[nodiscard]] mesh_address to_abi(const IpAddress& address);
// Of a prefix, in bits of the mapped address.
[[nodiscard]] std::uint32_t mapped_length(const Cidr& cidr);
[[nodiscard]] IpAddress from_abi(const mesh_address& address);

// Where one of our programs belongs.
struct Hook {
  enum class Kind : std::uint8_t { kUplinkXdp, kUplinkTc, kEndpointTc, kEntryTc, kCgroup };
  Kind kind = Kind::kUplinkTc;
  std::uint32_t ifindex = 0;  // 0 for kCgroup
  std::string program;        // its name in the object
  auto operator<=>(const Hook&) const = default;
};
[[nodiscard]] bool is_tc(Hook::Kind kind);

// What is attached at a hook.
struct Attached {
  std::uint32_t program_id = 0;
  std::uint64_t cgroup_id = 0;  // kCgroup: of the directory
  auto operator<=>(const Attached&) const = default;
};

// A record of mesh_flows with what its set says of it.
struct FlowEntry {
  mesh_flow record{};
  std::uint32_t tag = 0;
  std::uint32_t mark = 0;
};

// What does not come from Desired: facts about this host and the loaded programs.
struct HostFacts {
  std::uint64_t netns_cookie = 0;  // of the host's own namespace
  std::uint64_t flow_seed = 0;
  std::uint32_t flow_mask = 0;
  std::uint32_t backend_rows = 0;                    // of mesh_backends
  std::uint32_t endpoint_lines = 0;                  // of mesh_endpoints4
  std::uint8_t tick_shift = 0;                       // jiffies to ticks
  std::uint64_t cgroup_id = 0;                       // of Desired::cgroup_root; 0: not usable, hooks are not wanted
  std::map<std::string, std::uint32_t> program_ids;  // of the loaded programs, by name
};

struct Observed {
  std::array<Table, kMapCount> tables;
  std::map<Hook, Attached> hooks;
  [[nodiscard]] Table& operator[](MapId map) { return tables[static_cast<std::size_t>(map)]; }
  [[nodiscard]] const Table& operator[](MapId map) const { return tables[static_cast<std::size_t>(map)]; }
};

}  // namespace mesh::dataplane
