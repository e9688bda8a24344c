// One world, twice: the programs in the kernel and natively, fed with the same tables and frames. Every frame that goes
// through is compared byte for byte.
//
// This host is node 1. Its endpoint A (10.0.0.5, fd00::5, 10.1.0.5 in network 4100) is behind ifindex 1, where endpoint
// programs run; B (10.0.0.6, 10.1.0.6, and 10.2.0.6 in network 4101) is behind kEndpointB; C is on node 2.
// Published ports, TCP and UDP, with target port 80:
//   8001 A · 8002 node 2 · 8003 none · 8004 node 4, whose way is unknown · 8005 A, moved, F = {2, 3}
//   8006 A, moved, previous owner on node 2 · 8007 node 2, moved, F = {1, 3} · 8008 A, which has no IPv6 there
#pragma once

#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "tests/packet/bpf/frame.h"
#include "tests/packet/bpf/native/native.h"

namespace mesh::packet {

enum class Verdict { kPass, kDrop, kRedirect };

inline constexpr Mac kUplinkMac = {0x02, 0, 0, 0, 1, 1};
inline constexpr Mac kNode2Mac = {0x02, 0, 0, 0, 1, 2};
inline constexpr Mac kNode3Mac = {0x02, 0, 0, 0, 1, 3};
inline constexpr Mac kClientMac = {0x02, 0, 0, 0, 1, 9};
inline constexpr __u32 kEndpointA = 1;
inline constexpr __u32 kEndpointB = 77;
inline constexpr __u32 kMeshInterface = 78;
inline constexpr __u32 kMovedVersion = 5;

class Pair {
 public:
  // The program is in a network namespace of its own, with forwarding on and the uplink in it; without root it exits
  // with 77 before its first test.
  Pair();

  // Loading takes a moment: one for the whole program, with its flows forgotten.
  static Pair& cleared();

  // Runs `frame` through both. Fails the test if they differ. Where the programs leave the Ethernet header to the
  // kernel (redirect_neigh), it is not compared.
  Outcome run(const std::string& program, const Bytes& frame, std::uint32_t gso_size = 0);
  [[nodiscard]] std::string redirect() const { return native_.redirect(); }
  // How much the counter has grown since the last call; both must agree.
  __u64 grown(__u32 counter);
  [[nodiscard]] __u32 uplink() const { return uplink_; }
  [[nodiscard]] Kernel& kernel() { return kernel_; }

  void put(const std::string& map, const void* key, const void* value);
  void fill(const std::function<void(World&)>& body);

 private:
  Kernel kernel_;
  Native native_;
  World kernel_world_{kernel_};
  World native_world_{native_};
  __u32 uplink_ = 0;
  std::map<__u32, __u64> seen_;
  std::map<__u32, __u64> native_only_;  // counted for frames that the kernel refused to run
};

[[nodiscard]] int code(const std::string& program, Verdict verdict);
[[nodiscard]] std::string hex(const Bytes& bytes);

// From the client to this host; `v6` chooses the addresses.
[[nodiscard]] Frame from_client(__u8 protocol, __u16 port, bool v6 = false);
// As node 2's entry would send it here.
[[nodiscard]] Frame from_node2(__u8 protocol, __u16 port, __u16 binding, bool v6 = false);
// What A receives of a client's frame.
[[nodiscard]] Frame delivered_to_a(const Frame& sent, __u16 target_port = 80);
// From A; the MACs are right.
[[nodiscard]] Frame from_a(const std::string& source, const std::string& destination, __u8 protocol, __u16 source_port,
                           __u16 destination_port);

}  // namespace mesh::packet
