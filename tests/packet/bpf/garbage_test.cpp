// Frames of all kinds with damage, on every hook: kernel and native agree byte for byte, nothing crashes, what
// tests/packet/bpf/seen.h says of every frame holds, and what an endpoint receives is for it. Seeded; MESH_SEED and
// MESH_ROUNDS change it.
#include <cstdlib>
#include <iostream>
#include <random>

#include <fmt/format.h>

#include "tests/packet/bpf/pair.h"
#include "tests/packet/bpf/seen.h"
#include "tests/packet/bpf/steps.h"

namespace mesh::packet {
namespace {

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

Steps good_frames() {
  Steps frames;
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

// What one endpoint here received is for an address of its own, on a network that the sender may reach.
std::string delivery_fault(const Change& change) {
  const __u32 endpoint = endpoint_of(change.redirect);
  if (endpoint == 0) return "";
  // Programs of tc deliver to the peer; what they send "to" where a frame came from is an answer of their own.
  if (change.program != "mesh_uplink_xdp" && change.redirect.starts_with("to ")) return "";
  const __u32 vni = network_of(change.outcome.frame, endpoint);
  return vni != 0 && may_reach(change.program, change.before, vni) ? "" : fmt::format("endpoint {} got it", endpoint);
}

class Garbage : public testing::Test {
 protected:
  void SetUp() override { std::cout << "MESH_SEED=" << seed_ << " MESH_ROUNDS=" << rounds_ << "\n"; }

  // Each frame through both, with what must hold of every frame.
  void run(const Steps& steps) {
    Pair& pair = Pair::cleared();
    for (const Step& step : steps) {
      const Outcome outcome = pair.run(step.program, step.frame);
      const Change change{step.program, step.frame, outcome, pair.redirect()};
      for (const std::string& fault : {fault_of(change), delivery_fault(change)}) {
        EXPECT_EQ(fault, "") << step.program << " made of\n"
                             << hex(step.frame) << "\nthis (" << pair.redirect() << "):\n"
                             << hex(outcome.frame);
      }
      if (outcome.verdict == code(step.program, Verdict::kRedirect)) redirected_++;
      if (endpoint_of(pair.redirect()) != 0) delivered_++;
      frames_++;
    }
  }

  unsigned seed_ = from_environment("MESH_SEED", 1);
  unsigned rounds_ = from_environment("MESH_ROUNDS", 500);
  std::mt19937 random_{seed_};
  unsigned frames_ = 0, redirected_ = 0, delivered_ = 0;
};

// The corpus that the fuzzers keep, and the good frames, with up to seven changes that know what a frame is.
TEST_F(Garbage, KernelAndNativeAgree) {
  Pair::cleared().fill(fill_options);
  std::vector<Steps> corpus = read_corpus(std::string(MESH_TEST_SOURCE_DIR) + "/tests/fuzz/corpus/packet");
  ASSERT_GT(corpus.size(), 50u);
  for (const Steps& steps : corpus) {
    run(steps);
    ASSERT_FALSE(testing::Test::HasFailure());
  }
  for (const Step& good : good_frames()) corpus.push_back({good, good, good});
  for (unsigned round = 0; round < rounds_; round++) {
    Steps steps = corpus[random_() % corpus.size()];
    for (std::size_t changes = random_() % 8 * (1 + steps.size() / 4); changes > 0; changes--) mutate(steps, random_);
    run(steps);
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed_ << ", round " << round;
  }
  // Changes that leave a packet good are common enough for the comparison to mean something.
  std::cout << frames_ << " frames, " << redirected_ << " went on, " << delivered_ << " to an endpoint here\n";
  EXPECT_GT(redirected_, frames_ / 10);
  EXPECT_GT(delivered_, frames_ / 50);
}

}  // namespace
}  // namespace mesh::packet
