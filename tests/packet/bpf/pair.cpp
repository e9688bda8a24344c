#include "tests/packet/bpf/pair.h"

#include <array>
#include <cstdlib>
#include <iostream>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "base/process.h"

namespace mesh::packet {
namespace {

void shell(const std::string& command) {
  const Result<ProcessOutcome> outcome = run_process({.argv = {"sh", "-ec", command}});
  if (!outcome || outcome->exit_status != 0) {
    std::cerr << command << ": " << (outcome ? outcome->err : outcome.error().message) << "\n";
    std::abort();
  }
}

void fill_world(World& world, __u32 uplink) {
  world.config(1, kMeshInterface);
  world.node({1, "192.0.2.1", kUplinkMac, kUplinkMac, uplink, true, "2001:db8::1"});
  world.node({2, "192.0.2.2", kNode2Mac, kUplinkMac, uplink, false, "2001:db8::2"});
  world.node({3, "192.0.2.3", kNode3Mac, kUplinkMac, uplink, false, "2001:db8::3"});
  world.node({4, "192.0.2.4", {}, kUplinkMac, 0, false, ""});
  world.network(4100, "10.1.0.0", 120);
  world.network(4101, "10.2.0.0", 120);
  for (const char* text : {"10.0.0.5", "fd00::5"}) world.endpoint(kIngressVni, text, "10.0.0.5", 1, kEndpointA);
  for (const char* text : {"10.1.0.5", "fd01::5"}) world.endpoint(4100, text, "10.0.0.5", 1, kEndpointA);
  world.endpoint(kIngressVni, "10.0.0.6", "10.0.0.6", 1, kEndpointB);
  world.endpoint(4100, "10.1.0.6", "10.0.0.6", 1, kEndpointB);
  world.endpoint(4101, "10.2.0.6", "10.0.0.6", 1, kEndpointB, MESH_SOURCE_NO_EXIT);
  world.endpoint(kIngressVni, "10.0.0.7", "10.0.0.7", 2, 0);
  world.endpoint(4100, "10.1.0.7", "10.0.0.7", 2, 0);
  world.endpoint(4100, "fd01::7", "10.0.0.7", 2, 0);
  world.vip("10.1.0.200", 4100, {"10.1.0.6", "10.1.0.7"});
  world.vip("fd01::200", 4100, {"fd01::7"});
  world.vip("10.2.0.200", 4101, {"10.2.0.6"});
  for (const __u8 protocol : {__u8{6}, __u8{17}}) {
    const auto base = static_cast<__u16>(protocol == 6 ? 0 : 10);
    const auto own = [&](__u16 index, __u16 port, const char* v6 = "fd00::5") {
      world.binding(static_cast<__u16>(base + index), "10.0.0.5", v6, kEndpointA, protocol, port, 80);
    };
    const auto on = [&](__u16 node, __u16 index) { return BackendRecord{node, static_cast<__u16>(base + index)}; };
    world.service(protocol, 8001, {on(1, 1)}, {0});
    own(1, 8001);
    world.service(protocol, 8002, {on(2, 7)}, {0});
    world.service(protocol, 8003, {}, {});
    world.service(protocol, 8004, {on(4, 1)}, {0});
    world.service(protocol, 8005, {on(1, 2), on(2, 8), on(3, 9)}, {0}, kMovedVersion, MESH_SLOT_MOVED);
    world.rows(protocol, 8005, kMovedVersion, MESH_SLOT_NONE, {2, 3});
    own(2, 8005);
    world.service(protocol, 8006, {on(1, 3), on(2, 8)}, {0}, kMovedVersion, MESH_SLOT_MOVED);
    world.rows(protocol, 8006, kMovedVersion, 1, {2});
    own(3, 8006);
    world.service(protocol, 8007, {on(2, 8), on(1, 4)}, {0}, kMovedVersion, MESH_SLOT_MOVED);
    world.rows(protocol, 8007, kMovedVersion, MESH_SLOT_NONE, {1, 3});
    own(4, 8007);
    world.service(protocol, 8008, {on(1, 5)}, {0});
    own(5, 8008, "");
  }
}

// In a network namespace of the process's own; without root the whole program is skipped.
void enter_own_namespace() {
  if (geteuid() != 0) {
    std::cout << "skipped: needs root to load BPF programs\n";
    std::exit(77);
  }
  if (unshare(CLONE_NEWNET) != 0) std::abort();
  // Per-CPU counters choose samples: both must count on one CPU.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  sched_setaffinity(0, sizeof(one), &one);
  shell(R"(ip link set lo up
    ip link add up0 address 02:00:00:00:01:01 type veth peer name up1; ip link set up1 up; ip link set up0 up
    ip addr add 192.0.2.1/24 dev up0; ip addr add 2001:db8::1/64 dev up0 nodad
    ip neigh add 192.0.2.9 lladdr 02:00:00:00:01:09 dev up0 nud permanent
    ip neigh add 2001:db8::9 lladdr 02:00:00:00:01:09 dev up0 nud permanent
    sysctl -qw net.ipv4.ip_forward=1; sysctl -qw net.ipv6.conf.all.forwarding=1)");
}

class OwnNamespace : public testing::Environment {
 public:
  void SetUp() override { enter_own_namespace(); }
};
const testing::Environment* const kNamespace = testing::AddGlobalTestEnvironment(new OwnNamespace);

}  // namespace

Pair::Pair() : uplink_(if_nametoindex("up0")) {
  fill_world(kernel_world_, uplink_);
  fill_world(native_world_, uplink_);
  native_.set_route(BPF_FIB_LKUP_RET_SUCCESS, uplink_, kClientMac.data(), kUplinkMac.data());
}

Pair& Pair::cleared() {
  static Pair pair;
  const mesh_flow_set nothing{};
  for (__u32 set = 0; set < kFlowSets; set++) pair.put("mesh_flows", &set, &nothing);
  const mesh_filter none{};
  for (__u32 word = 0; word < MESH_FILTER_WORDS; word++) pair.put("mesh_filters", &word, &none);
  return pair;
}

void Pair::put(const std::string& map, const void* key, const void* value) {
  kernel_.put(map, key, value);
  native_.put(map, key, value);
}

void Pair::fill(const std::function<void(World&)>& body) {
  body(kernel_world_);
  body(native_world_);
}

Outcome Pair::run(const std::string& program, const Bytes& frame, std::uint32_t gso_size) {
  const Outcome kernel = kernel_.run(program, frame, gso_size);
  std::array<__u64, MESH_COUNTERS> before{};
  for (__u32 counter = 0; counter < MESH_COUNTERS; counter++) before.at(counter) = native_.counter(counter);
  const Outcome native = native_.run(program, frame, gso_size);
  if (kernel.refused) {
    for (__u32 counter = 0; counter < MESH_COUNTERS; counter++) {
      native_only_[counter] += native_.counter(counter) - before.at(counter);
    }
    return native;
  }
  EXPECT_EQ(kernel.verdict, native.verdict) << "kernel and native differ for " << hex(frame);
  const std::size_t skip = native_.redirect().starts_with("neigh") ? 14 : 0;
  EXPECT_EQ(hex(Bytes(kernel.frame.begin() + static_cast<long>(skip), kernel.frame.end())),
            hex(Bytes(native.frame.begin() + static_cast<long>(skip), native.frame.end())))
      << "kernel and native differ for " << hex(frame);
  return kernel;
}

__u64 Pair::grown(__u32 counter) {
  const __u64 now = kernel_.counter(counter) + native_only_[counter];
  EXPECT_EQ(now, native_.counter(counter)) << "counter " << counter;
  const __u64 before = seen_[counter];
  seen_[counter] = now;
  return now - before;
}

int code(const std::string& program, Verdict verdict) {
  const bool xdp = program == "mesh_uplink_xdp";
  switch (verdict) {
    case Verdict::kPass:
      return xdp ? XDP_PASS : TC_ACT_OK;
    case Verdict::kDrop:
      return xdp ? XDP_DROP : TC_ACT_SHOT;
    case Verdict::kRedirect:
      break;
  }
  return xdp ? XDP_REDIRECT : TC_ACT_REDIRECT;
}

std::string hex(const Bytes& bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i++) text += fmt::format("{}{:02x}", i % 16 == 0 ? "\n" : " ", bytes[i]);
  return text;
}

