// Flow records over time: two of one flow that part, entry hosts that change, and which flows go without a look-up.
#include <vector>

#include <gtest/gtest.h>

#include "bpf/lib/flow.h"
#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kUplink = "mesh_uplink_xdp";

// A flow of client port 40000 that has two records, because that port is taken; returns the port given to it.
__u16 open_second_flow(Pair& pair) {
  Frame first = from_node2(6, 8001, 1);
  first.to = "192.0.2.1";
  first.tcp_flags = 0x02;
  pair.run(kUplink, first.bytes());
  Frame second = first;
  second.to = "192.0.2.2";
  const Outcome in = pair.run(kUplink, second.bytes());
  return static_cast<__u16>(in.frame.at(34) << 8 | in.frame.at(35));
}

// What the client is told by an answer of the endpoint to `port`: the last byte of the address that it asked, and its
// own port; nothing if there is no record.
std::pair<int, int> told_of_answer(Pair& pair, __u16 port, __u8 tcp_flags) {
  Frame answer = from_a("10.0.0.5", "192.0.2.9", 6, 80, port);
  answer.tcp_flags = tcp_flags;
  const Outcome out = pair.run("mesh_endpoint_tc", answer.bytes());
  if (out.verdict != code("mesh_endpoint_tc", Verdict::kRedirect)) return {};
  return {out.frame.at(14 + 50 + 15), out.frame.at(84 + 2) << 8 | out.frame.at(84 + 3)};
}

// Which node the endpoint's answer to client port 40000 is sent to.
__u16 entry_of_answer(Pair& pair, __u16 port = 40000) {
  const Outcome out = pair.run("mesh_endpoint_tc", from_a("10.0.0.5", "192.0.2.9", 6, 80, port).bytes());
  return out.verdict == code("mesh_endpoint_tc", Verdict::kRedirect) ? node_of(out) : __u16{0};
}

void forget_trust(Pair& pair) {
  for (__u32 word = 0; word < MESH_FILTER_WORDS; word++) {
    mesh_filter filter{};
    pair.kernel().get("mesh_filters", &word, &filter);
    filter.trusted = 0;
    pair.put("mesh_filters", &word, &filter);
  }
}

// A client whose packets come in at another host now gets its answers there: the first one may be dead.
TEST(Records, AnswersGoWhereTheClientComesIn) {
  Pair& pair = Pair::cleared();
  for (const bool two_records : {false, true}) {
    Frame segment = from_node2(6, 8001, 1);
    segment.to = two_records ? "192.0.2.3" : "192.0.2.2";
    __u16 port = 0;
    for (const __u8 flags : {__u8{0x02}, __u8{0x10}, __u8{0x18}}) {
      segment.tcp_flags = flags;
      const Outcome in = pair.run(kUplink, segment.bytes());
      port = static_cast<__u16>(in.frame.at(34) << 8 | in.frame.at(35));
      EXPECT_EQ(entry_of_answer(pair, port), 2);
    }
    EXPECT_EQ(port != 40000, two_records);
    segment.tunnel->entry = 3;
    pair.run(kUplink, segment.bytes());
    EXPECT_EQ(entry_of_answer(pair, port), 3);
    // Its packets are trusted there as well by now, until user space forgets that.
    forget_trust(pair);
    segment.tunnel->entry = 2;
    pair.run(kUplink, segment.bytes());
    EXPECT_EQ(entry_of_answer(pair, port), 2);
  }
}

// A flow that is not there is rarely taken for one of many that are, nor one that comes in at another host.
TEST(Records, TrustIsRarelyMisplaced) {
  struct Case {
    std::size_t flows;
    double most;
  };
  for (const auto& [flows, most] : {Case{300, 0.0001}, Case{10'000, 0.005}, Case{65'536, 0.2}}) {
    std::vector<__u64> trusted(MESH_FILTER_WORDS, 0);
    const auto tag_of = [](__u64 number) { return mesh_flow_tag(mesh_mix(number)); };
    for (__u64 i = 0; i < flows; i++) trusted.at(MESH_FILTER_BIT(tag_of(i)) >> 6) |= mesh_trust_bits(tag_of(i), 2);
    std::size_t misplaced = 0;
    const auto look = [&](__u32 tag, __u16 entry) {
      const __u64 bits = mesh_trust_bits(tag, entry);
      if ((trusted.at(MESH_FILTER_BIT(tag) >> 6) & bits) == bits) misplaced++;
    };
    constexpr std::size_t kOthers = 200'000;
    for (__u64 i = 0; i < kOthers; i++) look(tag_of(1'000'000 + i), 2);
    for (__u64 i = 0; i < kOthers; i++) look(tag_of(i % flows), static_cast<__u16>(3 + i / flows));
    const double share = static_cast<double>(misplaced) / (2.0 * kOthers);
    EXPECT_LE(share, most) << flows << " flows";
  }
}

