// A port whose last backends drain: its slots have no owner, but hosts that may know flows. Their packets are passed
// round these hosts, from the entry host on and back to it; what nobody knows, its stack refuses.
#include <gtest/gtest.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kUplink = "mesh_uplink_xdp";
const std::string kUplinkTc = "mesh_uplink_tc";
const std::string kEndpoint = "mesh_endpoint_tc";

// No slot has an owner. 8101: F = {2, 3}, of this host's backend 21; 8102: nobody is left; 8103: as 8102, and backends
// are ready; 8104: F = {1}.
Pair& draining() {
  Pair& pair = Pair::cleared();
  static bool filled = false;
  if (filled) return pair;
  filled = true;
  pair.fill([](World& world) {
    for (const __u8 protocol : {__u8{6}, __u8{17}}) {
      const auto own = static_cast<__u16>(protocol == 6 ? 21 : 31);
      world.service(protocol, 8101, {{1, own}, {2, 8}, {3, 9}}, {}, kMovedVersion, MESH_SLOT_MOVED);
      world.rows(protocol, 8101, kMovedVersion, MESH_SLOT_NONE, {2, 3});
      world.binding(own, "10.0.0.5", "fd00::5", kEndpointA, protocol, 8101, 80);
      world.service(protocol, 8102, {}, {}, kMovedVersion);
      world.service(protocol, 8103, {{2, 8}}, {}, kMovedVersion);
      world.options(protocol, 8103, MESH_OPTIONS(MESH_SERVICE_READY, 0));
      world.service(protocol, 8104, {{2, 8}}, {}, kMovedVersion, MESH_SLOT_MOVED);
      world.rows(protocol, 8104, kMovedVersion, MESH_SLOT_NONE, {1});
    }
  });
  return pair;
}

Frame data(__u16 port, __u8 protocol = 6, bool v6 = false) {
  Frame frame = from_client(protocol, port, v6);
  frame.tcp_flags = 0x18;
  return frame;
}

// As it comes from another host of its walk; `entry` is where it began.
Frame on_its_way(Frame frame, __u16 entry, unsigned stage, __u32 version = kMovedVersion) {
  const bool v6 = frame.from.find(':') != std::string::npos;
  Frame wrapped = from_node2(frame.protocol, frame.destination_port, 0, v6);
  wrapped.to = frame.to;
  wrapped.tcp_flags = frame.tcp_flags;
  wrapped.tunnel->entry = entry;
  wrapped.tunnel->stop = entry;
  wrapped.tunnel->backend = MESH_SLOT_NONE;
  wrapped.tunnel->version = version;
  wrapped.tunnel->flags = static_cast<__u8>(MESH_TUNNEL_MOVED | stage << MESH_TUNNEL_STAGE_SHIFT);
  wrapped.tunnel->hops = 2;
  return wrapped;
}

TEST(Draining, AnEstablishedFlowIsLookedForFromTheEntryOn) {
  Pair& pair = draining();
  for (const bool v6 : {false, true}) {
    const Frame sent = data(8101, 6, v6);
    const Outcome outcome = pair.run(kUplink, sent.bytes());
    ASSERT_EQ(outcome.verdict, code(kUplink, Verdict::kRedirect));
    Frame expected = sent;
    expected.ttl--;
    expected.destination = kNode2Mac;
    expected.source = kUplinkMac;
    expected.tunnel = Tunnel{.from = "192.0.2.1",
                             .to = "192.0.2.2",
                             .source = kUplinkMac,
                             .destination = kNode2Mac,
                             .entry = 1,
                             .stop = 1,
                             .backend = MESH_SLOT_NONE,
                             .flags = MESH_TUNNEL_MOVED | MESH_STAGE_CIRCLE << MESH_TUNNEL_STAGE_SHIFT,
                             .hops = 1,
                             .version = kMovedVersion};
    EXPECT_EQ(hex(outcome.frame), hex(expected.bytes()));
  }
}

TEST(Draining, AHostOfTheCircleSendsItOnAndTheLastOneBack) {
  Pair& pair = draining();
  // 1 -> 3 is all that is left of the circle that began at 2; for the one that began at 3 it is over.
  const Outcome on = pair.run(kUplink, on_its_way(data(8101), 2, MESH_STAGE_CIRCLE).bytes());
  EXPECT_EQ(on.verdict, code(kUplink, Verdict::kRedirect));
  EXPECT_EQ(on.frame.at(33), 2) << "from 1 to the stop, 2, there is no other host";
  EXPECT_EQ(on.frame.at(51) >> 2 & 7, MESH_STAGE_CREATE);
  const Outcome next = pair.run(kUplink, on_its_way(data(8101), 3, MESH_STAGE_CIRCLE).bytes());
  EXPECT_EQ(next.frame.at(33), 2);
  EXPECT_EQ(next.frame.at(51) >> 2 & 7, MESH_STAGE_CIRCLE);
}

TEST(Draining, AFlowOfThisHostIsDelivered) {
  Pair& pair = draining();
  // Its record is of the ring before.
  Frame begun = on_its_way(data(8101), 1, MESH_STAGE_CREATE, kMovedVersion);
  begun.tcp_flags = 0x02;
  begun.tunnel->binding = 21;
  begun.tunnel->entry = 2;
  ASSERT_EQ(pair.run(kUplink, begun.bytes()).verdict, code(kUplink, Verdict::kRedirect));
  const Frame sent = data(8101);
  const Outcome outcome = pair.run(kUplink, sent.bytes());
  EXPECT_EQ(outcome.verdict, code(kUplink, Verdict::kRedirect));
  EXPECT_EQ(hex(outcome.frame), hex(delivered_to_a(sent).bytes()));
  // From another entry host, too.
  pair.run(kUplink, on_its_way(sent, 3, MESH_STAGE_CIRCLE).bytes());
  EXPECT_EQ(pair.redirect(), "to 1");
}

