#include "bench/packet_world.h"

#include <algorithm>
#include <fstream>

#include "bench/floor.h"
#include "bench/frame_bytes.h"
#include "bpf/lib/endpoint.h"

namespace mesh::bench {
namespace {

constexpr std::uint32_t kBackendBlock = kBackendsMany;
constexpr std::uint32_t kSlots = 256;
constexpr std::uint32_t kNodesMany = 10;
constexpr std::uint32_t kRingVersion = 1;

mesh_address mapped(std::uint32_t v4) { return mesh_address_v4(mesh_be32(v4)); }
mesh_address v6(std::uint32_t v4) { return {{mesh_be32(0xfd000000), 0, 0, mesh_be32(v4)}}; }

// Owners in a fixed scattered order, each of them as often as the others.
std::vector<std::uint8_t> slots_of(const Service& service) {
  std::vector<std::uint8_t> slots(kSlots);
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const std::uint32_t scattered = slot * 167U % kSlots;  // odd: a permutation
    slots[scattered] = static_cast<std::uint8_t>(slot % service.backends.size());
    if (slot * 100 < service.moved_percent * kSlots) slots[scattered] |= MESH_SLOT_MOVED;
  }
  return slots;
}

Status publish(const MeshObject& mesh, const Service& service, std::uint32_t number) {
  constexpr std::uint32_t kChunks = kSlots / 64;
  const std::vector<std::uint8_t> slots = slots_of(service);
  for (std::uint32_t i = 0; i < kChunks; ++i) {
    mesh_ring_chunk chunk{};
    std::copy_n(slots.begin() + i * 64, 64, chunk.slot);
    TRY(put(mesh->maps.mesh_rings, number * kChunks + i, chunk));
  }
  for (std::uint32_t i = 0; i < service.backends.size(); ++i) {
    mesh_backend backend{};
    backend.node = service.backends[i].node;
    backend.binding = service.backends[i].binding;
    TRY(put(mesh->maps.mesh_backends, number * kBackendBlock + i, backend));
  }
  mesh_service row{};
  row.ring = MESH_RING(number * kChunks, 8, MESH_RING_VALID, kRingVersion);
  row.backends = number * kBackendBlock;
  const std::uint32_t index = MESH_SERVICE_INDEX(service.protocol, service.port);
  return put(mesh->maps.mesh_services, index, row);
}

Status fill_nodes(const MeshObject& mesh) {
  for (const mesh_address& address : {mapped(kSelf4), v6(kSelf4)}) {
    mesh_address_role role{};
    role.node = 1;
    role.flags = MESH_ROLE_NODE | MESH_ROLE_SELF;
    TRY(put(mesh->maps.mesh_addresses, address, role));
  }
  mesh_node self{};
  self.address = self.source = mapped(kSelf4);
  self.ifindex = kLoopback;
  self.flags = MESH_NODE_VALID | MESH_NODE_SELF;
  TRY(put(mesh->maps.mesh_nodes, std::uint32_t{1}, self));
  for (std::uint32_t number = 2; number < 2 + kNodesMany; ++number) {
    mesh_node other{};
    other.address = mapped(kOther4 - 2 + number);
    other.source = mapped(kSelf4);
    other.ifindex = kLoopback;
    other.inner_mtu = 1450;
    other.flags = MESH_NODE_VALID;
    TRY(put(mesh->maps.mesh_nodes, number, other));
  }
  return {};
}

Status fill_config(const MeshObject& mesh) {
  mesh_config config{};
  config.abi = MESH_ABI_VERSION;
  config.self = 1;
  config.endpoint_mtu = 1450;
  config.ingress_vni = MESH_VNI_MIN;
  config.flow_mask = kFlowSets - 1;
  config.flow_seed = 0x1234567;
  config.tick_shift = 8;
  config.endpoint_lines = MESH_ENDPOINT_LINES_MAX;
  config.backend_rows = MESH_BACKENDS_MAX;
  config.self_address[0] = mapped(kSelf4);
  config.self_address[1] = v6(kSelf4);
  config.ingress_v4 = {mapped(kEndpoint4), {{~0U, ~0U, ~0U, ~0U}}};
  config.ingress_v6 = {v6(kEndpoint4), {{~0U, ~0U, ~0U, ~0U}}};
  return put(mesh->maps.mesh_config, std::uint32_t{0}, config);
}

// The backends here.
Status fill_bindings(const MeshObject& mesh) {
  struct Row {
    std::uint16_t number, published, target;
    std::uint8_t protocol;
  };
  for (const Row& row :
       {Row{kTcpBinding, kLocalPort, kTargetPort, kTcp}, Row{kUdpBinding, kLocalPort, kTargetPort, kUdp},
        Row{kBothBinding, kBothPort, kBothTargetPort, kTcp}}) {
    mesh_binding binding{};
    binding.v4 = mesh_be32(kEndpoint4);
    binding.v6 = v6(kEndpoint4);
    binding.ifindex = kLoopback;
    std::ranges::copy(kEndpointMac, binding.mac);
    binding.target_port = mesh_be16(row.target);
    binding.published_port = mesh_be16(row.published);
    binding.protocol = row.protocol;
    TRY(put(mesh->maps.mesh_bindings, std::uint32_t{row.number}, binding));
  }
  mesh_source source{};
  source.vni = MESH_VNI_MIN;
  std::ranges::copy(kEndpointMac, source.mac);
  return put(mesh->maps.mesh_sources, mesh_source_key{.ifindex = kLoopback, .address = mapped(kEndpoint4)}, source);
}

// Each of the few on a line of its own.
Status put_endpoint(const MeshObject& mesh, std::uint32_t address, std::uint32_t place, std::uint32_t ingress) {
  const mesh_probe probe = mesh_probe_first(kOverlayVni, mesh_be32(address));
  mesh_endpoint_line line{};
  line.entry[0] = {kOverlayVni, mesh_be32(address), place, mesh_be32(ingress)};
  return put(mesh->maps.mesh_endpoints4, mesh_probe_line(&probe, MESH_ENDPOINT_LINES_MAX), line);
}

// One network of two endpoints, one on each host.
Status fill_overlay(const MeshObject& mesh) {
  TRY(put(mesh->maps.mesh_vnis, kOverlayVni, std::uint32_t{0}));
  TRY(put_endpoint(mesh, kOverlayHere4, kLoopback, kEndpoint4));
  TRY(put_endpoint(mesh, kOverlayThere4, MESH_ENDPOINT_FAR | 2, 0));
  mesh_source source{};
  source.vni = kOverlayVni;
  std::ranges::copy(kEndpointMac, source.mac);
  return put(mesh->maps.mesh_sources, mesh_source_key{.ifindex = kLoopback, .address = mapped(kOverlayHere4)}, source);
}

floor_node floor_header(std::uint32_t number) {
  floor_node node{};
  std::uint8_t* ip = node.header + 14;
  put16(node.header + 12, 0x0800);
  ip[0] = 0x45;
  ip[6] = 0x40;
  ip[8] = 64;
  ip[9] = kUdp;
  put32(ip + 12, kSelf4);
  put32(ip + 16, kOther4 - 2 + number);
  put_checksum(ip);
  put16(ip + 22, MESH_VXLAN_PORT);
  ip[28] = MESH_VXLAN_FLAGS;
  ip[33] = MESH_VNI_MIN >> 8U;
  put16(node.header + MESH_OUTER_SIZE + 12, 0x0800);
  return node;
}

Status publish(const FloorObject& floor, const Service& service, std::uint32_t number) {
  constexpr std::uint32_t kChunks = FLOOR_SLOTS / FLOOR_SLOTS_PER_CHUNK;
  const std::vector<std::uint8_t> slots = slots_of(service);
  for (std::uint32_t i = 0; i < kChunks; ++i) {
    floor_chunk chunk{};
    for (std::uint32_t j = 0; j < FLOOR_SLOTS_PER_CHUNK; ++j) {
      chunk.slot[j] = slots[i * FLOOR_SLOTS_PER_CHUNK + j] & MESH_SLOT_OWNER;
    }
    TRY(put(floor->maps.floor_rings, number * kChunks + i, chunk));
  }
  for (std::uint32_t i = 0; i < service.backends.size(); ++i) {
    const floor_backend backend{.node = service.backends[i].node, .reserved = 0};
    TRY(put(floor->maps.floor_backends, number * kBackendBlock + i, backend));
  }
  const floor_service row{.chunk = number * kChunks, .backends = number * kBackendBlock + 1};
  const std::uint32_t index = (service.protocol == kUdp ? 65536U : 0U) | service.port;
  return put(floor->maps.floor_services, index, row);
}

}  // namespace

