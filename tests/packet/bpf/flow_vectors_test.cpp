// Flow records and the walk between hosts: sequences of packets through the programs, and the pure step exhaustively.
#include <atomic>
#include <sched.h>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bpf/lib/flow.h"
#include "bpf/lib/walk.h"
#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kUplink = "mesh_uplink_xdp";

__u8 byte_at(const Outcome& outcome, std::size_t at) { return outcome.frame.at(at); }
__u16 binding_of(const Outcome& outcome) {
  return static_cast<__u16>(byte_at(outcome, 52) << 8 | byte_at(outcome, 53));
}
unsigned stage_of(const Outcome& outcome) { return static_cast<unsigned>(byte_at(outcome, 51) >> 2 & 7); }
unsigned hops_of(const Outcome& outcome) { return static_cast<unsigned>(byte_at(outcome, 56) >> 2); }

// As an entry with the moved slot's ring stamps it.
Frame moved(__u8 tcp_flags, __u16 port, __u16 binding, __u16 stop, __u16 client_port = 40000) {
  Frame frame = from_node2(6, port, binding);
  frame.source_port = client_port;
  frame.tcp_flags = tcp_flags;
  frame.tunnel->stop = stop;
  frame.tunnel->version = kMovedVersion;
  frame.tunnel->flags = MESH_TUNNEL_MOVED;
  return frame;
}

Frame at_stage(Frame frame, unsigned stage, __u16 prev = 0, unsigned hops = 1) {
  frame.tunnel->flags = static_cast<__u8>(frame.tunnel->flags | stage << MESH_TUNNEL_STAGE_SHIFT);
  frame.tunnel->prev = prev;
  frame.tunnel->hops = static_cast<__u8>(hops);
  return frame;
}

TEST(Walk, ASynSearchesBeforeItCreates) {
  Pair& pair = Pair::cleared();
  // The owner is here, nodes 2 and 3 may know the flow: 2 comes first.
  const Outcome first = pair.run(kUplink, moved(0x02, 8005, 2, 1).bytes());
  EXPECT_EQ(first.verdict, code(kUplink, Verdict::kRedirect));
  EXPECT_EQ(node_of(first), 2);
  EXPECT_EQ(stage_of(first), static_cast<unsigned>(MESH_STAGE_CIRCLE));
  EXPECT_EQ(hops_of(first), 1u);
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 0u);
  // It comes back unknown: the record is made here.
  const Outcome back = pair.run(kUplink, at_stage(moved(0x02, 8005, 2, 1), MESH_STAGE_CREATE).bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
  EXPECT_EQ(back.verdict, code(kUplink, Verdict::kRedirect));
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 1u);
  // From now on it is known, and found at once.
  pair.run(kUplink, moved(0x10, 8005, 2, 1).bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
}

TEST(Walk, PreviousOwnerIsAskedLast) {
  Pair& pair = Pair::cleared();
  // F = {2}, and the previous owner is on 2 as well: it is asked as prev, in its own stage.
  const Outcome first = pair.run(kUplink, moved(0x02, 8006, 3, 1).bytes());
  EXPECT_EQ(node_of(first), 2);
  EXPECT_EQ(stage_of(first), static_cast<unsigned>(MESH_STAGE_PREV));
}

