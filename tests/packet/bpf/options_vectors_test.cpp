// What a published port may be told: whom it lets in, where it answers, how answers travel, whose backends it prefers.
// Through the programs, in the kernel and natively. Switched off, each of them makes one of these fail.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bpf/lib/hash.h"
#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kUplink = "mesh_uplink_xdp";
const std::string kEndpoint = "mesh_endpoint_tc";
Pair& prepared() {
  Pair& pair = Pair::cleared();
  static const bool filled = [&] {
    pair.fill(fill_options);
    return true;
  }();
  EXPECT_TRUE(filled);
  return pair;
}

unsigned stage_of(const Outcome& outcome) { return outcome.frame.at(51) >> 2 & 7U; }
__u16 binding_of(const Outcome& outcome) {
  return static_cast<__u16>(outcome.frame.at(52) << 8 | outcome.frame.at(53));
}

Frame client_segment(__u16 port, __u8 flags, __u16 client_port = 40000) {
  Frame frame = from_client(6, port);
  frame.tcp_flags = flags;
  frame.source_port = client_port;
  return frame;
}

Frame tunnel_segment(__u16 port, __u16 binding, __u8 flags, __u8 tunnel_flags, __u16 client_port = 40000) {
  Frame frame = from_node2(6, port, binding);
  frame.tcp_flags = flags;
  frame.source_port = client_port;
  frame.tunnel->version = kMovedVersion;
  frame.tunnel->flags = tunnel_flags;
  return frame;
}

