// Datagrams of a socket that is connected to a gone endpoint: led to another one of its virtual IP, and answered as if
// by the one that was asked.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

constexpr __u32 kVni = 4100;
const std::string kEndpoint = "mesh_endpoint_tc";

struct Family {
  bool v6;
  std::string client, gone, other, vip;
};
const Family kFamilies[] = {{false, "10.1.0.5", "10.1.0.99", "10.1.0.7", "10.1.0.201"},
                            {true, "fd01::5", "fd01::99", "fd01::7", "fd01::201"}};

// The one that is left is on host 2.
Pair& prepared() {
  Pair& pair = Pair::cleared();
  pair.fill([](World& world) {
    for (const Family& family : kFamilies) {
      world.vip(family.vip, kVni, {family.other});
      world.former(kVni, family.gone, family.vip);
      world.endpoint(kVni, family.other, "10.0.0.7", 2, 0);
    }
  });
  pair.grown(MESH_COUNT_DATAGRAM_LED);
  pair.grown(MESH_COUNT_NOBODY_ANSWERED);
  return pair;
}

Frame asked(const Family& family, __u16 client_port) {
  return from_a(family.client, family.gone, 17, client_port, 9000);
}

Frame led_to_node2(const Frame& sent, const std::string& to) {
  Frame out = sent;
  out.to = to;
  out.ttl--;
  out.tunnel = overlay_to_node2(kVni);
  return out;
}

// The outer source port is the hash of what was sent, not of what it became.
void expect_led(const Outcome& outcome, const Frame& sent, const std::string& to) {
  Bytes expected = led_to_node2(sent, to).bytes();
  ASSERT_EQ(outcome.frame.size(), expected.size());
  std::memcpy(expected.data() + 34, outcome.frame.data() + 34, 2);
  EXPECT_EQ(hex(outcome.frame), hex(expected));
}

Frame answer_from_node2(const Family& family, __u16 client_port, __u16 peer_port = 9000) {
  Frame answer = from_node2(17, client_port, 0, family.v6);
  answer.from = family.other;
  answer.to = family.client;
  answer.source_port = peer_port;
  answer.destination_port = client_port;
  answer.tunnel->kind = MESH_KIND_OVERLAY;
  answer.tunnel->vni = kVni;
  return answer;
}

void expect_comes_from(const Outcome& outcome, const Frame& answer, const std::string& source) {
  Frame expected = answer;
  expected.tunnel.reset();
  expected.from = source;
  expected.destination = endpoint_mac("10.0.0.5");
  expected.source = endpoint_mac("10.0.0.1");
  EXPECT_EQ(hex(outcome.frame), hex(expected.bytes()));
}

void expect_delivered_to_b(const Outcome& outcome, Frame sent) {
  sent.ttl--;
  sent.destination = endpoint_mac("10.0.0.6");
  sent.source = endpoint_mac("10.0.0.1");
  EXPECT_EQ(hex(outcome.frame), hex(sent.bytes()));
}

TEST(Lead, DatagramsGoToWhoLivesAndAnswersComeFromWhomWasAsked) {
  for (const Family& family : kFamilies) {
    Pair& pair = prepared();
    const Frame sent = asked(family, 1001);
    expect_led(pair.run(kEndpoint, sent.bytes()), sent, family.other);
    EXPECT_EQ(pair.grown(MESH_COUNT_DATAGRAM_LED), 1U);
    for (const char* uplink : {"mesh_uplink_xdp", "mesh_uplink_tc"}) {
      SCOPED_TRACE(uplink);
      const Frame answer = answer_from_node2(family, 1001);
      expect_comes_from(pair.run(uplink, answer.bytes()), answer, family.gone);
      // Of another port of that endpoint, or to another of the client's, it is nobody's answer.
      const Frame others[] = {answer_from_node2(family, 1001, 9001), answer_from_node2(family, 1002)};
      for (const Frame& other : others) expect_comes_from(pair.run(uplink, other.bytes()), other, family.other);
    }
  }
}

