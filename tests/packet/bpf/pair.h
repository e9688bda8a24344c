// One world, twice: the programs in the kernel and natively, fed with the same tables and frames. Every frame that goes
// through is compared byte for byte.
#pragma once

#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "tests/packet/bpf/native/native.h"
#include "tests/packet/bpf/three_hosts.h"

namespace mesh::packet {

// Of a tunnel packet: the node that it goes to, whose number is the last byte of the outer destination.
inline __u16 node_of(const Outcome& outcome) { return outcome.frame.at(33); }

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
  // What is counted of a backend; both must agree.
  [[nodiscard]] mesh_binding_traffic traffic(__u32 binding);
  [[nodiscard]] __u32 uplink() const { return uplink_; }
  [[nodiscard]] Kernel& kernel() { return kernel_; }

  // Changes every set of flow records, of both worlds alike.
  void change_flows(const std::function<void(mesh_flow_set&)>& body);

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

}  // namespace mesh::packet
