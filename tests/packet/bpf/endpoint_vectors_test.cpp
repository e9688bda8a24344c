// What a container and the host itself send, packet by packet, through mesh_endpoint_tc and mesh_entry_tc.
#include <cstring>
#include <net/if.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kProgram = "mesh_endpoint_tc";

struct Vector {
  const char* name;
  Bytes frame;
  Verdict verdict;
  Bytes expected;  // empty: not looked at
  std::string redirect;
  int counter = -1;
};

void check(Pair& pair, const Vector& vector, const std::string& program = kProgram) {
  SCOPED_TRACE(program + ": " + vector.name);
  if (vector.counter >= 0) pair.grown(static_cast<__u32>(vector.counter));
  const Outcome outcome = pair.run(program, vector.frame);
  EXPECT_EQ(outcome.verdict, code(program, vector.verdict));
  if (!vector.expected.empty()) EXPECT_EQ(hex(outcome.frame), hex(vector.expected));
  if (!vector.redirect.empty()) EXPECT_EQ(pair.redirect(), vector.redirect);
  if (vector.counter >= 0) EXPECT_EQ(pair.grown(static_cast<__u32>(vector.counter)), 1u);
}

void check_all(const std::vector<Vector>& vectors) {
  Pair& pair = Pair::cleared();
  for (const Vector& vector : vectors) check(pair, vector);
}

Bytes changed(Bytes frame, std::size_t at, std::uint8_t value) {
  frame.at(at) = value;
  return frame;
}

Bytes arp(unsigned operation, const Mac& sender_mac, const std::string& sender, const std::string& target,
          const Mac& eth_source, const Mac& eth_destination, const Mac& target_mac = {}) {
  Bytes frame(eth_destination.begin(), eth_destination.end());
  frame.insert(frame.end(), eth_source.begin(), eth_source.end());
  const Bytes header = {8, 6, 0, 1, 8, 0, 6, 4, 0, static_cast<std::uint8_t>(operation)};
  frame.insert(frame.end(), header.begin(), header.end());
  const auto add = [&](const Mac& mac, const std::string& ip) {
    const mesh_address value = address(ip);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value.word[3]);
    frame.insert(frame.end(), mac.begin(), mac.end());
    frame.insert(frame.end(), bytes, bytes + 4);
  };
  add(sender_mac, sender);
  add(target_mac, target);
  return frame;
}

// Neighbour solicitation (135) or advertisement (136) with its one option.
Bytes neighbour(unsigned type, const std::string& from, const std::string& to, const std::string& target,
                const Mac& option_mac, const Mac& source, const Mac& destination, unsigned hops = 255) {
  const mesh_address value = address(target);
  Bytes message = {
      static_cast<std::uint8_t>(type), 0, 0, 0, static_cast<std::uint8_t>(type == 136 ? 0x60 : 0), 0, 0, 0};
  message.insert(message.end(), reinterpret_cast<const std::uint8_t*>(&value),
                 reinterpret_cast<const std::uint8_t*>(&value) + 16);
  message.push_back(type == 136 ? 2 : 1);
  message.push_back(1);
  message.insert(message.end(), option_mac.begin(), option_mac.end());
  Bytes covered;
  for (const std::string& text : {from, to}) {
    const mesh_address each = address(text);
    covered.insert(covered.end(), reinterpret_cast<const std::uint8_t*>(&each),
                   reinterpret_cast<const std::uint8_t*>(&each) + 16);
  }
  covered.insert(covered.end(), {0, 0, 0, 32, 0, 0, 0, 58});
  covered.insert(covered.end(), message.begin(), message.end());
  const std::uint16_t checksum = slow_checksum(covered);
  message[2] = static_cast<std::uint8_t>(checksum >> 8);
  message[3] = static_cast<std::uint8_t>(checksum);
  Frame frame;
  frame.source = source;
  frame.destination = destination;
  frame.from = from;
  frame.to = to;
  frame.protocol = 58;
  frame.ttl = static_cast<__u8>(hops);
  frame.payload = std::string(message.begin(), message.end());
  return frame.bytes();
}