TEST(Lead, AFlowStaysWhereItWasLedAsLongAsThatLives) {
  const Family& family = kFamilies[0];
  Pair& pair = prepared();
  const Frame sent = asked(family, 1010);
  expect_led(pair.run(kEndpoint, sent.bytes()), sent, family.other);
  pair.fill([&](World& world) { world.vip(family.vip, kVni, {"10.1.0.6"}); });
  expect_led(pair.run(kEndpoint, sent.bytes()), sent, family.other);
  EXPECT_EQ(pair.grown(MESH_COUNT_DATAGRAM_LED), 1U);
  pair.fill([&](World& world) { world.no_endpoint(kVni, family.other); });
  const Outcome moved = pair.run(kEndpoint, sent.bytes());
  EXPECT_EQ(pair.redirect(), fmt::format("peer {}", kEndpointB));
  EXPECT_EQ(pair.grown(MESH_COUNT_DATAGRAM_LED), 1U);
  Frame delivered = sent;
  delivered.to = "10.1.0.6";
  expect_delivered_to_b(moved, delivered);
}

TEST(Lead, AnAnswerOnTheSameHostComesFromWhomWasAsked) {
  Pair& pair = prepared();
  mesh_lead_key key{.vni = kVni,
                    .client = address("10.1.0.6"),
                    .peer = address("10.1.0.5"),
                    .client_port = __builtin_bswap16(1020),
                    .peer_port = __builtin_bswap16(9000),
                    .kind = MESH_LEAD_ANSWERS};
  pair.fill([&](World& world) { world.lead(key, "10.1.0.99"); });
  const Frame answer = from_a("10.1.0.5", "10.1.0.6", 17, 9000, 1020);
  const Outcome out = pair.run(kEndpoint, answer.bytes());
  EXPECT_EQ(pair.redirect(), fmt::format("peer {}", kEndpointB));
  Frame delivered = answer;
  delivered.from = "10.1.0.99";
  expect_delivered_to_b(out, delivered);
}

TEST(Lead, WhoIsAskedItselfAnswersItself) {
  for (const Family& family : kFamilies) {
    Pair& pair = prepared();
    pair.run(kEndpoint, asked(family, 1030).bytes());
    pair.run(kEndpoint, from_a(family.client, family.other, 17, 1030, 9000).bytes());
    const Frame answer = answer_from_node2(family, 1030);
    expect_comes_from(pair.run("mesh_uplink_xdp", answer.bytes()), answer, family.other);
    // What is forgotten of a flow that is led is known again with its next datagram.
    pair.run(kEndpoint, asked(family, 1030).bytes());
    expect_comes_from(pair.run("mesh_uplink_xdp", answer.bytes()), answer, family.gone);
  }
}

// The sender hears of it as before.
TEST(Lead, ToNobodyWhereThereIsNone) {
  struct Case {
    const char* name;
    void (*change)(World& world, const Family& family);
  };
  const Case table[] = {
      {"the virtual IP is another service's",
       [](World& world, const Family& family) { world.former(kVni, family.gone, family.vip, kVipService + 1); }},
      {"it is another network's",
       [](World& world, const Family& family) { world.vip(family.vip, kVni + 1, {family.other}); }},
      {"it has no backend", [](World& world, const Family& family) { world.vip(family.vip, kVni, {}); }},
      {"its only backend is the sender",
       [](World& world, const Family& family) { world.vip(family.vip, kVni, {family.client}); }},
      {"the address was behind none",
       [](World& world, const Family& family) { world.former(kVni, family.gone, family.gone); }},
  };
  __u16 client_port = 1040;
  for (const Case& one : table) {
    SCOPED_TRACE(one.name);
    for (const Family& family : kFamilies) {
      Pair& pair = prepared();
      pair.fill([&](World& world) { one.change(world, family); });
      pair.run(kEndpoint, asked(family, ++client_port).bytes());
      EXPECT_EQ(pair.redirect(), "to 1");
      EXPECT_EQ(pair.grown(MESH_COUNT_NOBODY_ANSWERED), 1U);
      EXPECT_EQ(pair.grown(MESH_COUNT_DATAGRAM_LED), 0U);
    }
  }
}

TEST(Lead, NoFragmentsAndNoOtherProtocol) {
  const Family& family = kFamilies[0];
  Pair& pair = prepared();
  Frame fragment = asked(family, 1060);
  fragment.fragment = 0x2000;
  Frame segment = from_a(family.client, family.gone, 6, 1060, 9000);
  segment.tcp_flags = 0x18;
  for (const Frame& frame : {fragment, segment}) {
    pair.run(kEndpoint, frame.bytes());
    EXPECT_EQ(pair.grown(MESH_COUNT_DATAGRAM_LED), 0U);
  }
}

}  // namespace
}  // namespace mesh::packet
