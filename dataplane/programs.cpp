// The BPF objects that are built into this program.
#include <unistd.h>

#include "bpf/mesh.skel.h"
#include "bpf/plain.skel.h"
#include "dataplane/kernel.h"

namespace mesh::dataplane {

const std::vector<BpfObject>& bpf_objects() {
  static const std::vector<BpfObject> kObjects = [] {
    const bool shows_types = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
    std::size_t size = 0;
    const void* bytes = shows_types ? mesh_bpf::elf_bytes(&size) : plain_bpf::elf_bytes(&size);
    return std::vector<BpfObject>{{"mesh", {static_cast<const std::byte*>(bytes), size}}};
  }();
  return kObjects;
}

}  // namespace mesh::dataplane