std::string ping_text(unsigned type, bool v6, const std::string& from, const std::string& to,
                      const Bytes& content = {0x12, 0x34, 0, 7, 'p', 'i', 'n', 'g'}) {
  Bytes message = {static_cast<std::uint8_t>(type), 0, 0, 0};
  message.insert(message.end(), content.begin(), content.end());
  Bytes covered;
  if (v6) {
    for (const std::string& text : {from, to}) {
      const mesh_address each = address(text);
      covered.insert(covered.end(), reinterpret_cast<const std::uint8_t*>(&each),
                     reinterpret_cast<const std::uint8_t*>(&each) + 16);
    }
    covered.insert(covered.end(), {0, 0, 0, static_cast<std::uint8_t>(message.size()), 0, 0, 0, 58});
  }
  covered.insert(covered.end(), message.begin(), message.end());
  const std::uint16_t checksum = slow_checksum(covered);
  message[2] = static_cast<std::uint8_t>(checksum >> 8);
  message[3] = static_cast<std::uint8_t>(checksum);
  return {message.begin(), message.end()};
}

const Mac kA = endpoint_mac("10.0.0.5");
const Mac kGateway = endpoint_mac("10.0.0.1");
const Mac kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

TEST(Endpoint, NeighboursAreAnswered) {
  const Bytes request = arp(1, kA, "10.0.0.5", "10.0.0.1", kA, kBroadcast);
  const Mac all_nodes = {0x33, 0x33, 0, 0, 0, 1};
  check_all({
      {"ARP", request, Verdict::kRedirect, arp(2, kGateway, "10.0.0.1", "10.0.0.5", kGateway, kA, kA), "to 1",
       MESH_COUNT_NEIGHBOUR_ANSWERED},
      {"ARP for its own address", arp(1, kA, "0.0.0.0", "10.0.0.5", kA, kBroadcast), Verdict::kPass, {}, "", -1},
      {"true ARP answer", arp(2, kA, "10.0.0.5", "10.0.0.1", kA, kGateway), Verdict::kPass, {}, "", -1},
      {"false ARP answer",
       arp(2, kA, "10.0.0.1", "10.0.0.1", kA, kGateway),
       Verdict::kDrop,
       {},
       "",
       MESH_COUNT_SPOOFED},
      {"ARP cut", Bytes(request.begin(), request.begin() + 41), Verdict::kDrop, {}, "", MESH_COUNT_MALFORMED},
      {"ARP of another kind", changed(request, 15, 9), Verdict::kDrop, {}, "", MESH_COUNT_MALFORMED},
      {"ARP operation", changed(request, 21, 9), Verdict::kDrop, {}, "", MESH_COUNT_UNSUPPORTED},
      {"solicitation", neighbour(135, "fd00::5", "ff02::1:ff00:1", "fd00::1", kA, kA, all_nodes), Verdict::kRedirect,
       neighbour(136, "fd00::1", "fd00::5", "fd00::1", kGateway, kGateway, kA), "to 1", MESH_COUNT_NEIGHBOUR_ANSWERED},
      {"solicitation from afar",
       neighbour(135, "fd00::5", "ff02::1:ff00:1", "fd00::1", kA, kA, all_nodes, 64),
       Verdict::kDrop,
       {},
       "",
       MESH_COUNT_MALFORMED},
      {"search for duplicates",
       neighbour(135, "::", "ff02::1:ff00:5", "fd00::5", kA, kA, all_nodes),
       Verdict::kPass,
       {},
       "",
       -1},
      {"true advertisement",
       neighbour(136, "fd00::5", "fd00::1", "fd00::5", kA, kA, kGateway),
       Verdict::kPass,
       {},
       "",
       -1},
      {"false advertisement",
       neighbour(136, "fd00::5", "fd00::1", "fd00::1", kA, kA, kGateway),
       Verdict::kDrop,
       {},
       "",
       MESH_COUNT_SPOOFED},
  });
}

