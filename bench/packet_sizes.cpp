#include "bench/packet_sizes.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <sys/mman.h>

namespace mesh::bench {
namespace {

// An array of the programs, mapped for as long as it lives.
class MappedArray {
 public:
  explicit MappedArray(const bpf_map* map)
      : size_((std::size_t{bpf_map__max_entries(map)} * bpf_map__value_size(map) + 4095) / 4096 * 4096),
        data_(::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0)) {}
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() {
    if (data_ != MAP_FAILED) ::munmap(data_, size_);
  }
  [[nodiscard]] bool is_mapped() const { return data_ != MAP_FAILED; }
  template <class Row>
  [[nodiscard]] Row* rows() const {
    return static_cast<Row*>(data_);
  }

 private:
  std::size_t size_;
  void* data_;
};

}  // namespace

Result<JsonObject> program_sizes() {
  const MeshObject mesh = TRY(load_mesh(true));
  JsonObject sizes;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, mesh->obj) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) != 0) {
      return fail_errno(std::string("ask about ") + bpf_program__name(program), errno);
    }
    std::vector<std::uint32_t> ids(info.nr_map_ids);
    bpf_prog_info again{};
    again.nr_map_ids = static_cast<std::uint32_t>(ids.size());
    again.map_ids = reinterpret_cast<std::uint64_t>(ids.data());
    size = sizeof again;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &again, &size) != 0) {
      return fail_errno(std::string("ask about the maps of ") + bpf_program__name(program), errno);
    }
    std::uint64_t bytes = 0;
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, mesh->obj) {
      bpf_map_info map_info{};
      std::uint32_t map_size = sizeof map_info;
      if (bpf_obj_get_info_by_fd(bpf_map__fd(map), &map_info, &map_size) != 0)
        return fail_errno("ask about a map", errno);
      if (std::ranges::find(ids, map_info.id) != ids.end()) bytes += TRY(map_bytes(bpf_map__fd(map)));
    }
    sizes[bpf_program__name(program)] =
        JsonObject{{"jit", info.jited_prog_len}, {"instructions", info.verified_insns}, {"maps", bytes}};
  }
  return sizes;
}

Result<double> rewrite_rings_ms(const MeshObject& mesh, std::uint32_t version) {
  const MappedArray services(mesh->maps.mesh_services), rings(mesh->maps.mesh_rings);
  if (!services.is_mapped() || !rings.is_mapped()) return fail_errno("map the arrays of rings", errno);
  // What a ring becomes, encoded: the owners of ten backends, one further each time.
  constexpr std::size_t kWords = 256 / 8;
  std::array<std::uint8_t, kWords * 8> slots{};
  for (std::uint32_t slot = 0; slot < slots.size(); ++slot) {
    slots[slot] = static_cast<std::uint8_t>((slot * 167U % 256 + version) % kBackendsMany);
  }
  std::array<std::uint64_t, kWords> words{};
  std::memcpy(words.data(), slots.data(), sizeof words);
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint32_t i = 0; i < kServicesMany; ++i) {
    mesh_service& service = services.rows<mesh_service>()[MESH_SERVICE_INDEX(kTcp, kManyFirst + i)];
    const std::uint32_t chunk = MESH_RING_CHUNK(service.ring);
    auto* ring = rings.rows<std::uint64_t>() + std::size_t{chunk} * (sizeof(mesh_ring_chunk) / 8);
    for (std::size_t word = 0; word < kWords; ++word) {
      std::atomic_ref(ring[word]).store(words[word], std::memory_order_release);
    }
    std::atomic_ref(service.ring).store(MESH_RING(chunk, 8, MESH_RING_VALID, version), std::memory_order_release);
  }
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begin;
  return elapsed.count();
}

}  // namespace mesh::bench