TEST(Walk, AnEstablishedFlowGoesRoundTheCircle) {
  Pair& pair = Pair::cleared();
  const Outcome first = pair.run(kUplink, moved(0x10, 8005, 2, 1).bytes());
  EXPECT_EQ(node_of(first), 2);
  // Here as one of the hosts of the circle: after 1 and before the owner's host 2 comes 3? No: 1 -> 2 is the stop, so
  // from 1 the circle is over, and the owner's host lets its container refuse.
  const Outcome second = pair.run(kUplink, at_stage(moved(0x10, 8007, 18, 2), MESH_STAGE_CIRCLE).bytes());
  EXPECT_EQ(node_of(second), 2);
  EXPECT_EQ(stage_of(second), static_cast<unsigned>(MESH_STAGE_CREATE));
  // Back at the owner's host after the whole circle: delivered, so that the client gets its reset.
  pair.run(kUplink, at_stage(moved(0x10, 8005, 2, 1, 40005), MESH_STAGE_CREATE, 0, 3).bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
}

TEST(Walk, MixedVersionsNeverEndInAWrongReset) {
  Pair& pair = Pair::cleared();
  Frame mixed = at_stage(moved(0x10, 8007, 8, 2), MESH_STAGE_CIRCLE);
  mixed.tunnel->flags |= MESH_TUNNEL_MIXED;
  EXPECT_EQ(pair.run(kUplink, mixed.bytes()).verdict, code(kUplink, Verdict::kDrop));
  EXPECT_GE(pair.grown(MESH_COUNT_RING_MIXED), 1u);
}

TEST(Walk, ANewerHostRestartsIt) {
  Pair& pair = Pair::cleared();
  Frame old = moved(0x10, 8007, 9, 1);  // an older ring: this host was the owner's
  old.tunnel->version = kMovedVersion - 1;
  const Outcome outcome = pair.run(kUplink, old.bytes());
  EXPECT_EQ(node_of(outcome), 2);
  EXPECT_EQ(binding_of(outcome), 8);
  EXPECT_EQ(stage_of(outcome), static_cast<unsigned>(MESH_STAGE_ENTRY));
  EXPECT_TRUE(byte_at(outcome, 51) & MESH_TUNNEL_MIXED);
  EXPECT_EQ(byte_at(outcome, 61), kMovedVersion);
}

// But not of a flow whose backend is chosen already (the entry host's own, or where its client belongs): of two of its
// packets one would come to this host's owner, the other to that.
TEST(Walk, ANewerHostDoesNotRestartThatOfAChosenBackend) {
  Pair& pair = Pair::cleared();
  Frame asked = at_stage(moved(0x02, 8005, 77, 2), MESH_STAGE_CIRCLE);
  asked.tunnel->backend = MESH_SLOT_NONE;
  asked.tunnel->version = kMovedVersion - 1;
  const Outcome outcome = pair.run(kUplink, asked.bytes());
  EXPECT_EQ(node_of(outcome), 2) << "back to who chose";
  EXPECT_EQ(binding_of(outcome), 77);
  EXPECT_EQ(stage_of(outcome), static_cast<unsigned>(MESH_STAGE_CREATE));
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 0u);
}

// Nor has the host that chose it a say as its slot's owner, one version behind.
TEST(Walk, WhoChoseABackendIsNotItsOwnPreviousOwner) {
  mesh_view view{};
  view.version = 3;
  view.self = view.owner_node = 1;
  view.owner = 5;
  view.binding = 9;
  mesh_header header{};
  header.ring_version = 4;
  mesh_choose(&header, 1, 7);
  __u16 next = 0;
  EXPECT_EQ(mesh_walk(&header, &view, 1, &next), static_cast<int>(MESH_STEP_CREATE));
  EXPECT_EQ(header.binding, 7);
  header = {};
  header.ring_version = 4;
  header.stop = 1;
  header.binding = 7;
  EXPECT_EQ(mesh_walk(&header, &view, 1, &next), static_cast<int>(MESH_STEP_CREATE));
  EXPECT_EQ(header.binding, 9);
}

TEST(Walk, Ends) {
  Pair& pair = Pair::cleared();
  EXPECT_EQ(pair.run(kUplink, at_stage(moved(0x10, 8005, 2, 1), 0, 0, MESH_HOPS_MAX).bytes()).verdict,
            code(kUplink, Verdict::kDrop));
  EXPECT_EQ(pair.grown(MESH_COUNT_HOPS), 1u);
}

