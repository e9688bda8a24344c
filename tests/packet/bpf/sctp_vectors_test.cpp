// SCTP: translated like TCP, but never a port, because its checksum covers the ports and would have to be computed over
// the whole packet. Every expected frame has a CRC-32C computed anew.
#include <gtest/gtest.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kEndpoint = "mesh_endpoint_tc";
constexpr __u8 kSctp = 132;
constexpr __u8 kData = 0, kInit = 1, kInitAck = 2, kSack = 3, kHeartbeat = 4, kAbort = 6, kShutdown = 7,
               kShutdownAck = 8, kCookieEcho = 10, kShutdownComplete = 14, kInterleavedData = 64;
constexpr __u16 kPort = 8001, kRemotePort = 8002;
constexpr __u32 kTag = 0x5a17c0de;

Frame chunk(Frame frame, __u8 type, __u32 tag = kTag) {
  frame.chunk = type;
  frame.tag = type == kInit ? 0 : tag;
  return frame;
}

// What A answers to the client.
Frame answer(__u8 type, bool v6 = false) {
  return chunk(from_a(v6 ? "fd00::5" : "10.0.0.5", v6 ? "2001:db8::9" : "192.0.2.9", kSctp, kPort, 40000), type);
}

// Of the only record that there is.
__u8 state(Pair& pair) {
  __u8 found = 0xff;
  pair.change_flows([&](mesh_flow_set& set) {
    for (unsigned way = 0; way < MESH_FLOW_WAYS; ++way) {
      if (set.tag[way] != 0) found = MESH_FLOW_MARK_STATE(set.mark[way]);
    }
  });
  return found;
}

class Sctp : public testing::TestWithParam<std::tuple<const char*, bool>> {
 protected:
  [[nodiscard]] std::string program() const { return std::get<0>(GetParam()); }
  [[nodiscard]] bool v6() const { return std::get<1>(GetParam()); }
  void expect_frame(const Outcome& outcome, const Frame& expected) const {
    EXPECT_EQ(outcome.verdict, code(program(), Verdict::kRedirect));
    EXPECT_EQ(hex(outcome.frame), hex(expected.bytes()));
  }
};

TEST_P(Sctp, EntersForABackendElsewhereUntouched) {
  Pair& pair = Pair::cleared();
  for (const __u8 type : {kInit, kCookieEcho, kData, kSack, kInterleavedData, kShutdown, kAbort}) {
    const Frame sent = chunk(from_client(kSctp, kRemotePort, v6()), type);
    Frame expected = sent;
    expected.ttl--;
    expected.tunnel = forward_to_node2(27);
    pair.grown(MESH_COUNT_ENTRY);
    expect_frame(pair.run(program(), sent.bytes()), expected);
    EXPECT_EQ(pair.grown(MESH_COUNT_ENTRY), 1U);
  }
}

TEST_P(Sctp, IsDeliveredWithTheEndpointsAddress) {
  Pair& pair = Pair::cleared();
  pair.grown(MESH_COUNT_FLOW_CREATED);
  for (const __u8 type : {kInit, kCookieEcho, kData}) {
    const Frame here = chunk(from_client(kSctp, kPort, v6()), type);
    expect_frame(pair.run(program(), here.bytes()), delivered_to_a(here, kPort));
  }
  Frame there = chunk(from_node2(kSctp, kPort, kSctpBinding, v6()), kInit);
  there.source_port = 40001;
  there.payload = "odd";
  expect_frame(pair.run(program(), there.bytes()), delivered_to_a(there, kPort));
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 2U) << "one of each association";
}

TEST_P(Sctp, IsAnsweredThroughTheEntryHost) {
  Pair& pair = Pair::cleared();
  pair.run(program(), chunk(from_node2(kSctp, kPort, kSctpBinding, v6()), kInit).bytes());
  const Frame sent = answer(kInitAck, v6());
  Frame expected = sent;
  expected.from = v6() ? "2001:db8::2" : "192.0.2.2";
  expected.ttl--;
  const Outcome outcome = pair.run(kEndpoint, sent.bytes());
  EXPECT_EQ(node_of(outcome), 2);
  EXPECT_EQ(hex(Bytes(outcome.frame.begin() + 64, outcome.frame.end())), hex(expected.packet()));
}