TEST(Endpoint, SendsOnlyAsItself) {
  Frame wrong_mac = from_a("10.1.0.5", "10.1.0.6", 6, 1000, 80);
  wrong_mac.source = endpoint_mac("10.0.0.6");
  Frame group = from_a("10.1.0.5", "224.0.0.251", 17, 5353, 5353);
  Frame group6 = from_a("fd01::5", "ff02::fb", 17, 5353, 5353);
  const Bytes good = from_a("10.1.0.5", "10.1.0.6", 6, 1000, 80).bytes();
  check_all({
      {"another's address",
       from_a("10.1.0.6", "10.1.0.7", 6, 1000, 80).bytes(),
       Verdict::kDrop,
       {},
       "",
       MESH_COUNT_SPOOFED},
      {"an address of nobody",
       from_a("192.0.2.1", "10.1.0.7", 17, 4789, 4789).bytes(),
       Verdict::kDrop,
       {},
       "",
       MESH_COUNT_SPOOFED},
      {"another's MAC", wrong_mac.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_SPOOFED},
      {"multicast", group.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_MULTICAST},
      {"multicast, IPv6", group6.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_MULTICAST},
      {"IPv4 options", changed(good, 14, 0x46), Verdict::kDrop, {}, "", MESH_COUNT_UNSUPPORTED},
      {"unknown type", changed(changed(good, 12, 0x88), 13, 0xcc), Verdict::kDrop, {}, "", MESH_COUNT_UNSUPPORTED},
      {"longer than it is", changed(good, 16, 0x7f), Verdict::kDrop, {}, "", MESH_COUNT_MALFORMED},
  });
}

TEST(Endpoint, ReachesItsOwnNetworks) {
  std::vector<Vector> vectors;
  for (const __u8 protocol : {__u8{6}, __u8{17}, __u8{1}}) {
    const Frame here = from_a("10.1.0.5", "10.1.0.6", protocol, 1000, 80);
    Frame delivered = here;
    delivered.destination = endpoint_mac("10.0.0.6");
    delivered.source = kGateway;
    delivered.ttl--;
    vectors.push_back({"same host", here.bytes(), Verdict::kRedirect, delivered.bytes(),
                       "peer " + std::to_string(kEndpointB), MESH_COUNT_OVERLAY_LOCAL});
    for (const bool v6 : {false, true}) {
      if (protocol == 1) continue;
      Frame sent =
          v6 ? from_a("fd01::5", "fd01::7", protocol, 1000, 80) : from_a("10.1.0.5", "10.1.0.7", protocol, 1000, 80);
      sent.tos = 0x01;
      Frame out = sent;
      out.ttl--;
      out.tunnel = overlay_to_node2(4100);
      out.tunnel->tos = 0x01;
      vectors.push_back({"other host", sent.bytes(), Verdict::kRedirect, out.bytes(),
                         "to " + std::to_string(if_nametoindex("up0")), MESH_COUNT_OVERLAY_OUT});
    }
  }
  Frame old = from_a("10.1.0.5", "10.1.0.7", 6, 1000, 80);
  old.ttl = 1;
  vectors.push_back({"TTL used up", old.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_TTL});
  Frame fragment = from_a("10.1.0.5", "10.1.0.6", 17, 1000, 80);
  fragment.fragment = 0x00b9;
  vectors.push_back({"fragment", fragment.bytes(), Verdict::kRedirect, {}, "peer " + std::to_string(kEndpointB), -1});
  check_all(vectors);
}

TEST(Endpoint, IsIsolated) {
  const auto drop = [](const char* name, const std::string& from, const std::string& to, __u8 protocol, __u16 port,
                       int counter) {
    return Vector{name, from_a(from, to, protocol, 1000, port).bytes(), Verdict::kDrop, {}, "", counter};
  };
  const auto pass = [](const char* name, const std::string& from, const std::string& to, __u8 protocol, __u16 port) {
    return Vector{name, from_a(from, to, protocol, 1000, port).bytes(), Verdict::kPass, {}, "", MESH_COUNT_EXIT};
  };
  check_all({
      drop("other network", "10.0.0.5", "10.2.0.6", 6, 80, MESH_COUNT_ISOLATED),
      drop("other network, from a network", "10.1.0.5", "10.2.0.6", 6, 80, MESH_COUNT_ISOLATED),
      drop("ingress network", "10.0.0.5", "10.0.0.6", 6, 80, MESH_COUNT_ISOLATED),
      drop("the mesh address", "10.0.0.5", "10.0.0.2", 6, 8001, MESH_COUNT_ISOLATED),
      drop("tunnel to a node", "10.0.0.5", "192.0.2.2", 17, 4789, MESH_COUNT_TUNNEL_FORGED),
      drop("tunnel to its own host", "10.0.0.5", "192.0.2.1", 17, 4789, MESH_COUNT_TUNNEL_FORGED),
      drop("the world, as a network's address", "10.1.0.5", "198.51.100.1", 6, 443, MESH_COUNT_ISOLATED),
      pass("DNS", "10.0.0.5", "10.0.0.1", 17, 7953),
      pass("DNS over TCP", "10.0.0.5", "10.0.0.1", 6, 7953),
      pass("the world", "10.0.0.5", "198.51.100.1", 6, 443),
      pass("the world, IPv6", "fd00::5", "2001:db8:1::1", 6, 443),
      pass("its own host", "10.0.0.5", "192.0.2.1", 6, 22),
      pass("another host", "10.0.0.5", "192.0.2.2", 6, 22),
  });
  Pair& pair = Pair::cleared();
  pair.fill(
      [](World& world) { world.endpoint(kIngressVni, "10.0.0.5", "10.0.0.5", 1, kEndpointA, MESH_SOURCE_NO_EXIT); });
  check(pair, drop("internal: the world", "10.0.0.5", "198.51.100.1", 6, 443, MESH_COUNT_INTERNAL));
  check(pair, drop("internal: a host", "10.0.0.5", "192.0.2.2", 6, 22, MESH_COUNT_INTERNAL));
  check(pair, pass("internal: DNS", "10.0.0.5", "10.0.0.1", 17, 7953));
  pair.fill([](World& world) { world.endpoint(kIngressVni, "10.0.0.5", "10.0.0.5", 1, kEndpointA); });
}