TEST(Direct, TheBackendsHostAnswersTheClientItself) {
  Pair& pair = prepared();
  Frame syn = from_node2(6, kDirect, kDirectBinding);
  pair.run(kUplink, syn.bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
  Frame answer = from_a("10.0.0.5", "192.0.2.9", 6, 80, 40000);
  answer.tcp_flags = 0x12;
  const Outcome out = pair.run(kEndpoint, answer.bytes());
  EXPECT_EQ(pair.redirect(), fmt::format("neigh {}", pair.uplink()));
  Frame expected = answer;
  expected.from = "192.0.2.2";  // what the client asked: the entry host
  expected.source_port = kDirect;
  expected.ttl--;
  EXPECT_EQ(hex(Bytes(out.frame.begin() + 14, out.frame.end())), hex([&] {
              const Bytes all = expected.bytes();
              return Bytes(all.begin() + 14, all.end());
            }()));
}

TEST(Allow, LetsInWhoIsListed) {
  Pair& pair = prepared();
  const Outcome in = pair.run(kUplink, client_segment(kAllow, 0x02).bytes());
  EXPECT_EQ(in.verdict, code(kUplink, Verdict::kRedirect));
  EXPECT_EQ(node_of(in), 2);
  Frame stranger = client_segment(kAllow, 0x02);
  stranger.from = "192.0.2.99";
  EXPECT_EQ(pair.run(kUplink, stranger.bytes()).verdict, code(kUplink, Verdict::kDrop));
  EXPECT_EQ(pair.grown(MESH_COUNT_NOT_ALLOWED), 1u);
  Frame v6 = from_client(6, kAllow, true);
  EXPECT_EQ(pair.run(kUplink, v6.bytes()).verdict, code(kUplink, Verdict::kDrop)) << "no prefix of this family";
}

TEST(Bound, AnswersOnItsAddressesOnly) {
  Pair& pair = prepared();
  EXPECT_EQ(pair.run(kUplink, client_segment(kBound, 0x02).bytes()).verdict, code(kUplink, Verdict::kRedirect));
  EXPECT_EQ(pair.run(kUplink, from_client(6, kBound, true).bytes()).verdict, code(kUplink, Verdict::kPass));
}

TEST(NoEntry, TheHostHasBackendsAndDoesNotAnswer) {
  Pair& pair = prepared();
  EXPECT_EQ(pair.run(kUplink, client_segment(kNoEntry, 0x02).bytes()).verdict, code(kUplink, Verdict::kPass));
  pair.run(kUplink, from_node2(6, kNoEntry, kNoEntryBinding).bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
}

TEST(Affinity, AClientsAddressKeepsItsBackend) {
  Pair& pair = prepared();
  pair.grown(MESH_COUNT_FLOW_CREATED);
  // A flow whose turn was another backend's of this host: made here after the circle.
  constexpr __u8 kBack = MESH_TUNNEL_MOVED | MESH_STAGE_CREATE << MESH_TUNNEL_STAGE_SHIFT;
  pair.run(kUplink, tunnel_segment(kAffinity, kKeptBinding, 0x02, kBack).bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
  // The client's next connection is for the owner. This host knows where the client belongs, and asks the others only
  // whether the flow is an older one of theirs.
  const Outcome asked =
      pair.run(kUplink, tunnel_segment(kAffinity, kOwnerBinding, 0x02, MESH_TUNNEL_MOVED, 41000).bytes());
  EXPECT_EQ(node_of(asked), 2);
  EXPECT_EQ(stage_of(asked), static_cast<unsigned>(MESH_STAGE_CIRCLE));
  EXPECT_EQ(binding_of(asked), kKeptBinding);
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 1u);
  Frame back = tunnel_segment(kAffinity, kKeptBinding, 0x02, kBack, 41000);
  back.tunnel->backend = MESH_SLOT_NONE;
  pair.run(kUplink, back.bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 1u);
  const auto holders = [&](__u16 client_port) {
    std::vector<__u16> bindings;
    for (__u32 index = 0; index < kFlowSets; index++) {
      mesh_flow_set set{};
      pair.kernel().get("mesh_flows", &index, &set);
      for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
        const bool its = set.tag[way] != 0 && set.record[way].client_port == __builtin_bswap16(client_port);
        if (its) bindings.push_back(set.record[way].binding);
      }
    }
    return bindings;
  };
  EXPECT_EQ(holders(41000), std::vector<__u16>{kKeptBinding});
  EXPECT_EQ(holders(kAffinity), std::vector<__u16>{kKeptBinding}) << "one record says where the client belongs";
  // Another client's is not known here: the walk begins.
  Frame other = tunnel_segment(kAffinity, kOwnerBinding, 0x02, MESH_TUNNEL_MOVED, 41000);
  other.from = "192.0.2.77";
  EXPECT_EQ(node_of(pair.run(kUplink, other.bytes())), 2);
}

// The others were asked already when a packet comes back, or to the previous owner's host.
TEST(Affinity, WhoIsAskedLastAsksNobody) {
  Pair& pair = prepared();
  constexpr __u8 kBack = MESH_TUNNEL_MOVED | MESH_STAGE_CREATE << MESH_TUNNEL_STAGE_SHIFT;
  constexpr __u8 kPrev = MESH_TUNNEL_MOVED | MESH_STAGE_PREV << MESH_TUNNEL_STAGE_SHIFT;
  pair.run(kUplink, tunnel_segment(kAffinity, kKeptBinding, 0x02, kBack).bytes());
  pair.grown(MESH_COUNT_FLOW_CREATED);
  __u16 client_port = 41000;
  for (const __u8 flags : {kBack, kPrev}) {
    pair.run(kUplink, tunnel_segment(kAffinity, kOwnerBinding, 0x02, flags, client_port++).bytes());
    EXPECT_EQ(pair.redirect(), "to 1");
    EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 1u);
  }
}

// It was chosen here, but its client belongs nowhere when it comes back: the walk begins anew, for the owner.
TEST(Affinity, WhatIsNotChosenAnyMoreGoesByTheRing) {
  Pair& pair = prepared();
  constexpr __u8 kBack = MESH_TUNNEL_MOVED | MESH_STAGE_CREATE << MESH_TUNNEL_STAGE_SHIFT;
  Frame back = tunnel_segment(kAffinity, kKeptBinding, 0x02, kBack);
  back.tunnel->backend = MESH_SLOT_NONE;
  const Outcome anew = pair.run(kUplink, back.bytes());
  EXPECT_EQ(node_of(anew), 2);
  EXPECT_EQ(stage_of(anew), static_cast<unsigned>(MESH_STAGE_CIRCLE));
  EXPECT_EQ(binding_of(anew), kOwnerBinding);
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 0u);
}