// Two associations of one client port, by two entry hosts, would be one to the endpoint.
TEST_P(Sctp, ASecondFlowOfTheClientsPortIsDroppedAndCounted) {
  Pair& pair = Pair::cleared();
  const Frame first = chunk(from_node2(kSctp, kPort, kSctpBinding, v6()), kInit);
  expect_frame(pair.run(program(), first.bytes()), delivered_to_a(first, kPort));
  pair.grown(MESH_COUNT_NO_PORT);
  pair.grown(MESH_COUNT_FLOW_REWRITTEN);
  for (const __u8 type : {kInit, kData}) {
    const Frame second = chunk(from_client(kSctp, kPort, v6()), type);
    EXPECT_EQ(pair.run(program(), second.bytes()).verdict, code(program(), Verdict::kDrop));
    EXPECT_EQ(pair.grown(MESH_COUNT_NO_PORT), 1U);
  }
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_REWRITTEN), 0U);
  // The first goes on, and so does another port of the client.
  const Frame data = chunk(first, kData);
  expect_frame(pair.run(program(), data.bytes()), delivered_to_a(data, kPort));
  Frame other = chunk(from_client(kSctp, kPort, v6()), kInit);
  other.source_port = 40002;
  expect_frame(pair.run(program(), other.bytes()), delivered_to_a(other, kPort));
}

// Whatever the tables say: a packet whose checksum would be wrong is not sent.
TEST_P(Sctp, AnotherTargetPortIsRefused) {
  Pair& pair = Pair::cleared();
  const auto target = [&](__u16 port) {
    pair.fill(
        [&](World& world) { world.binding(kSctpBinding, "10.0.0.5", "fd00::5", kEndpointA, kSctp, kPort, port); });
  };
  target(80);
  pair.grown(MESH_COUNT_EDIT);
  const Outcome outcome = pair.run(program(), chunk(from_client(kSctp, kPort, v6()), kInit).bytes());
  EXPECT_EQ(outcome.verdict, code(program(), Verdict::kDrop));
  EXPECT_EQ(pair.grown(MESH_COUNT_EDIT), 1U);
  target(kPort);
}

INSTANTIATE_TEST_SUITE_P(Hooks, Sctp,
                         testing::Combine(testing::Values("mesh_uplink_xdp", "mesh_uplink_tc"), testing::Bool()));

TEST(SctpState, FollowsTheFirstChunk) {
  struct Step {
    bool from_client;
    __u8 chunk;
    __u8 state;
  };
  constexpr __u8 kAnswered = MESH_FLOW_ANSWERED, kOpen = MESH_FLOW_ANSWERED | MESH_FLOW_CONFIRMED;
  struct Case {
    const char* name;
    std::vector<Step> steps;
  };
  const Case cases[] = {
      {"from INIT to SHUTDOWN_COMPLETE",
       {{true, kInit, 0},
        {false, kInitAck, kAnswered},
        {true, kCookieEcho, kOpen},
        {true, kData, kOpen},
        {false, kSack, kOpen},
        {true, kShutdown, kOpen},
        {false, kShutdownAck, kOpen | MESH_FLOW_ENDPOINT_FIN},
        {true, kShutdownComplete, kOpen | MESH_FLOW_ENDPOINT_FIN | MESH_FLOW_CLIENT_FIN}}},
      {"both shut down at once",
       {{true, kInit, 0},
        {true, kCookieEcho, MESH_FLOW_CONFIRMED},
        {true, kShutdownAck, MESH_FLOW_CONFIRMED | MESH_FLOW_CLIENT_FIN},
        {false, kShutdownAck, kOpen | MESH_FLOW_CLIENT_FIN | MESH_FLOW_ENDPOINT_FIN}}},
      {"the endpoint refuses", {{true, kInit, 0}, {false, kAbort, kAnswered | MESH_FLOW_RESET}}},
      {"the client alone proves nothing", {{true, kInit, 0}, {true, kAbort, 0}, {true, kInit, 0}}},
      {"a new association over a closed one",
       {{true, kInit, 0}, {false, kAbort, kAnswered | MESH_FLOW_RESET}, {true, kInit, 0}}},
      {"a restart is of the same flow", {{true, kInit, 0}, {true, kHeartbeat, 0x10}, {true, kInit, 0x10}}},
  };
  for (const Case& c : cases) {
    Pair& pair = Pair::cleared();
    for (const Step& step : c.steps) {
      SCOPED_TRACE(std::string(c.name) + ": chunk " + std::to_string(step.chunk));
      const Frame frame = step.from_client ? chunk(from_client(kSctp, kPort), step.chunk) : answer(step.chunk);
      pair.run(step.from_client ? "mesh_uplink_xdp" : kEndpoint, frame.bytes());
      EXPECT_EQ(state(pair), step.state);
    }
  }
}

