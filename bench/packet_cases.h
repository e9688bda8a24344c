// The cases of the packet benchmark: a program, the packet that it gets, and what of the packet varies.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/packet_world.h"

namespace mesh::bench {

enum Vary : std::uint32_t { kOneFlow = 0, kManyFlows = 1, kAllNew = 2 };  // as bench/harness.bpf.c has it

// What the program does to the packet's size. An XDP harness changes it back, and the cost of that is its own. An skb
// that was encapsulated stays marked as such, and is refused the second time: such a program gets one packet per test
// run (kOneByOne), which costs the harness more, and the caches.
enum class Size : std::uint8_t { kKept, kGrows, kShrinks, kOneByOne };

struct Traffic {
  const bpf_program* program = nullptr;
  bool xdp = true;
  Frame frame;
  Vary vary = kOneFlow;
  int expected = 0;  // verdict
  std::uint32_t services = 0;
  std::optional<std::uint32_t> moved_percent;  // of tunnel packets
  Size size = Size::kKept;
};

struct Case {
  std::string name;
  Traffic traffic;
  std::vector<Traffic> before;  // sent once per flow and not measured: it makes the records
  bool fresh_flows = false;     // begins with an empty flow table
  std::uint32_t packets = 0;    // to measure; 0: as many as asked for
};
[[nodiscard]] std::vector<Case> packet_cases(const MeshObject& mesh, const FloorObject& floor,
                                             const HarnessObject& harness);

}  // namespace mesh::bench
