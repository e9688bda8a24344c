// Good frames with random damage, on every hook: kernel and native agree byte for byte, nothing crashes, nothing
// reaches an endpoint of another network. Seeded; MESH_SEED and MESH_ROUNDS change it.
#include <cstdlib>
#include <random>

#include <fmt/format.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

class OwnNamespace : public testing::Environment {
 public:
  void SetUp() override { enter_own_namespace(); }
};
const testing::Environment* const kNamespace = testing::AddGlobalTestEnvironment(new OwnNamespace);

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

std::vector<std::pair<std::string, Bytes>> good_frames() {
  std::vector<std::pair<std::string, Bytes>> frames;
  for (const __u8 protocol : {__u8{6}, __u8{17}}) {
    for (const bool v6 : {false, true}) {
      for (const char* program : {"mesh_uplink_xdp", "mesh_uplink_tc"}) {
        for (const __u16 port : {__u16{8001}, __u16{8002}, __u16{8005}}) {
          frames.emplace_back(program, from_client(protocol, port, v6).bytes());
          Frame inside = from_node2(protocol, port, static_cast<__u16>(protocol == 6 ? 1 : 11), v6);
          frames.emplace_back(program, inside.bytes());
          inside.tunnel->kind = MESH_KIND_OVERLAY;
          inside.tunnel->vni = 4100;
          inside.to = v6 ? "fd01::5" : "10.1.0.5";
          frames.emplace_back(program, inside.bytes());
        }
      }
      frames.emplace_back("mesh_endpoint_tc", (v6 ? from_a("fd01::5", "fd01::7", protocol, 1000, 80)
                                                  : from_a("10.1.0.5", "10.1.0.6", protocol, 1000, 80))
                                                  .bytes());
      frames.emplace_back("mesh_endpoint_tc", (v6 ? from_a("fd00::5", "2001:db8::2", protocol, 1000, 8001)
                                                  : from_a("10.0.0.5", "192.0.2.2", protocol, 1000, 8001))
                                                  .bytes());
      Frame own = from_client(protocol, 8002, v6);
      own.to = v6 ? "fd00::2" : "10.0.0.2";
      frames.emplace_back("mesh_entry_tc", own.bytes());
    }
  }
  return frames;
}

TEST(Garbage, KernelAndNativeAgree) {
  Pair& pair = Pair::cleared();
  const unsigned seed = from_environment("MESH_SEED", 1);
  const unsigned rounds = from_environment("MESH_ROUNDS", 4000);
  std::mt19937 random(seed);
  const auto frames = good_frames();
  unsigned redirected = 0;
  for (unsigned round = 0; round < rounds; round++) {
    auto [program, frame] = frames[random() % frames.size()];
    const unsigned damages = random() % 4;
    for (unsigned i = 0; i < damages; i++) {
      const std::size_t at = random() % 3 == 0 ? random() % frame.size() : 12 + random() % (frame.size() - 12);
      frame[at] = random() % 4 == 0 ? static_cast<std::uint8_t>(frame[at] ^ (1u << (random() % 8)))
                                    : static_cast<std::uint8_t>(random());
    }
    if (random() % 8 == 0) frame.resize(15 + random() % (frame.size() - 15));
    const Outcome outcome = pair.run(program, frame);
    if (outcome.verdict == code(program, Verdict::kRedirect)) redirected++;
    // B is in a network that none of these frames may reach but 4100.
    if (pair.redirect() == fmt::format("peer {}", kEndpointB)) {
      EXPECT_EQ(hex(Bytes(outcome.frame.begin() + 30, outcome.frame.begin() + 34)), "\n0a 01 00 06") << hex(frame);
    }
    ASSERT_FALSE(testing::Test::HasFailure()) << program << ", seed " << seed << ", round " << round;
  }
  // Damage that leaves a packet good is common enough for the comparison to mean something.
  EXPECT_GT(redirected, rounds / 20);
}

}  // namespace
}  // namespace mesh::packet
