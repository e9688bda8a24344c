// Instead of wire_dpdk.cpp in a build without DPDK.
#include "bench/pktgen/wire.h"

namespace mesh::pktgen {

Result<WirePtr> open_dpdk(const std::string& device, Route, const Traffic&, int) {
  return fail(ErrorKind::kUnsupported,
              device + ": this mesh-pktgen was built without DPDK; run  scripts/setup --with-dpdk  and build with " +
                  "-DMESH_WITH_DPDK=ON, or use --mode live-frames or af_packet");
}

}  // namespace mesh::pktgen