// Whatever hosts a slot remembers, wherever the walk starts: each is visited once, the owner's host (without one the
// entry host) last, within the hops that a packet has.
TEST(Walk, VisitsEachHostOnceAndEndsAtTheOwner) {
  for (unsigned set = 0; set < 64; set++) {
    for (__u16 stop = 1; stop <= 6; stop++) {
      for (__u16 prev = 0; prev <= 6; prev++) {
        for (const unsigned how : {0U, 1U, 2U, 3U}) {
          const bool begins = (how & 1U) != 0, owned = (how & 2U) != 0;
          const auto view_of = [&](__u16 self) {
            mesh_view view{};
            view.version = 3;
            view.self = self;
            view.owner_node = owned ? stop : __u16{0};
            view.prev_node = prev;
            view.binding = owned ? 9 : 0;
            view.moved = set != 0;
            for (__u16 host = 1; host <= 6; host++) {
              if (set >> (host - 1) & 1) view.host[view.count++] = host;
            }
            return view;
          };
          mesh_header header{};
          header.ring_version = 3;
          header.binding = owned ? 9 : 0;
          header.entry = stop;
          header.stop = stop;
          header.moved = set != 0;
          std::multiset<__u16> visited;
          __u16 here = stop;
          int step = MESH_STEP_SEND;
          for (int hops = 0; hops <= static_cast<int>(MESH_HOPS_MAX) && step == MESH_STEP_SEND; hops++) {
            visited.insert(here);
            const mesh_view view = view_of(here);
            __u16 next = 0;
            step = mesh_walk(&header, &view, begins ? 1 : 0, &next);
            if (step == MESH_STEP_SEND) here = next;
          }
          const std::string what =
              fmt::format("F {:06b} stop {} prev {} begins {} owned {}", set, stop, prev, begins, owned);
          EXPECT_EQ(step, static_cast<int>(MESH_STEP_CREATE)) << what;
          EXPECT_EQ(here, stop) << what;
          for (__u16 host = 1; host <= 6; host++) {
            if (!(set >> (host - 1) & 1) || host == stop) continue;
            if (!begins && set == 0) continue;
            EXPECT_EQ(visited.count(host), 1u) << what << " host " << host;
          }
          if (begins && prev != 0) EXPECT_GE(visited.count(prev), 1u) << what;
          EXPECT_LE(visited.count(stop), 2u) << what;
        }
      }
    }
  }
}

// One client port towards many addresses and one backend: every flow gets a port of its own, keeps it, and the answers
// find their way back.
TEST(Records, CollidingFlowsGetPortsOfTheirOwn) {
  Pair& pair = Pair::cleared();
  std::set<__u16> given;
  for (int round = 0; round < 2; round++) {
    for (__u8 entry = 1; entry <= 6; entry++) {
      Frame sent = from_node2(6, 8001, 1);
      sent.to = fmt::format("192.0.2.{}", entry);
      sent.tcp_flags = round == 0 ? 0x02 : 0x18;
      const Outcome in = pair.run(kUplink, sent.bytes());
      ASSERT_EQ(in.verdict, code(kUplink, Verdict::kRedirect));
      const auto port = static_cast<__u16>(in.frame.at(34) << 8 | in.frame.at(35));
      EXPECT_EQ(given.insert(port).second, round == 0) << "entry " << int{entry};
      Frame expected = delivered_to_a(sent);
      expected.source_port = port;
      EXPECT_EQ(hex(in.frame), hex(expected.bytes()));
      const Outcome out = pair.run("mesh_endpoint_tc", from_a("10.0.0.5", "192.0.2.9", 6, 80, port).bytes());
      ASSERT_EQ(out.verdict, code("mesh_endpoint_tc", Verdict::kRedirect));
      EXPECT_EQ(out.frame.at(14 + 50 + 15), entry) << "answer with another flow's address";
      EXPECT_EQ(out.frame.at(84 + 2) << 8 | out.frame.at(84 + 3), 40000);
    }
  }
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_REWRITTEN), 5u);
}