// From the address that was asked to the asker, with right checksums.
void expect_answers(const Bytes& answer, const Bytes& asked, bool v6) {
  const long addresses = v6 ? 22 : 26, size = v6 ? 16 : 4, l4 = v6 ? 54 : 34;
  const auto part = [](const Bytes& frame, long from, long bytes) {
    return Bytes(frame.begin() + from, frame.begin() + from + bytes);
  };
  EXPECT_EQ(hex(part(answer, 0, 6)), hex(part(asked, 6, 6)));
  EXPECT_EQ(hex(part(answer, 6, 6)), hex(Bytes(kGateway.begin(), kGateway.end())));
  EXPECT_EQ(hex(part(answer, addresses, size)), hex(part(asked, addresses + size, size)));
  EXPECT_EQ(hex(part(answer, addresses + size, size)), hex(part(asked, addresses, size)));
  const std::uint8_t protocol = answer[v6 ? 20 : 23];
  Bytes covered;
  if (v6 || protocol == 6) {
    covered = part(answer, addresses, 2 * size);
    covered.insert(covered.end(), {0, static_cast<std::uint8_t>(static_cast<long>(answer.size()) - l4), 0, protocol});
  }
  covered.insert(covered.end(), answer.begin() + l4, answer.end());
  EXPECT_EQ(slow_checksum(covered), 0);
  if (!v6) EXPECT_EQ(slow_checksum(part(answer, 14, 20)), 0);
}

// An address of its own network that no endpoint has (any more).
TEST(Endpoint, HearsAtOnceThatNobodyIsThere) {
  enum Answer { kNothing, kReset, kHostError, kPortError };
  struct Case {
    const char* name;
    __u8 protocol, tcp_flags;
    Answer answer;
  };
  const Case table[] = {
      {"data of a connection", 6, 0x18, kReset},
      {"its acknowledgement", 6, 0x10, kReset},
      {"its end", 6, 0x11, kReset},
      {"the answer to a SYN", 6, 0x12, kReset},
      {"a new connection", 6, 0x02, kHostError},
      {"a reset", 6, 0x14, kNothing},
      {"a datagram", 17, 0, kPortError},
  };
  for (const auto& [name, protocol, tcp_flags, answer] : table) {
    for (const bool v6 : {false, true}) {
      const std::string own = v6 ? "fd01::5" : "10.1.0.5", gone = v6 ? "fd01::99" : "10.1.0.99";
      Frame sent = from_a(own, gone, protocol, 1000, 80);
      sent.tcp_flags = tcp_flags;
      Pair& pair = Pair::cleared();
      pair.grown(MESH_COUNT_NOBODY_ANSWERED);
      if (answer == kNothing) {
        check(pair, {name, sent.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_ENDPOINT});
        EXPECT_EQ(pair.grown(MESH_COUNT_NOBODY_ANSWERED), 0U);
        continue;
      }
      const Outcome outcome = pair.run(kProgram, sent.bytes());
      SCOPED_TRACE(name);
      EXPECT_EQ(outcome.verdict, code(kProgram, Verdict::kRedirect));
      EXPECT_EQ(pair.redirect(), "to 1");
      EXPECT_EQ(pair.grown(MESH_COUNT_NOBODY_ANSWERED), 1U);
      const std::size_t l4 = v6 ? 54 : 34;
      expect_answers(outcome.frame, sent.bytes(), v6);
      if (answer == kReset) {
        Bytes segment(outcome.frame.begin() + static_cast<long>(l4), outcome.frame.end());
        ASSERT_EQ(segment.size(), 20U);
        segment[16] = segment[17] = 0;  // the checksum
        // From port 80 to 1000, with the number that was acknowledged.
        EXPECT_EQ(hex(segment), hex({0, 80, 3, 0xe8, 0, 0, 0, 2, 0, 0, 0, 0, 0x50, 4, 0, 0, 0, 0, 0, 0}));
      } else {
        ASSERT_EQ(outcome.frame.size(), l4 + 8 + (v6 ? 60 : 40));
        EXPECT_EQ(outcome.frame[l4], v6 ? 1 : 3);
        EXPECT_EQ(outcome.frame[l4 + 1], answer == kPortError ? (v6 ? 4 : 3) : (v6 ? 3 : 1));
      }
    }
  }
}