void Destroy::operator()(harness_bpf* object) const { harness_bpf__destroy(object); }
void Destroy::operator()(mesh_bpf* object) const { mesh_bpf__destroy(object); }
void Destroy::operator()(floor_bpf* object) const { floor_bpf__destroy(object); }

std::vector<Service> bench_services() {
  std::vector<Service> services = {
      {.protocol = kTcp, .port = kRemotePort, .backends = {{2, kTcpBinding}}},
      {.protocol = kUdp, .port = kRemotePort, .backends = {{2, kUdpBinding}}},
      {.protocol = kTcp, .port = kLocalPort, .backends = {{1, kTcpBinding}}},
      {.protocol = kUdp, .port = kLocalPort, .backends = {{1, kUdpBinding}}},
      {.protocol = kTcp, .port = kBothPort, .backends = {{1, kBothBinding}}},
      {.protocol = kTcp, .port = kMovedPort, .backends = {{2, kTcpBinding}}, .moved_percent = 10},
  };
  for (std::uint16_t i = 0; i < kServicesMany; ++i) {
    Service service{.protocol = kTcp, .port = static_cast<std::uint16_t>(kManyFirst + i)};
    for (std::uint16_t j = 0; j < kBackendsMany; ++j) {
      service.backends.push_back({static_cast<std::uint16_t>(2 + j % kNodesMany), static_cast<std::uint16_t>(1 + i)});
    }
    services.push_back(service);
  }
  return services;
}