// Of a flow that nobody knows the first packet makes a record: the endpoint's reset finds its way back.
TEST(Records, AnUnknownFlowIsReset) {
  Pair& pair = Pair::cleared();
  pair.grown(MESH_COUNT_FLOW_REOPENED);
  Frame segment = from_node2(6, 8001, 1);
  for (__u16 port = 41000; port < 41032; port++) {
    segment.source_port = port;
    segment.tcp_flags = 0x10;
    pair.run(kUplink, segment.bytes());
    EXPECT_EQ(told_of_answer(pair, port, 0x04), std::pair(2, int{port}));
  }
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_REOPENED), 32u);
}

// Both records of a flow are over, and a third flow has the one for the endpoint's answers. The flow's next connection
// must not go by the other one alone: its answers would go to the third flow.
TEST(Records, OfAClosedFlowOneRecordIsNotBelieved) {
  Pair& pair = Pair::cleared();
  const __u16 given = open_second_flow(pair);
  ASSERT_NE(given, 40000);
  Frame segment = from_node2(6, 8001, 1);
  segment.to = "192.0.2.2";
  segment.tcp_flags = 0x11;
  pair.run(kUplink, segment.bytes());
  EXPECT_EQ(told_of_answer(pair, given, 0x11), std::pair(2, 40000));
  pair.change_flows([](mesh_flow_set& set) {
    for (__u32& mark : set.mark) {
      if (mark != 0) mark = MESH_FLOW_MARK(MESH_FLOW_MARK_TICK(mark) - 30, MESH_FLOW_MARK_STATE(mark));
    }
  });
  Frame third = from_node2(6, 8001, 1);
  third.to = "192.0.2.1";
  third.source_port = given;
  third.tcp_flags = 0x02;
  pair.run(kUplink, third.bytes());
  EXPECT_EQ(told_of_answer(pair, given, 0x12), std::pair(1, int{given}));

  segment.tcp_flags = 0x02;
  const Outcome again = pair.run(kUplink, segment.bytes());
  const auto other = static_cast<__u16>(again.frame.at(34) << 8 | again.frame.at(35));
  EXPECT_NE(other, given);
  EXPECT_EQ(told_of_answer(pair, other, 0x12), std::pair(2, 40000));
  EXPECT_EQ(told_of_answer(pair, given, 0x12), std::pair(1, int{given}));
}

// A flow with two records is over, and the next one with its client port needs only one. What the endpoint still says
// to the older one is no news of the later one.
TEST(Records, TheNextFlowIsNotTheOtherRecord) {
  Pair& pair = Pair::cleared();
  const __u16 given = open_second_flow(pair);
  for (const char* asked : {"192.0.2.1", "192.0.2.2"}) {
    Frame over = from_node2(6, 8001, 1);
    over.to = asked;
    over.tcp_flags = 0x11;
    pair.run(kUplink, over.bytes());
  }
  told_of_answer(pair, 40000, 0x11);
  told_of_answer(pair, given, 0x11);
  pair.change_flows([](mesh_flow_set& set) {
    for (__u32& mark : set.mark) {
      if (mark != 0) mark = MESH_FLOW_MARK(MESH_FLOW_MARK_TICK(mark) - 10, MESH_FLOW_MARK_STATE(mark));
    }
  });
  Frame next = from_node2(6, 8001, 1);
  next.to = "192.0.2.2";
  next.tcp_flags = 0x02;
  const Outcome in = pair.run(kUplink, next.bytes());
  ASSERT_EQ(in.frame.at(34) << 8 | in.frame.at(35), 40000);
  told_of_answer(pair, given, 0x11);
  unsigned open = 0;
  pair.change_flows([&](mesh_flow_set& set) {
    for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
      if (set.tag[way] == 0 || set.record[way].kind != MESH_FLOW_BOTH) continue;
      open += mesh_flow_closed(MESH_FLOW_MARK_STATE(set.mark[way])) == 0 ? 1 : 0;
    }
  });
  EXPECT_EQ(open, 2u) << "in the kernel's table and in the native one";
}

// Of an open flow the record for the endpoint's answers had to make room: the client's next packet brings it back.
TEST(Records, ALostRecordOfTwoIsMadeAgain) {
  Pair& pair = Pair::cleared();
  const __u16 given = open_second_flow(pair);
  EXPECT_EQ(told_of_answer(pair, given, 0x12), std::pair(2, 40000));
  pair.change_flows([](mesh_flow_set& set) {
    for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
      if (set.tag[way] != 0 && set.record[way].kind == MESH_FLOW_REVERSE) set.tag[way] = 0;
    }
  });
  EXPECT_EQ(told_of_answer(pair, given, 0x10), (std::pair<int, int>()));
  Frame segment = from_node2(6, 8001, 1);
  segment.to = "192.0.2.2";
  segment.tcp_flags = 0x18;
  const Outcome in = pair.run(kUplink, segment.bytes());
  EXPECT_EQ(in.frame.at(34) << 8 | in.frame.at(35), given);
  EXPECT_EQ(told_of_answer(pair, given, 0x10), std::pair(2, 40000));
}

}  // namespace
}  // namespace mesh::packet