TEST(SctpState, AbortsAreCountedAsResets) {
  Pair& pair = Pair::cleared();
  const mesh_binding_traffic before = pair.traffic(kSctpBinding);
  pair.run("mesh_uplink_xdp", chunk(from_client(kSctp, kPort), kInit).bytes());
  pair.run("mesh_uplink_xdp", chunk(from_client(kSctp, kPort), kAbort).bytes());
  pair.run(kEndpoint, answer(kAbort).bytes());
  const mesh_binding_traffic after = pair.traffic(kSctpBinding);
  EXPECT_EQ(after.connections - before.connections, 1U);
  EXPECT_EQ(after.resets_in - before.resets_in, 1U);
  EXPECT_EQ(after.resets_out - before.resets_out, 1U);
}

// An address that nobody has, or a virtual one, to which no SCTP socket is led.
TEST(SctpNobody, IsAnsweredWithAnAbort) {
  struct Case {
    const char* name;
    __u8 chunk, flags;
    __u32 tag;  // of the ABORT; 0: there is none
  };
  const Case cases[] = {
      {"data: the tag that it carries", kData, 1, kTag},
      {"a chunk without content", kShutdownAck, 1, kTag},
      {"INIT: the tag that it names", kInit, 0, 0x736f6d65},  // "some"
      {"an ABORT", kAbort, 0, 0},
  };
  for (const Case& c : cases) {
    for (const char* to : {"10.1.0.99", "10.1.0.200", "fd01::99", "fd01::200"}) {
      SCOPED_TRACE(std::string(c.name) + " to " + to);
      const bool v6 = std::string_view(to).starts_with("fd01");
      Frame sent = chunk(from_a(v6 ? "fd01::5" : "10.1.0.5", to, kSctp, 40000, 5000), c.chunk);
      if (c.chunk == kShutdownAck) sent.payload.clear();
      Pair& pair = Pair::cleared();
      pair.grown(MESH_COUNT_NOBODY_ANSWERED);
      const Outcome outcome = pair.run(kEndpoint, sent.bytes());
      EXPECT_EQ(pair.grown(MESH_COUNT_NOBODY_ANSWERED), c.tag != 0 ? 1U : 0U);
      EXPECT_EQ(outcome.verdict, code(kEndpoint, c.tag != 0 ? Verdict::kRedirect : Verdict::kDrop));
      if (c.tag == 0) continue;
      Frame abort = chunk(sent, kAbort, c.tag);
      std::swap(abort.from, abort.to);
      std::swap(abort.source, abort.destination);
      std::swap(abort.source_port, abort.destination_port);
      abort.chunk_flags = c.flags;
      abort.payload.clear();
      EXPECT_EQ(hex(outcome.frame), hex(abort.bytes()));
    }
  }
}

}  // namespace
}  // namespace mesh::packet