TEST(Records, AClosedFlowMakesRoomForTheOwner) {
  Pair& pair = Pair::cleared();
  // A record of a foreign backend: made while 8005's owner was another binding of this host.
  pair.run(kUplink, at_stage(moved(0x02, 8005, 2, 1), MESH_STAGE_CREATE).bytes());
  pair.run(kUplink, moved(0x11, 8005, 2, 1).bytes());
  Frame answer = from_a("10.0.0.5", "192.0.2.9", 6, 80, 40000);
  answer.tcp_flags = 0x11;
  pair.run("mesh_endpoint_tc", answer.bytes());
  // Closed, and the header names an owner elsewhere: the SYN is not this record's any more.
  const Outcome again = pair.run(kUplink, at_stage(moved(0x02, 8005, 9, 3), MESH_STAGE_CIRCLE).bytes());
  EXPECT_EQ(node_of(again), 2);
  EXPECT_EQ(stage_of(again), static_cast<unsigned>(MESH_STAGE_CIRCLE));
}

// The next connection with the same ports is a new flow in all respects: it is answered through its own entry host.
TEST(Records, AClosedFlowIsNotTheNextOne) {
  Pair& pair = Pair::cleared();
  Frame segment = from_node2(6, 8001, 1);
  const auto client = [&](__u8 flags) {
    segment.tcp_flags = flags;
    pair.run(kUplink, segment.bytes());
    EXPECT_EQ(pair.redirect(), "to 1");
  };
  const auto answered_through = [&](__u8 flags) {
    Frame answer = from_a("10.0.0.5", "192.0.2.9", 6, 80, 40000);
    answer.tcp_flags = flags;
    return node_of(pair.run("mesh_endpoint_tc", answer.bytes()));
  };
  client(0x02);
  EXPECT_EQ(answered_through(0x12), 2);
  client(0x11);
  EXPECT_EQ(answered_through(0x11), 2);
  pair.grown(MESH_COUNT_FLOW_CREATED);
  segment.tunnel->entry = 3;
  segment.tunnel->from = "192.0.2.3";
  segment.tunnel->source = kNode3Mac;
  client(0x02);
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 1u);
  EXPECT_EQ(answered_through(0x12), 3);
}

mesh_flow plain_record(__u16 port) {
  mesh_flow record{};
  record.client = address("192.0.2.9");
  record.original = address("192.0.2.1");
  record.client_port = record.given_port = port;
  record.original_port = 80;
  record.local_port = 8080;
  record.ifindex = 7;
  record.kind = MESH_FLOW_BOTH;
  record.protocol = 6;
  return record;
}

int claim(mesh_flow_set& set, const mesh_flow& record, __u8 state, __u32 tick, __u32 tag) {
  const __u32 mark = MESH_FLOW_MARK(tick, state);
  const __u32 judgement = mesh_flow_judge(&set, tag, tick, &record);
  if ((judgement & MESH_FLOW_TAKEN) != 0) return MESH_CLAIM_TAKEN;
  return mesh_flow_claim(&set, tag, mark, judgement, &record);
}

TEST(Records, AFloodOfSynsDisplacesItself) {
  mesh_flow_set set{};
  const auto flow = [&](__u16 port, __u8 state, __u32 tick) {
    return claim(set, plain_record(port), state, tick, port);
  };
  for (__u16 port = 1; port < MESH_FLOW_WAYS; port++) EXPECT_EQ(flow(port, MESH_FLOW_CONFIRMED, 100), MESH_CLAIM_FRESH);
  for (__u16 port = 1000; port < 2000; port++) EXPECT_EQ(flow(port, 0, 200), MESH_CLAIM_FRESH);
  for (__u16 port = 1; port < MESH_FLOW_WAYS; port++) EXPECT_EQ(flow(port, MESH_FLOW_CONFIRMED, 300), MESH_CLAIM_SAME);
  // With none but live flows, the longest idle goes.
  EXPECT_EQ(flow(7, MESH_FLOW_CONFIRMED, 300), MESH_CLAIM_FRESH);
  for (__u16 port = 1; port <= 7; port++) {
    EXPECT_EQ(flow(port, MESH_FLOW_CONFIRMED, port == 5 ? 350 : 400), MESH_CLAIM_SAME);
  }
  EXPECT_EQ(flow(8, MESH_FLOW_CONFIRMED, 400), MESH_CLAIM_EVICTED);
  EXPECT_EQ(flow(4, MESH_FLOW_CONFIRMED, 400), MESH_CLAIM_SAME);
  EXPECT_EQ(flow(5, MESH_FLOW_CONFIRMED, 400), MESH_CLAIM_EVICTED) << "it was the one that went";
}

