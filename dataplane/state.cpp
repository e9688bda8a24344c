#include "dataplane/state.h"

#include <algorithm>

#include "dataplane/desired.h"

namespace mesh::dataplane {

const MapInfo& map_info(MapId map) {
  static constexpr std::array<MapInfo, kMapCount> kMaps = {{
      {"mesh_config", true, 1},
      {"mesh_addresses", false, MESH_ADDRESSES_MAX},
      {"mesh_nodes", true, MESH_NODES_MAX},
      {"mesh_services", true, MESH_SERVICES_MAX},
      {"mesh_rings", true, MESH_RING_CHUNKS_MAX},
      {"mesh_rows", false, MESH_ROWS_MAX},
      {"mesh_backends", true, MESH_BACKENDS_MAX},
      {"mesh_bindings", true, MESH_BINDINGS_MAX},
      {"mesh_endpoints", false, MESH_ENDPOINTS_MAX},
      {"mesh_sources", false, MESH_SOURCES_MAX},
      {"mesh_networks", false, MESH_NETWORKS_MAX},
      {"mesh_vnis", false, MESH_NETWORKS_MAX},
      {"mesh_vips", false, MESH_VIPS_MAX},
      {"mesh_vip_backends", true, MESH_VIP_BACKENDS_MAX},
      {"mesh_namespaces", false, MESH_NAMESPACES_MAX},
      {"mesh_members", false, MESH_MEMBERS_MAX},
      {"mesh_bound", false, MESH_BOUND_MAX},
      {"mesh_allowed", false, MESH_ALLOWED_MAX},
      {"mesh_locals", false, MESH_LOCAL_SERVICES_MAX},
      {"mesh_endpoints4", false, MESH_ENDPOINTS_MAX},
      {"mesh_formers", false, MESH_FORMERS_MAX},
  }};
  return kMaps[static_cast<std::size_t>(map)];
}

static_assert(kBindingMax < MESH_BINDINGS_MAX);

bool is_zero(const std::string& bytes) {
  return std::ranges::all_of(bytes, [](char c) { return c == 0; });
}

mesh_address to_abi(const IpAddress& address) {
  mesh_address result{};
  static_assert(sizeof result == sizeof(IpAddress::Bytes));
  std::memcpy(&result, address.bytes().data(), sizeof result);
  return result;
}

std::uint32_t mapped_length(const Cidr& cidr) {
  constexpr std::uint32_t kMappedBits = 96;
  return cidr.length + (cidr.network.is_v4() ? kMappedBits : 0);
}

IpAddress from_abi(const mesh_address& address) {
  IpAddress::Bytes bytes{};
  std::memcpy(bytes.data(), &address, bytes.size());
  return IpAddress(bytes);
}

bool is_tc(Hook::Kind kind) {
  return kind == Hook::Kind::kUplinkTc || kind == Hook::Kind::kEndpointTc || kind == Hook::Kind::kEntryTc;
}

}  // namespace mesh::dataplane