// The number of the backend that the client belonged to is another's by now.
TEST(Affinity, WhoBelongedToAnEarlierBackendGoesByTheRing) {
  Pair& pair = prepared();
  constexpr __u8 kBack = MESH_TUNNEL_MOVED | MESH_STAGE_CREATE << MESH_TUNNEL_STAGE_SHIFT;
  pair.run(kUplink, tunnel_segment(kAffinity, kKeptBinding, 0x02, kBack).bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
  pair.change_flows([](mesh_flow_set& set) {
    for (mesh_flow& record : set.record) {
      if (record.kind == MESH_FLOW_AFFINITY) record.ifindex = kEndpointB;
    }
  });
  const Outcome next =
      pair.run(kUplink, tunnel_segment(kAffinity, kOwnerBinding, 0x02, MESH_TUNNEL_MOVED, 41000).bytes());
  EXPECT_EQ(binding_of(next), kOwnerBinding);
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 1u);
}

// More published ports than a set has records.
TEST(Affinity, AClientBelongsToABackendOfEachPort) {
  constexpr __u16 kFirst = 8110, kCount = 2 * MESH_FLOW_WAYS;
  Pair& pair = Pair::cleared();
  pair.fill([&](World& world) {
    for (__u16 port = kFirst; port < kFirst + kCount; port++) {
      const auto binding = static_cast<__u16>(port - kFirst + 110);
      world.service(6, port, {{1, binding}}, {0});
      world.options(6, port, MESH_OPTIONS(0, kAffinityTicks));
      world.binding(binding, "10.0.0.5", "fd00::5", kEndpointA, 6, port, 80);
    }
  });
  pair.grown(MESH_COUNT_FLOW_EVICTED);
  for (__u16 port = kFirst; port < kFirst + kCount; port++) {
    Frame begun = from_node2(6, port, static_cast<__u16>(port - kFirst + 110));
    begun.tcp_flags = 0x02;
    begun.source_port = static_cast<__u16>(port + 34000);
    pair.run(kUplink, begun.bytes());
    EXPECT_EQ(pair.redirect(), "to 1");
  }
  unsigned kept = 0;
  pair.change_flows([&](mesh_flow_set& set) {
    for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
      kept += set.tag[way] != 0 && set.record[way].kind == MESH_FLOW_AFFINITY ? 1 : 0;
    }
  });
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_EVICTED), 0u);
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), kCount);
  EXPECT_EQ(kept, 2u * kCount) << "in the kernel's table and in the native one";
}

TEST(Affinity, AllEntryHostsAgreeOnTheSlot) {
  const mesh_address client = address("192.0.2.9");
  EXPECT_EQ(mesh_affinity_hash(&client, 80, 6), mesh_affinity_hash(&client, 80, 6));
  EXPECT_NE(mesh_affinity_hash(&client, 80, 6), mesh_affinity_hash(&client, 81, 6));
  const mesh_address other = address("192.0.2.10");
  EXPECT_NE(mesh_affinity_hash(&client, 80, 6), mesh_affinity_hash(&other, 80, 6));
}

TEST(Local, ANewFlowIsLookedForElsewhereAndThenMadeHere) {
  Pair& pair = prepared();
  const Outcome asked = pair.run(kUplink, client_segment(kLocal, 0x02).bytes());
  EXPECT_EQ(node_of(asked), 2) << "the owner's host comes first in the circle";
  EXPECT_EQ(stage_of(asked), static_cast<unsigned>(MESH_STAGE_CIRCLE));
  EXPECT_EQ(binding_of(asked), kLocalBinding);
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 0u);
  // Nobody knew it.
  constexpr __u8 kBack = MESH_TUNNEL_MOVED | MESH_STAGE_CREATE << MESH_TUNNEL_STAGE_SHIFT;
  Frame back = tunnel_segment(kLocal, kLocalBinding, 0x02, kBack);
  back.to = "192.0.2.1";
  back.tunnel->entry = 1;
  back.tunnel->stop = 1;
  pair.run(kUplink, back.bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED), 1u);
  // From now on it is delivered at once.
  pair.run(kUplink, client_segment(kLocal, 0x10).bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
}

TEST(Local, WhatIsNotKnownHereGoesByTheRing) {
  Pair& pair = prepared();
  const Outcome out = pair.run(kUplink, client_segment(kLocal, 0x10, 42000).bytes());
  EXPECT_EQ(node_of(out), 2);
  EXPECT_EQ(stage_of(out), static_cast<unsigned>(MESH_STAGE_ENTRY));
  EXPECT_EQ(binding_of(out), 8);
}

}  // namespace
}  // namespace mesh::packet