TEST(Endpoint, PingsVirtualIps) {
  std::vector<Vector> vectors;
  for (const bool v6 : {false, true}) {
    const std::string own = v6 ? "fd01::5" : "10.1.0.5";
    const std::string vip = v6 ? "fd01::200" : "10.1.0.200";
    Frame request = from_a(own, vip, v6 ? 58 : 1, 0, 0);
    request.payload = ping_text(v6 ? 128 : 8, v6, own, vip);
    Frame reply = request;
    reply.from = vip;
    reply.to = own;
    reply.payload = ping_text(v6 ? 129 : 0, v6, vip, own);
    reply.source = kGateway;
    reply.destination = kA;
    vectors.push_back({"ping", request.bytes(), Verdict::kRedirect, reply.bytes(), "to 1", MESH_COUNT_ECHO_ANSWERED});
    // An answer of zeros alone is the one message whose checksum is not 0 but its other form.
    const Bytes zeros(4);
    request.payload = ping_text(v6 ? 128 : 8, v6, own, vip, zeros);
    reply.payload = ping_text(v6 ? 129 : 0, v6, vip, own, zeros);
    vectors.push_back({"ping of zeros", request.bytes(), Verdict::kRedirect, reply.bytes(), "to 1", -1});
  }
  vectors.push_back({"TCP that was not translated",
                     from_a("10.1.0.5", "10.1.0.200", 6, 1000, 80).bytes(),
                     Verdict::kDrop,
                     {},
                     "",
                     MESH_COUNT_NO_ENDPOINT});
  vectors.push_back({"another network's",
                     from_a("10.1.0.5", "10.2.0.200", 1, 0, 0).bytes(),
                     Verdict::kDrop,
                     {},
                     "",
                     MESH_COUNT_ISOLATED});
  check_all(vectors);
}

// A client's packet in, the endpoint's answer out.
TEST(Endpoint, RepliesGoBackWhereTheyCameFrom) {
  for (const __u8 protocol : {__u8{6}, __u8{17}}) {
    for (const bool v6 : {false, true}) {
      Pair& pair = Pair::cleared();
      const auto binding = static_cast<__u16>(protocol == 6 ? 1 : 11);
      pair.run("mesh_uplink_tc", from_node2(protocol, 8001, binding, v6).bytes());
      Frame answer = from_a(v6 ? "fd00::5" : "10.0.0.5", v6 ? "2001:db8::9" : "192.0.2.9", protocol, 80, 40000);
      answer.tcp_flags = 0x12;
      Frame out = answer;
      out.ttl--;
      out.from = v6 ? "2001:db8::2" : "192.0.2.2";
      out.source_port = 8001;
      out.tunnel = reply_to_node2();
      pair.grown(MESH_COUNT_REPLY_OUT);
      const Outcome outcome = pair.run(kProgram, answer.bytes());
      EXPECT_EQ(outcome.verdict, code(kProgram, Verdict::kRedirect));
      // The outer source port is the flow's hash on this host, which its seed keeps to itself.
      Bytes expected = out.bytes();
      std::memcpy(expected.data() + 34, outcome.frame.data() + 34, 2);
      EXPECT_EQ(hex(outcome.frame), hex(expected));
      EXPECT_EQ(pair.grown(MESH_COUNT_REPLY_OUT), 1u);

      // This host was the entry: out to the client.
      pair.run("mesh_uplink_xdp", from_client(protocol, 8001, v6).bytes());
      Frame direct = out;
      direct.tunnel.reset();
      direct.from = v6 ? "2001:db8::1" : "192.0.2.1";
      const Frame second = from_client(protocol, 8001, v6);
      // Another flow of the same client port: the endpoint saw another port.
      const Outcome entered = pair.run("mesh_uplink_xdp", second.bytes());
      const std::size_t ports = 14u + (v6 ? 40 : 20);
      const auto given = static_cast<__u16>(entered.frame[ports] << 8 | entered.frame[ports + 1]);
      EXPECT_NE(given, 40000);
      answer.destination_port = given;
      const Outcome back = pair.run(kProgram, answer.bytes());
      EXPECT_EQ(pair.redirect(), "neigh " + std::to_string(if_nametoindex("up0")));
      const Bytes wanted = direct.packet();
      EXPECT_EQ(hex(Bytes(back.frame.begin() + 14, back.frame.end())), hex(wanted));
    }
  }
}