TEST(Records, TwoThatLookAlikeToTheEndpointAreKeptApart) {
  const mesh_flow first = plain_record(4000);
  mesh_flow second = first;
  second.original = address("192.0.2.2");
  mesh_flow other_endpoint = second;
  other_endpoint.ifindex = 8;
  mesh_flow_set set{};
  constexpr __u32 kTag = 77;
  EXPECT_EQ(claim(set, first, MESH_FLOW_CONFIRMED, 100, kTag), MESH_CLAIM_FRESH);
  EXPECT_EQ(claim(set, second, MESH_FLOW_CONFIRMED, 100, kTag), MESH_CLAIM_TAKEN);
  EXPECT_EQ(claim(set, other_endpoint, MESH_FLOW_CONFIRMED, 100, kTag), MESH_CLAIM_FRESH);
  // One that is over makes room.
  EXPECT_EQ(claim(set, first, MESH_FLOW_CONFIRMED | MESH_FLOW_RESET, 100, kTag), MESH_CLAIM_SAME);
  EXPECT_EQ(claim(set, second, MESH_FLOW_CONFIRMED, 105, kTag), MESH_CLAIM_TAKEN) << "late segments";
  EXPECT_EQ(claim(set, second, MESH_FLOW_CONFIRMED, 120, kTag), MESH_CLAIM_SAME);
  mesh_flow_key key{};
  key.client = first.client;
  key.client_port = first.client_port;
  key.port = first.local_port;
  key.ifindex = first.ifindex;
  key.kind = MESH_FLOW_REVERSE;
  key.protocol = 6;
  const __u32 way = mesh_flow_find(&set, &key, kTag);
  ASSERT_LT(way, MESH_FLOW_WAYS);
  EXPECT_EQ(set.record[way].original.word[3], second.original.word[3]);
}

TEST(Records, AClaimSeesThatAnotherCpuWasQuicker) {
  mesh_flow_set set{};
  const mesh_flow record = plain_record(4000);
  const __u32 mark = MESH_FLOW_MARK(100, 0);
  const __u32 judgement = mesh_flow_judge(&set, 77, 100, &record);
  EXPECT_EQ(claim(set, record, 0, 100, 77), MESH_CLAIM_FRESH);
  EXPECT_EQ(mesh_flow_claim(&set, 77, mark, judgement, &record), MESH_CLAIM_AGAIN);
}