Result<MeshObject> load_mesh(bool everything) {
  MeshObject mesh(mesh_bpf__open());
  if (!mesh) return fail_errno("open the programs", errno);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, mesh->obj) bpf_map__set_pin_path(map, nullptr);
  bpf_map__set_max_entries(mesh->maps.mesh_flows, kFlowSets);
  const auto cpus = static_cast<std::uint32_t>(libbpf_num_possible_cpus());
  bpf_map__set_max_entries(mesh->maps.mesh_backend_counters, MESH_BACKENDS_MAX * cpus);
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, mesh->obj) {
    const bool measured = program == mesh->progs.mesh_uplink_xdp || program == mesh->progs.mesh_uplink_tc ||
                          program == mesh->progs.mesh_endpoint_tc;
    bpf_program__set_autoload(program, everything || measured);
  }
  if (mesh_bpf__load(mesh.get()) != 0) return fail_errno("load the programs (root is needed)", errno);
  return mesh;
}

Status fill(const MeshObject& mesh, const std::vector<Service>& services) {
  TRY(fill_config(mesh));
  TRY(fill_nodes(mesh));
  TRY(fill_bindings(mesh));
  TRY(fill_overlay(mesh));
  for (std::uint32_t number = 0; number < services.size(); ++number) TRY(publish(mesh, services[number], number));
  return {};
}

Result<FloorObject> load_floor(const std::vector<Service>& services) {
  FloorObject floor(floor_bpf__open());
  if (!floor) return fail_errno("open the floor program", errno);
  floor->rodata->own_address = mesh_be32(kSelf4);
  floor->rodata->uplink = kLoopback;
  if (floor_bpf__load(floor.get()) != 0) return fail_errno("load the floor program (root is needed)", errno);
  for (std::uint32_t number = 2; number < 2 + kNodesMany; ++number) {
    TRY(put(floor->maps.floor_nodes, number, floor_header(number)));
  }
  for (std::uint32_t number = 0; number < services.size(); ++number) TRY(publish(floor, services[number], number));
  return floor;
}

Result<std::uint64_t> map_bytes(int fd) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
  for (std::string key; info >> key;) {
    std::uint64_t bytes = 0;
    if (key == "memlock:" && info >> bytes) return bytes;
  }
  return fail(ErrorKind::kInternal, "the kernel does not tell a map's memory (fdinfo has no memlock)");
}

Result<MapMemory> map_memory(const MeshObject& mesh) {
  MapMemory memory;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, mesh->obj) {
    const std::uint64_t bytes = TRY(map_bytes(bpf_map__fd(map)));
    (map == mesh->maps.mesh_flows ? memory.flows : memory.tables) += bytes;
  }
  return memory;
}

}  // namespace mesh::bench