TEST(Draining, WhatNobodyKnowsIsRefusedByTheEntryHost) {
  Pair& pair = draining();
  for (const __u8 protocol : {__u8{6}, __u8{17}}) {
    for (const bool v6 : {false, true}) {
      const Frame sent = data(8101, protocol, v6);
      const Frame back = on_its_way(sent, 1, MESH_STAGE_CREATE);
      // XDP leaves it to tc.
      EXPECT_EQ(pair.run(kUplink, back.bytes()).verdict, code(kUplink, Verdict::kPass));
      EXPECT_GE(pair.grown(MESH_COUNT_SLOW_PATH), 1U);
      const Outcome outcome = pair.run(kUplinkTc, back.bytes());
      EXPECT_EQ(outcome.verdict, code(kUplinkTc, Verdict::kPass));
      Frame expected = back;
      expected.tunnel.reset();
      expected.destination = endpoint_mac("10.0.0.2");
      expected.source = endpoint_mac("10.0.0.1");
      EXPECT_EQ(hex(outcome.frame), hex(expected.bytes()));
    }
  }
  // Hosts had different rings: it may have been missed. And at a host where it did not enter nobody would understand.
  Frame mixed = on_its_way(data(8101), 1, MESH_STAGE_CIRCLE);
  mixed.tunnel->flags |= MESH_TUNNEL_MIXED;
  mixed.tunnel->stop = 2;
  mixed.destination_port = 8104;
  EXPECT_EQ(pair.run(kUplink, mixed.bytes()).verdict, code(kUplink, Verdict::kDrop));
  Frame astray = on_its_way(data(8101), 2, MESH_STAGE_CREATE);
  astray.tunnel->stop = 1;
  EXPECT_EQ(pair.run(kUplink, astray.bytes()).verdict, code(kUplink, Verdict::kDrop));
  EXPECT_GE(pair.grown(MESH_COUNT_NO_BINDING), 1U);
}

TEST(Draining, NewConnectionsAreRefusedAtOnce) {
  Pair& pair = draining();
  for (const __u16 port : {__u16{8101}, __u16{8102}, __u16{8103}, __u16{8104}}) {
    EXPECT_EQ(pair.run(kUplink, from_client(6, port).bytes()).verdict, code(kUplink, Verdict::kPass)) << port;
    Frame inside = from_a("10.0.0.5", "192.0.2.1", 6, 40000, port);
    inside.tcp_flags = 0x02;
    EXPECT_EQ(pair.run(kEndpoint, inside.bytes()).verdict, code(kEndpoint, Verdict::kPass)) << port;
  }
  // A datagram may belong to a flow.
  EXPECT_EQ(pair.run(kUplink, from_client(17, 8102).bytes()).verdict, code(kUplink, Verdict::kPass));
  EXPECT_EQ(pair.run(kUplink, from_client(17, 8101).bytes()).verdict, code(kUplink, Verdict::kRedirect));
}

TEST(Draining, WithNobodyToAskItIsRefusedHere) {
  Pair& pair = draining();
  for (const __u16 port : {__u16{8102}, __u16{8104}}) {
    const Frame sent = data(port);
    const Outcome outcome = pair.run(kUplink, sent.bytes());
    EXPECT_EQ(outcome.verdict, code(kUplink, Verdict::kPass)) << port;
    EXPECT_EQ(hex(outcome.frame), hex(sent.bytes())) << port;
    const Frame inside = from_a("10.0.0.5", "192.0.2.1", 6, 40000, port);
    EXPECT_EQ(pair.run(kEndpoint, inside.bytes()).verdict, code(kEndpoint, Verdict::kPass)) << port;
    EXPECT_GE(pair.grown(MESH_COUNT_EXIT), 1U) << port;
    const Frame own = from_a("10.0.0.1", "10.0.0.2", 6, 40000, port);
    EXPECT_EQ(pair.run("mesh_entry_tc", own.bytes()).verdict, code("mesh_entry_tc", Verdict::kDrop)) << port;
    EXPECT_GE(pair.grown(MESH_COUNT_NO_BACKEND), 1U) << port;
  }
}

// Another host may already have the ring that makes them owners, and a flow of theirs.
TEST(Draining, NotWhileBackendsAreAboutToOwnSlots) {
  Pair& pair = draining();
  (void)pair.grown(MESH_COUNT_RING_MIXED);
  EXPECT_EQ(pair.run(kUplink, data(8103).bytes()).verdict, code(kUplink, Verdict::kDrop));
  EXPECT_EQ(pair.grown(MESH_COUNT_RING_MIXED), 1U);
}

TEST(Draining, ANewerHostSendsItBackToTheEntry) {
  Pair& pair = draining();
  Frame old = on_its_way(data(8101), 3, MESH_STAGE_ENTRY, kMovedVersion - 1);  // this host was the owner's
  old.tunnel->stop = 1;
  old.tunnel->binding = 21;
  old.tunnel->backend = 0;
  const Outcome outcome = pair.run(kUplink, old.bytes());
  EXPECT_EQ(outcome.verdict, code(kUplink, Verdict::kRedirect));
  EXPECT_EQ(outcome.frame.at(33), 3);
  EXPECT_EQ(outcome.frame.at(51) & MESH_TUNNEL_MIXED, MESH_TUNNEL_MIXED);
  EXPECT_EQ(outcome.frame.at(52) << 8 | outcome.frame.at(53), 0) << "binding";
}

}  // namespace
}  // namespace mesh::packet
