// The BPF objects that are built into this program.
#include "bpf/mesh.skel.h"
#include "dataplane/kernel.h"

namespace mesh::dataplane {

const std::vector<BpfObject>& bpf_objects() {
  static const std::vector<BpfObject> kObjects = [] {
    std::size_t size = 0;
    const void* bytes = mesh_bpf::elf_bytes(&size);
    return std::vector<BpfObject>{{"mesh", {static_cast<const std::byte*>(bytes), size}}};
  }();
  return kObjects;
}

}  // namespace mesh::dataplane
