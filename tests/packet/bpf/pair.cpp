#include "tests/packet/bpf/pair.h"

#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/bpf.h>

#include "base/process.h"
#include "tests/packet/bpf/steps.h"

namespace mesh::packet {
namespace {

void shell(const std::string& command) {
  const Result<ProcessOutcome> outcome = run_process({.argv = {"sh", "-ec", command}});
  if (!outcome || outcome->exit_status != 0) {
    std::cerr << command << ": " << (outcome ? outcome->err : outcome.error().message) << "\n";
    std::abort();
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

// The frames of each case as a file of the fuzzers' corpus, in the folder that MESH_CORPUS names.
class Recorder {
 public:
  ~Recorder() { end_case(); }
  void add(const std::string& program, const Bytes& frame) {
    if (folder_ != nullptr && steps_.size() < kStepsMax && frame.size() <= kFrameMax)
      steps_.push_back({program, frame});
  }
  void end_case() {
    if (steps_.empty()) return;
    const Bytes bytes = encode(steps_);
    std::ofstream file(fmt::format("{}/{}-{}", folder_, getpid(), cases_++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    steps_.clear();
  }

 private:
  const char* folder_ = std::getenv("MESH_CORPUS");
  Steps steps_;
  unsigned cases_ = 0;
};

Recorder& recorder() {
  static Recorder recorder;
  return recorder;
}

class OwnNamespace : public testing::Environment {
 public:
  void SetUp() override { enter_own_namespace(); }
};
const testing::Environment* const kNamespace = testing::AddGlobalTestEnvironment(new OwnNamespace);

}  // namespace

Pair::Pair() : uplink_(if_nametoindex("up0")) {
  fill_three_hosts(kernel_world_, uplink_);
  fill_three_hosts(native_world_, uplink_);
  // As the namespace has it: the neighbour entries there are.
  native_.set_route(BPF_FIB_LKUP_RET_SUCCESS, uplink_, kClientMac.data(), kUplinkMac.data(),
                    {address("192.0.2.9"), address("2001:db8::9")});
}

Pair& Pair::cleared() {
  static Pair pair;
  recorder().end_case();
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

void Pair::change_flows(const std::function<void(mesh_flow_set&)>& body) {
  for (Tables* tables : {static_cast<Tables*>(&kernel_), static_cast<Tables*>(&native_)}) {
    for (__u32 index = 0; index < kFlowSets; index++) {
      mesh_flow_set set{};
      if (!tables->get("mesh_flows", &index, &set)) continue;
      body(set);
      tables->put("mesh_flows", &index, &set);
    }
  }
}

void Pair::fill(const std::function<void(World&)>& body) {
  body(kernel_world_);
  body(native_world_);
}

Outcome Pair::run(const std::string& program, const Bytes& frame, std::uint32_t gso_size) {
  recorder().add(program, frame);
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

mesh_binding_traffic Pair::traffic(__u32 binding) {
  const mesh_binding_traffic sum = kernel_.traffic(binding);
  mesh_binding_traffic native{};
  native_.get("mesh_binding_counters", &binding, &native);
  EXPECT_EQ(std::memcmp(&sum, &native, sizeof(sum)), 0) << "counters of binding " << binding << " differ";
  return sum;
}

}  // namespace mesh::packet
