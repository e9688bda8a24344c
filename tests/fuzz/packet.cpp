// The programs natively, fed with frames one after another: never a byte beyond the packet (the sanitizers), and what
// tests/packet/bpf/seen.h says must hold, an answer that finds its way back among it. Input: tests/packet/bpf/steps.h.
#include <cstdio>
#include <cstdlib>

#include "tests/packet/bpf/native/native.h"
#include "tests/packet/bpf/seen.h"
#include "tests/packet/bpf/steps.h"
#include "tests/packet/bpf/three_hosts.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace mesh::packet {
namespace {

constexpr __u32 kUplink = 50;

Native& host() {
  static Native native;
  static const bool filled = [] {
    World world(native);
    fill_three_hosts(world, kUplink);
    fill_options(world);
    native.set_route(BPF_FIB_LKUP_RET_SUCCESS, kUplink, kClientMac.data(), kUplinkMac.data());
    return true;
  }();
  (void)filled;
  return native;
}

[[noreturn]] void report(const std::string& fault, const Change& change) {
  std::fprintf(stderr, "%s: %s\nbefore %s\nafter (verdict %d, %s) %s\n", change.program.c_str(), fault.c_str(),
               hex(change.before).c_str(), change.outcome.verdict, change.redirect.c_str(),
               hex(change.outcome.frame).c_str());
  std::abort();
}

bool begins(const Bytes& asked) {
  const std::optional<Seen> packet = see(asked, has_tunnel(asked) ? kInnerPacket : 14);
  if (!packet || packet->bytes.size() < packet->header + 20) return packet && packet->protocol == 17;
  return packet->protocol == 17 || (packet->protocol == 6 && (packet->bytes[packet->header + 13] & 0x12) == 0x02);
}

// The endpoint answers the first packet of a flow at once. (Others may have been let through without a record; what
// they then meet is their sender's own fault.)
void answer(const Change& change) {
  const std::optional<Bytes> sent = begins(change.before) ? answer_to(change) : std::nullopt;
  if (!sent) return;
  Native& native = host();
  const __u64 before = native.counter(MESH_COUNT_REPLY_OUT);
  const Outcome outcome = native.run("mesh_endpoint_tc", *sent);
  const Change reply{"mesh_endpoint_tc", *sent, outcome, native.redirect()};
  std::string fault = fault_of(reply);
  if (fault.empty() && outcome.verdict != code(reply.program, Verdict::kDrop)) {
    fault = native.counter(MESH_COUNT_REPLY_OUT) == before ? "the answer to a flow's first packet found no record"
                                                           : answer_fault(change.before, reply);
  }
  if (!fault.empty()) report(fault, reply);
}

void run(const Steps& steps) {
  Native& native = host();
  native.clear("mesh_flows");
  native.clear("mesh_filters");
  for (const Step& step : steps) {
    const __u64 replies = native.counter(MESH_COUNT_REPLY_OUT);
    const Outcome outcome = native.run(step.program, step.frame);
    const Change change{step.program, step.frame, outcome, native.redirect()};
    if (const std::string fault = fault_of(change); !fault.empty()) report(fault, change);
    // An endpoint that is its own client gets what it answers, which may look like anything.
    if (native.counter(MESH_COUNT_REPLY_OUT) == replies) answer(change);
  }
}

}  // namespace
}  // namespace mesh::packet

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mesh::packet::run(mesh::packet::decode(data, size));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  std::mt19937 random(seed);
  mesh::packet::Steps steps = mesh::packet::decode(data, size);
  if (steps.empty() || seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  for (unsigned count = 1 + random() % 3; count > 0; count--) mesh::packet::mutate(steps, random);
  const mesh::packet::Bytes bytes = mesh::packet::encode(steps);
  if (bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

// Half of one host's packets, then half of another's.
extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* left, std::size_t left_size,
                                                 const std::uint8_t* right, std::size_t right_size, std::uint8_t* out,
                                                 std::size_t max_size, unsigned seed) {
  using namespace mesh::packet;
  std::mt19937 random(seed);
  Steps steps = decode(left, left_size);
  const Steps other = decode(right, right_size);
  if (!steps.empty()) steps.resize(random() % steps.size() + 1);
  for (std::size_t i = other.empty() ? 0 : random() % other.size(); i < other.size() && steps.size() < kStepsMax; i++) {
    steps.push_back(other[i]);
  }
  const Bytes bytes = encode(steps);
  if (bytes.size() > max_size) return 0;
  std::copy(bytes.begin(), bytes.end(), out);
  return bytes.size();
}
