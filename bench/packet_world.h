// What the packet benchmark's programs are loaded with: hosts, published ports, endpoints. The same published ports for
// the mesh and for the floor program.
#pragma once

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/result.h"
#include "bench/packet_frames.h"
#include "bpf/floor.skel.h"
#include "bpf/harness.skel.h"
#include "bpf/mesh.skel.h"

namespace mesh::bench {

// The skeletons' own functions are static, which a type that several files share must not depend on.
struct Destroy {
  void operator()(harness_bpf* object) const;
  void operator()(mesh_bpf* object) const;
  void operator()(floor_bpf* object) const;
};
using HarnessObject = std::unique_ptr<harness_bpf, Destroy>;
using MeshObject = std::unique_ptr<mesh_bpf, Destroy>;
using FloorObject = std::unique_ptr<floor_bpf, Destroy>;

inline constexpr std::uint32_t kServicesMany = 10000;
inline constexpr std::uint32_t kBackendsMany = 10;
inline constexpr std::uint32_t kFlows = 65536;
inline constexpr std::uint32_t kFlowSets = MESH_FLOW_SETS;

struct Service {
  std::uint8_t protocol = kTcp;
  std::uint16_t port = 0;
  struct Backend {
    std::uint16_t node = 0;
    std::uint16_t binding = 0;
  };
  std::vector<Backend> backends;
  std::uint32_t moved_percent = 0;  // of its slots
};
[[nodiscard]] std::vector<Service> bench_services();

template <class Key, class Value>
[[nodiscard]] Status put(const bpf_map* map, const Key& key, const Value& value) {
  if (bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY) == 0) return {};
  return fail_errno(std::string("write ") + bpf_map__name(map), errno);
}

// Loads the programs with nothing pinned. `everything`: also those that are not measured here.
[[nodiscard]] Result<MeshObject> load_mesh(bool everything);
[[nodiscard]] Status fill(const MeshObject& mesh, const std::vector<Service>& services);
[[nodiscard]] Result<FloorObject> load_floor(const std::vector<Service>& services);

// Memory that the kernel accounts to a map.
[[nodiscard]] Result<std::uint64_t> map_bytes(int fd);
// Of all maps of the mesh but the flow table; and of that.
struct MapMemory {
  std::uint64_t tables = 0, flows = 0;
};
[[nodiscard]] Result<MapMemory> map_memory(const MeshObject& mesh);

}  // namespace mesh::bench