TEST(Records, AreDueByStateAndSilence) {
  struct Case {
    const char* name;
    unsigned state;
    __u32 idle;
    bool due;
  };
  constexpr unsigned kBothFins = MESH_FLOW_CONFIRMED | MESH_FLOW_CLIENT_FIN | MESH_FLOW_ENDPOINT_FIN;
  constexpr unsigned kDatagrams = MESH_FLOW_CONFIRMED | MESH_FLOW_DATAGRAMS;
  const Case cases[] = {
      {"fresh", 0, 0, false},
      {"unconfirmed", 0, 60, false},
      {"unconfirmed for long", 0, 80, true},
      {"established, silent for a day", MESH_FLOW_CONFIRMED, 80'000, false},
      {"established, silent for a week", MESH_FLOW_CONFIRMED, 600'000, true},
      {"one FIN", MESH_FLOW_CONFIRMED | MESH_FLOW_CLIENT_FIN, 100, false},
      {"both FINs", kBothFins, 20, true},
      {"both FINs just now", kBothFins, 2, false},
      {"reset", MESH_FLOW_CONFIRMED | MESH_FLOW_RESET, 20, true},
      {"UDP", kDatagrams, 100, false},
      {"UDP, silent", kDatagrams, 250, true},
      {"a tick ahead of our clock", MESH_FLOW_RESET, static_cast<__u32>(-1), false},
  };
  // The tick of a mark has 24 bits.
  for (const __u32 now : {1'000'000u, 5u, 0xffffffu}) {
    for (const Case& c : cases) {
      EXPECT_EQ(mesh_flow_due(MESH_FLOW_MARK(now - c.idle, c.state), now) != 0, c.due) << c.name << " at " << now;
    }
  }
}

// The sweep runs beside the programs, on the same sets: no flow that begins meanwhile may be lost.
TEST(Records, ASweepTakesWhatIsOverAndNothingElse) {
  Pair& pair = Pair::cleared();
  Kernel& kernel = pair.kernel();
  constexpr __u16 kFirst = 20000, kFlows = 1500;
  mesh_flow over = plain_record(1);
  over.binding = 1;
  over.ifindex = kEndpointA;
  const __u32 long_ago = kernel.sweep(0, 0).tick - 100;
  for (__u32 index = 0; index < kFlowSets; index++) {
    mesh_flow_set set{};
    for (__u32 way = 0; way < 3; way++) {
      set.tag[way] = 2 * way + 1;
      set.mark[way] = MESH_FLOW_MARK(long_ago, MESH_FLOW_RESET);
      set.record[way] = over;
    }
    kernel.put("mesh_flows", &index, &set);
  }
  std::atomic<bool> finished = false;
  std::uint64_t removed = 0;
  std::thread sweeper([&] {
    cpu_set_t other;
    CPU_ZERO(&other);
    CPU_SET(1, &other);
    sched_setaffinity(0, sizeof other, &other);
    do {
      removed += kernel.sweep(0, kFlowSets).removed;
    } while (!finished);
    removed += kernel.sweep(0, kFlowSets).removed;
  });
  for (__u16 i = 0; i < kFlows; i++) {
    Frame syn = from_node2(6, 8001, 1);
    syn.source_port = static_cast<__u16>(kFirst + i);
    EXPECT_FALSE(kernel.run(kUplink, syn.bytes()).refused);
  }
  finished = true;
  sweeper.join();
  EXPECT_GT(removed, 2 * kFlowSets);
  EXPECT_LE(removed, 3 * kFlowSets) << "some were taken over by new flows";
  unsigned in_use = 0;
  std::set<__u16> ports;
  for (__u32 index = 0; index < kFlowSets; index++) {
    mesh_flow_set set{};
    kernel.get("mesh_flows", &index, &set);
    for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
      if (set.tag[way] == 0) continue;
      in_use++;
      ports.insert(mesh_swap16(set.record[way].client_port));
    }
  }
  EXPECT_EQ(ports.size(), kFlows);
  EXPECT_EQ(in_use, kFlows);
}

TEST(Records, ASweepTakesWhoseBindingIsGone) {
  Pair& pair = Pair::cleared();
  Kernel& kernel = pair.kernel();
  pair.run(kUplink, from_node2(6, 8001, 1).bytes());
  EXPECT_EQ(kernel.sweep(0, kFlowSets).removed, 0u);
  const __u32 index = 1;
  mesh_binding binding{};
  ASSERT_TRUE(kernel.get("mesh_bindings", &index, &binding));
  mesh_binding gone = binding;
  gone.ifindex = 0;
  pair.put("mesh_bindings", &index, &gone);
  EXPECT_EQ(kernel.sweep(0, kFlowSets).removed, 1u);
  pair.put("mesh_bindings", &index, &binding);
}

}  // namespace
}  // namespace mesh::packet
