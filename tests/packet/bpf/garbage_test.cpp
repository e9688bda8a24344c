// Good frames with random damage, on every hook: kernel and native agree byte for byte, nothing crashes, and what an
// endpoint receives is for an address of its own, on a network that the sender may reach. Seeded; MESH_SEED and
// MESH_ROUNDS change it.
#include <cstdlib>
#include <random>

#include <fmt/format.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

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
          // To B's other network, and what claims to be of it.
          inside.to = v6 ? "fd01::5" : "10.2.0.6";
          frames.emplace_back(program, inside.bytes());
          inside.tunnel->vni = 4101;
          frames.emplace_back(program, inside.bytes());
        }
      }
      frames.emplace_back("mesh_endpoint_tc", (v6 ? from_a("fd01::5", "fd01::7", protocol, 1000, 80)
                                                  : from_a("10.1.0.5", "10.1.0.6", protocol, 1000, 80))
                                                  .bytes());
      frames.emplace_back("mesh_endpoint_tc", (v6 ? from_a("fd00::5", "2001:db8::2", protocol, 1000, 8001)
                                                  : from_a("10.0.0.5", "192.0.2.2", protocol, 1000, 8001))
                                                  .bytes());
      if (!v6) frames.emplace_back("mesh_endpoint_tc", from_a("10.1.0.5", "10.2.0.6", protocol, 1000, 80).bytes());
      Frame own = from_client(protocol, 8002, v6);
      own.to = v6 ? "fd00::2" : "10.0.0.2";
      frames.emplace_back("mesh_entry_tc", own.bytes());
    }
  }
  return frames;
}

// The network of what an endpoint here has received: by the destination, which must be one of its own addresses.
__u32 network_of(const Bytes& frame, __u32 endpoint) {
  const bool v6 = frame.at(12) == 0x86;
  const std::size_t at = v6 ? 14 + 24 : 14 + 16;
  const std::size_t size = v6 ? 16 : 4;
  struct Owned {
    const char* address;
    __u32 endpoint;
    __u32 vni;
  };
  constexpr Owned kOwned[] = {{"10.0.0.5", kEndpointA, kIngressVni}, {"fd00::5", kEndpointA, kIngressVni},
                              {"10.1.0.5", kEndpointA, 4100},        {"fd01::5", kEndpointA, 4100},
                              {"10.0.0.6", kEndpointB, kIngressVni}, {"10.1.0.6", kEndpointB, 4100},
                              {"10.2.0.6", kEndpointB, 4101}};
  for (const Owned& one : kOwned) {
    const mesh_address bytes = address(one.address);
    const auto* start = reinterpret_cast<const std::uint8_t*>(&bytes) + (v6 ? 0 : 12);
    const bool is_v4 = std::string(one.address).find(':') == std::string::npos;
    if (one.endpoint == endpoint && is_v4 != v6 &&
        std::equal(start, start + size, frame.begin() + static_cast<long>(at))) {
      return one.vni;
    }
  }
  return 0;
}

// Which network the sender of the frame may reach: that of its tunnel header, the ingress network for clients, those of
// A for its own frames.
bool may_reach(const std::string& program, const Bytes& sent, __u32 vni) {
  if (program == "mesh_endpoint_tc") return vni == 4100 || vni == kIngressVni;
  const bool tunnel = sent.at(23) == 17 && sent.at(12) == 0x08 && sent.at(36) == 0x12 && sent.at(37) == 0xb5;
  if (program == "mesh_entry_tc" || !tunnel) return vni == kIngressVni;
  return vni == static_cast<__u32>(sent.at(46) << 16 | sent.at(47) << 8 | sent.at(48));
}

// Where the packet went, if to an endpoint of this host.
__u32 endpoint_of(const std::string& redirect) {
  for (const __u32 endpoint : {kEndpointA, kEndpointB}) {
    if (redirect == fmt::format("peer {}", endpoint) || redirect == fmt::format("to {}", endpoint)) return endpoint;
  }
  return 0;
}

TEST(Garbage, KernelAndNativeAgree) {
  Pair& pair = Pair::cleared();
  const unsigned seed = from_environment("MESH_SEED", 1);
  const unsigned rounds = from_environment("MESH_ROUNDS", 4000);
  std::mt19937 random(seed);
  const auto frames = good_frames();
  unsigned redirected = 0;
  unsigned delivered = 0;
  for (unsigned round = 0; round < rounds; round++) {
    // Before sets are full: which record then has to go depends on ticks, and the two clocks differ.
    if (round % 500 == 499) Pair::cleared();
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
    if (const __u32 endpoint = endpoint_of(pair.redirect()); endpoint != 0) {
      const __u32 vni = network_of(outcome.frame, endpoint);
      EXPECT_TRUE(vni != 0 && may_reach(program, frame, vni)) << "endpoint " << endpoint << " got\n"
                                                              << hex(outcome.frame) << "\nof\n"
                                                              << hex(frame);
      delivered++;
    }
    ASSERT_FALSE(testing::Test::HasFailure()) << program << ", seed " << seed << ", round " << round;
  }
  // Damage that leaves a packet good is common enough for the comparison to mean something.
  EXPECT_GT(redirected, rounds / 20);
  EXPECT_GT(delivered, rounds / 100);
}

}  // namespace
}  // namespace mesh::packet
