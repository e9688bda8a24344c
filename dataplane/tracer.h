// The programs once more, over tables of their own for all that they write: runs packets that leave nothing behind.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "dataplane/kernel.h"
#include "dataplane/trace.h"

struct bpf_object;

namespace mesh::dataplane {

class Tracer {
 public:
  // Loads the programs that take packets, beside the attached ones: some tenths of a second, and until the end of the
  // object the memory of another flow table. `sizes`: of the real tables.
  [[nodiscard]] static Result<Tracer> load(const std::string& pin_dir, const Sizes& sizes);

  // Makes the own tables what the real ones are.
  Status copy_tables(const Kernel& kernel);
  // What a caught packet met, in place of what has become of it since.
  Status put_back(const MetTables& met);
  // One packet: verdict and frame, and what was counted.
  [[nodiscard]] Result<TraceRun> run(const TraceOrder& order);
  // The own flow table's record that a packet would find: from its client's side, or (`ifindex` of an endpoint) from
  // that endpoint's.
  [[nodiscard]] Result<std::optional<FlowEntry>> find_flow(const TracedPacket& packet, std::uint32_t ifindex,
                                                           const HostFacts& facts) const;

 private:
  struct Close {
    void operator()(bpf_object* object) const;
  };
  [[nodiscard]] int map(const char* name) const;
  [[nodiscard]] Result<std::vector<std::uint64_t>> counted() const;

  std::unique_ptr<bpf_object, Close> object_;
};

}  // namespace mesh::dataplane