Frame from_client(__u8 protocol, __u16 port, bool v6) {
  Frame frame;
  frame.destination = kUplinkMac;
  frame.source = kClientMac;
  frame.from = v6 ? "2001:db8::9" : "192.0.2.9";
  frame.to = v6 ? "2001:db8::1" : "192.0.2.1";
  frame.protocol = protocol;
  frame.source_port = 40000;
  frame.destination_port = port;
  frame.tcp_flags = 0x02;
  return frame;
}

Frame from_node2(__u8 protocol, __u16 port, __u16 binding, bool v6) {
  Frame frame = from_client(protocol, port, v6);
  frame.to = v6 ? "2001:db8::2" : "192.0.2.2";
  frame.ttl = 63;
  frame.tunnel = Tunnel{.from = "192.0.2.2",
                        .to = "192.0.2.1",
                        .source = kNode2Mac,
                        .destination = kUplinkMac,
                        .binding = binding,
                        .entry = 2,
                        .stop = 1};
  return frame;
}

Frame delivered_to_a(const Frame& sent, __u16 target_port) {
  Frame frame = sent;
  frame.tunnel.reset();
  frame.destination = endpoint_mac("10.0.0.5");
  frame.source = endpoint_mac("10.0.0.1");
  frame.to = sent.from.find(':') == std::string::npos ? "10.0.0.5" : "fd00::5";
  frame.destination_port = target_port;
  if (!sent.tunnel.has_value()) frame.ttl--;
  return frame;
}

Frame from_a(const std::string& source, const std::string& destination, __u8 protocol, __u16 source_port,
             __u16 destination_port) {
  Frame frame;
  frame.destination = endpoint_mac("10.0.0.1");
  frame.source = endpoint_mac("10.0.0.5");
  frame.from = source;
  frame.to = destination;
  frame.protocol = protocol;
  frame.source_port = source_port;
  frame.destination_port = destination_port;
  return frame;
}

}  // namespace mesh::packet