TEST(Endpoint, UsesPublishedPortsOfAnyHost) {
  Pair& pair = Pair::cleared();
  Frame sent = from_a("10.0.0.5", "192.0.2.2", 6, 40000, 8002);
  sent.tcp_flags = 0x02;
  Frame out = sent;
  out.ttl--;
  out.tunnel = forward_to_node2(7);
  check(pair, {"remote backend", sent.bytes(), Verdict::kRedirect, out.bytes(), "", MESH_COUNT_ENTRY});
  // Itself: it sees the mesh address, and its answer comes back to it.
  sent.destination_port = 8001;
  Frame looped = delivered_to_a(sent);
  looped.from = "10.0.0.2";
  check(pair, {"itself", sent.bytes(), Verdict::kRedirect, looped.bytes(), "peer 1", MESH_COUNT_ENTRY_LOCAL});
  Frame answer = from_a("10.0.0.5", "10.0.0.2", 6, 80, 40000);
  answer.tcp_flags = 0x12;
  Frame back = answer;
  back.ttl--;
  back.source = kGateway;
  back.destination = kA;
  back.from = "192.0.2.2";
  back.source_port = 8001;
  back.to = "10.0.0.5";
  check(pair, {"its answer", answer.bytes(), Verdict::kRedirect, back.bytes(), "peer 1", MESH_COUNT_REPLY_OUT});
}

TEST(Entry, HostsOwnConnections) {
  Pair& pair = Pair::cleared();
  const std::string program = "mesh_entry_tc";
  Frame sent = from_client(6, 8002);
  sent.from = "192.0.2.1";
  sent.to = "10.0.0.2";
  Frame out = sent;
  out.ttl--;
  out.tunnel = forward_to_node2(7);
  check(pair, {"remote", sent.bytes(), Verdict::kRedirect, out.bytes(), "", MESH_COUNT_ENTRY}, program);
  sent.destination_port = 8001;
  check(pair, {"local", sent.bytes(), Verdict::kRedirect, delivered_to_a(sent).bytes(), "peer 1", -1}, program);
  Frame answer = from_a("10.0.0.5", "192.0.2.1", 6, 80, 40000);
  answer.tcp_flags = 0x12;
  Frame back = answer;
  back.ttl--;
  back.from = "10.0.0.2";
  back.source_port = 8001;
  back.destination = endpoint_mac("10.0.0.2");
  back.source = kGateway;
  check(pair,
        {"answer", answer.bytes(), Verdict::kRedirect, back.bytes(), "ingress " + std::to_string(kMeshInterface), -1});
  sent.destination_port = 22;
  check(pair, {"not published", sent.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_BACKEND}, program);
  sent.to = "224.0.0.1";
  check(pair, {"multicast", sent.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_MULTICAST}, program);
  check(pair,
        {"ARP",
         arp(1, kUplinkMac, "192.0.2.1", "10.0.0.2", kUplinkMac, kBroadcast),
         Verdict::kRedirect,
         {},
         "to 1",
         MESH_COUNT_NEIGHBOUR_ANSWERED},
        program);
}

}  // namespace
}  // namespace mesh::packet
