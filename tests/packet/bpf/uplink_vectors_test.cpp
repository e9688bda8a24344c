// What arrives on an uplink, packet by packet, through mesh_uplink_xdp and mesh_uplink_tc, in the kernel and natively.
#include <memory>
#include <net/if.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

struct Vector {
  const char* name;
  Bytes frame;
  Verdict verdict;
  Bytes expected;        // empty: not looked at
  std::string redirect;  // native; "": not looked at. Given for XDP; tc delivers to the peer
  int counter = -1;      // grows by one
};

void check(Pair& pair, const std::string& program, const Vector& vector) {
  SCOPED_TRACE(program + ": " + vector.name);
  if (vector.counter >= 0) pair.grown(static_cast<__u32>(vector.counter));
  const Outcome outcome = pair.run(program, vector.frame);
  EXPECT_EQ(outcome.verdict, code(program, vector.verdict));
  if (!vector.expected.empty()) {
    const bool routed = pair.redirect().starts_with("neigh");
    const auto from = [&](const Bytes& bytes) { return hex(Bytes(bytes.begin() + (routed ? 14 : 0), bytes.end())); };
    EXPECT_EQ(from(outcome.frame), from(vector.expected));
  }
  if (vector.verdict != Verdict::kRedirect) EXPECT_EQ(hex(outcome.frame), hex(vector.frame)) << "was changed";
  if (!vector.redirect.empty()) {
    std::string where = vector.redirect;
    if (program == "mesh_uplink_tc" && where.starts_with("deliver")) where = "peer" + where.substr(7);
    if (program == "mesh_uplink_xdp" && where.starts_with("deliver")) where = "to" + where.substr(7);
    if (program == "mesh_uplink_tc" && where.starts_with("client")) where = "neigh" + where.substr(6);
    if (program == "mesh_uplink_xdp" && where.starts_with("client")) where = "to" + where.substr(6);
    EXPECT_EQ(pair.redirect(), where);
  }
  if (vector.counter >= 0) EXPECT_EQ(pair.grown(static_cast<__u32>(vector.counter)), 1u);
}

void check_both(const std::vector<Vector>& vectors) {
  for (const char* program : {"mesh_uplink_xdp", "mesh_uplink_tc"}) {
    Pair& pair = Pair::cleared();
    for (const Vector& vector : vectors) check(pair, program, vector);
  }
}

Bytes changed(Bytes frame, std::size_t at, std::uint8_t value) {
  frame.at(at) = value;
  return frame;
}
Bytes cut(Bytes frame, std::size_t size) {
  frame.resize(size);
  return frame;
}

// The client's frame in the tunnel to node 2, as this host's entry sends it.
Frame entered(const Frame& sent, __u16 binding, __u16 stop = 2, __u32 version = 1, __u8 flags = 0) {
  Frame frame = sent;
  frame.ttl--;
  frame.tunnel = Tunnel{.from = "192.0.2.1",
                        .to = stop == 2 ? "192.0.2.2" : "192.0.2.3",
                        .source = kUplinkMac,
                        .destination = stop == 2 ? kNode2Mac : kNode3Mac,
                        .binding = binding,
                        .entry = 1,
                        .stop = stop,
                        .flags = flags,
                        .version = version,
                        .tos = static_cast<__u8>(sent.tos & 3)};
  return frame;
}

// Data of a flow that has no record here: rule 1 trusts the header's binding. (A SYN would search other hosts first.)
Frame unmoved_data(__u16 port, __u16 binding) {
  Frame frame = from_node2(6, port, binding);
  frame.source_port = 41000;
  frame.tcp_flags = 0x18;
  return frame;
}

std::string to_uplink() { return "to " + std::to_string(if_nametoindex("up0")); }

TEST(Uplink, PassesWhatIsNotOurs) {
  Frame other = from_client(6, 8001);
  other.to = "192.0.2.77";
  Frame icmp = from_client(1, 0);
  Frame fragment = from_client(17, 8001);
  fragment.fragment = 0x0010;
  Frame sctp = from_client(132, 22);
  const Bytes sctp_bytes = from_client(132, 8001).bytes();
  const Bytes good = from_client(6, 8001).bytes();
  const Bytes good6 = from_client(6, 8001, true).bytes();
  const Bytes udp = from_client(17, 8001).bytes();
  check_both({
      {"port not published", from_client(6, 22).bytes(), Verdict::kPass, {}, "", -1},
      {"UDP port not published", from_client(17, 53).bytes(), Verdict::kPass, {}, "", -1},
      {"no backend", from_client(6, 8003).bytes(), Verdict::kPass, {}, "", -1},
      {"another host's address", other.bytes(), Verdict::kPass, {}, "", -1},
      {"ICMP", icmp.bytes(), Verdict::kPass, {}, "", -1},
      {"SCTP port not published", sctp.bytes(), Verdict::kPass, {}, "", -1},
      {"SCTP without backend", from_client(132, 8003).bytes(), Verdict::kPass, {}, "", -1},
      {"cut in the SCTP header", cut(sctp_bytes, 49), Verdict::kPass, {}, "", -1},
      {"ends in its SCTP header", changed(changed(sctp_bytes, 16, 0), 17, 35), Verdict::kPass, {}, "", -1},
      {"later fragment", fragment.bytes(), Verdict::kPass, {}, "", -1},
      {"unknown type", changed(changed(good, 12, 0x88), 13, 0xcc), Verdict::kPass, {}, "", -1},
      {"next to nothing", cut(good, 15), Verdict::kPass, {}, "", -1},
      {"cut in the IP header", cut(good, 30), Verdict::kPass, {}, "", -1},
      {"cut in the TCP header", cut(good, 44), Verdict::kPass, {}, "", -1},
      {"longer than it is", changed(good, 17, 0xff), Verdict::kPass, {}, "", -1},
      {"shorter than its header", changed(changed(good, 16, 0), 17, 19), Verdict::kPass, {}, "", -1},
      {"IPv4 options", changed(good, 14, 0x46), Verdict::kPass, {}, "", -1},
      {"wrong IP version", changed(good, 14, 0x55), Verdict::kPass, {}, "", -1},
      {"impossible header length", changed(good, 14, 0x41), Verdict::kPass, {}, "", -1},
      {"TCP header too short", changed(good, 46, 0x40), Verdict::kPass, {}, "", -1},
      {"ends in its TCP header", changed(changed(good, 16, 0), 17, 39), Verdict::kPass, {}, "", -1},
      {"ends in its UDP header", changed(changed(udp, 16, 0), 17, 27), Verdict::kPass, {}, "", -1},
      {"IPv6 ends in its TCP header", changed(changed(good6, 18, 0), 19, 19), Verdict::kPass, {}, "", -1},
      {"IPv6 cut", cut(good6, 50), Verdict::kPass, {}, "", -1},
      {"IPv6 TCP cut", cut(good6, 60), Verdict::kPass, {}, "", -1},
      {"IPv6 longer than it is", changed(good6, 18, 0x7f), Verdict::kPass, {}, "", -1},
      {"IPv6 wrong version", changed(good6, 14, 0x40), Verdict::kPass, {}, "", -1},
  });
}

TEST(Uplink, EntrySendsToTheBackendsHost) {
  std::vector<Vector> vectors;
  for (const __u8 protocol : {__u8{6}, __u8{17}}) {
    for (const bool v6 : {false, true}) {
      for (const char* payload : {"", "x", "some more payload, odd"}) {
        Frame sent = from_client(protocol, 8002, v6);
        sent.payload = payload;
        sent.tos = 0x2a;
        vectors.push_back({"entry", sent.bytes(), Verdict::kRedirect, entered(sent, protocol == 6 ? 7 : 17).bytes(),
                           to_uplink(), MESH_COUNT_ENTRY});
      }
    }
  }
  Frame bare = from_client(17, 8002);
  bare.without_checksum = true;
  vectors.push_back({"UDP without checksum", bare.bytes(), Verdict::kRedirect, entered(bare, 17).bytes(), to_uplink(),
                     MESH_COUNT_ENTRY});
  check_both(vectors);
}

TEST(Uplink, EntryDeliversToItsOwnEndpoint) {
  std::vector<Vector> vectors;
  for (const __u8 protocol : {__u8{6}, __u8{17}}) {
    for (const bool v6 : {false, true}) {
      for (const char* payload : {"", "x", "some more payload, odd"}) {
        Frame sent = from_client(protocol, 8001, v6);
        sent.payload = payload;
        vectors.push_back({"local", sent.bytes(), Verdict::kRedirect, delivered_to_a(sent).bytes(), "deliver 1",
                           MESH_COUNT_ENTRY_LOCAL});
      }
    }
  }
  Frame bare = from_client(17, 8001);
  bare.without_checksum = true;
  vectors.push_back({"UDP without checksum", bare.bytes(), Verdict::kRedirect, delivered_to_a(bare).bytes(),
                     "deliver 1", MESH_COUNT_ENTRY_LOCAL});
  check_both(vectors);
}

TEST(Uplink, EntryDropsWithAReason) {
  Frame old = from_client(6, 8002);
  old.ttl = 1;
  Frame fragment = from_client(17, 8002);
  fragment.fragment = 0x2000;
  check_both({
      {"TTL used up", old.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_TTL},
      {"first fragment", fragment.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_FRAGMENT},
      {"no way to the node", from_client(6, 8004).bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_NODE},
      {"backend without IPv6", from_client(6, 8008, true).bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_FAMILY},
  });
}

TEST(Uplink, TunnelPacketReachesItsEndpoint) {
  std::vector<Vector> vectors;
  for (const __u8 protocol : {__u8{6}, __u8{17}}) {
    for (const bool v6 : {false, true}) {
      Frame sent = from_node2(protocol, 8001, protocol == 6 ? 1 : 11, v6);
      vectors.push_back({"first packet", sent.bytes(), Verdict::kRedirect, delivered_to_a(sent).bytes(), "deliver 1",
                         MESH_COUNT_FLOW_CREATED});
      sent.tcp_flags = 0x18;
      vectors.push_back(
          {"data", sent.bytes(), Verdict::kRedirect, delivered_to_a(sent).bytes(), "deliver 1", MESH_COUNT_FORWARD_IN});
    }
  }
  Frame marked = from_node2(6, 8001, 1);
  marked.tos = 0x02;
  marked.tunnel->tos = 3;
  Frame seen = delivered_to_a(marked);
  seen.tos = 0x03;
  vectors.push_back({"congestion mark", marked.bytes(), Verdict::kRedirect, seen.bytes(), "deliver 1", -1});
  marked.tos = 0;
  vectors.push_back({"mark nobody would see", marked.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_ECN});
  check_both(vectors);
}

TEST(Uplink, TunnelPacketsAreChecked) {
  Frame stranger = from_node2(6, 8001, 1);
  stranger.tunnel->from = "192.0.2.66";
  Frame spoofed = stranger;
  spoofed.tunnel->entry = 3;
  Frame client = from_node2(6, 8001, 1);
  client.tunnel->from = "192.0.2.9";
  Frame walked = from_node2(6, 8001, 1);  // on its walk: sent on by node 3
  walked.tunnel->from = "192.0.2.3";
  Frame other_vni = stranger;
  other_vni.tunnel->vni = 999;
  Frame version = from_node2(6, 8001, 1);
  version.tunnel->header_version = 9;
  Frame kind = from_node2(6, 8001, 1);
  kind.tunnel->kind = 9;
  Frame icmp = from_node2(1, 0, 1);
  Frame fragment = from_node2(17, 8001, 11);
  fragment.fragment = 0x2000;
  Frame wrong_network = from_node2(6, 8001, 1);
  wrong_network.tunnel->vni = 4100;
  Frame elsewhere = from_node2(6, 8001, 1);
  elsewhere.tunnel->to = "192.0.2.77";
  const Bytes good = from_node2(6, 8001, 1).bytes();
  check_both({
      {"stranger", stranger.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_STRANGER},
      {"stranger that names another node", spoofed.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_STRANGER},
      {"a client's", client.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_STRANGER},
      {"sent on by another node", walked.bytes(), Verdict::kRedirect, delivered_to_a(walked).bytes(), "deliver 1", -1},
      {"another VXLAN", other_vni.bytes(), Verdict::kPass, {}, "", -1},
      {"for another host", elsewhere.bytes(), Verdict::kPass, {}, "", -1},
      {"VXLAN without VNI", changed(good, 42, 0), Verdict::kPass, {}, "", -1},
      {"header version", version.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_TUNNEL_VERSION},
      {"kind", kind.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_TUNNEL_VERSION},
      {"client's packet in a user network", wrong_network.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_TUNNEL_VERSION},
      {"ICMP inside", icmp.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_UNSUPPORTED},
      {"fragment inside", fragment.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_FRAGMENT},
      {"ARP inside", changed(changed(good, 62, 8), 63, 6), Verdict::kDrop, {}, "", MESH_COUNT_MALFORMED},
      {"inner packet longer than it is", changed(good, 66, 0x7f), Verdict::kDrop, {}, "", MESH_COUNT_MALFORMED},
      {"inner TCP header too short", changed(good, 96, 0x10), Verdict::kDrop, {}, "", MESH_COUNT_MALFORMED},
      {"binding of another port", unmoved_data(8001, 2).bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_BINDING},
      {"binding of another protocol", unmoved_data(8001, 11).bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_BINDING},
      {"port not published", from_node2(6, 22, 1).bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_BACKEND},
  });
  // Cut anywhere, it never goes anywhere. (The length fields lie then.)
  for (const char* program : {"mesh_uplink_xdp", "mesh_uplink_tc"}) {
    Pair& pair = Pair::cleared();
    for (std::size_t size = 15; size < good.size(); size++) {
      EXPECT_NE(pair.run(program, cut(good, size)).verdict, code(program, Verdict::kRedirect)) << size;
    }
  }
}

TEST(Uplink, RepliesGoToTheClient) {
  std::vector<Vector> vectors;
  for (const bool v6 : {false, true}) {
    Frame reply = from_node2(6, 40000, 0, v6);
    reply.from = v6 ? "2001:db8::1" : "192.0.2.1";
    reply.to = v6 ? "2001:db8::9" : "192.0.2.9";
    reply.source_port = 8001;
    reply.tunnel->kind = MESH_KIND_REPLY;
    Frame out = reply;
    out.tunnel.reset();
    out.destination = kClientMac;
    out.source = kUplinkMac;
    vectors.push_back({"reply", reply.bytes(), Verdict::kRedirect, out.bytes(),
                       "client " + std::to_string(if_nametoindex("up0")), MESH_COUNT_REPLY_IN});
    // Any node's address may be the source, for containers ask other hosts too; a stranger's may not.
    reply.from = v6 ? "2001:db8:ffff::77" : "198.51.100.77";
    vectors.push_back({"source of no node", reply.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NOT_OURS});
    if (v6) continue;
    reply.from = "192.0.2.1";
    reply.to = "10.0.0.5";
    out = reply;
    out.tunnel.reset();
    out.destination = endpoint_mac("10.0.0.5");
    out.source = endpoint_mac("10.0.0.1");
    vectors.push_back({"client is an endpoint here", reply.bytes(), Verdict::kRedirect, out.bytes(), "deliver 1",
                       MESH_COUNT_REPLY_IN});
  }
  check_both(vectors);
}

TEST(Uplink, RepliesToThisHostsOwnSockets) {
  Pair& pair = Pair::cleared();
  Frame reply = from_node2(6, 40000, 0);
  reply.from = "10.0.0.2";
  reply.to = "192.0.2.1";
  reply.source_port = 8001;
  reply.tunnel->kind = MESH_KIND_REPLY;
  EXPECT_EQ(pair.run("mesh_uplink_xdp", reply.bytes()).verdict, code("mesh_uplink_xdp", Verdict::kPass));
  Frame out = reply;
  out.tunnel.reset();
  out.destination = endpoint_mac("10.0.0.2");
  out.source = endpoint_mac("10.0.0.1");
  check(
      pair, "mesh_uplink_tc",
      {"into mesh0", reply.bytes(), Verdict::kRedirect, out.bytes(), "ingress " + std::to_string(kMeshInterface), -1});
}

TEST(Uplink, NetworksReachTheirEndpoints) {
  Frame sent = from_node2(6, 80, 0);
  sent.from = "10.1.0.7";
  sent.to = "10.1.0.5";
  sent.tunnel->kind = MESH_KIND_OVERLAY;
  sent.tunnel->vni = 4100;
  Frame out = sent;
  out.tunnel.reset();
  out.destination = endpoint_mac("10.0.0.5");
  out.source = endpoint_mac("10.0.0.1");
  Frame sent6 = sent;
  sent6.from = "fd01::7";
  sent6.to = "fd01::5";
  Frame out6 = out;
  out6.from = sent6.from;
  out6.to = sent6.to;
  Frame ping = sent;
  ping.protocol = 1;
  Frame ping_out = out;
  ping_out.protocol = 1;
  Frame unknown = sent;
  unknown.to = "10.1.0.99";
  Frame crossed = sent;
  crossed.tunnel->vni = 4101;
  Frame ingress = sent;
  ingress.to = "10.0.0.5";
  ingress.tunnel->vni = kIngressVni;
  check_both({
      {"IPv4", sent.bytes(), Verdict::kRedirect, out.bytes(), "deliver 1", -1},
      {"IPv6", sent6.bytes(), Verdict::kRedirect, out6.bytes(), "deliver 1", -1},
      {"any protocol", ping.bytes(), Verdict::kRedirect, ping_out.bytes(), "deliver 1", -1},
      {"nobody there", unknown.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_ENDPOINT},
      {"other network's endpoint", crossed.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_ENDPOINT},
      {"ingress network", ingress.bytes(), Verdict::kDrop, {}, "", MESH_COUNT_NO_ENDPOINT},
  });
}

TEST(Uplink, TooBigIsAnsweredByTc) {
  for (const bool v6 : {false, true}) {
    for (const __u16 port : {__u16{8001}, __u16{8002}}) {
      Pair& pair = Pair::cleared();
      Frame sent = from_client(17, port, v6);
      sent.payload = std::string(1451u - (v6 ? 48 : 28), 'x');
      check(pair, "mesh_uplink_xdp", {"too big", sent.bytes(), Verdict::kPass, {}, "", MESH_COUNT_SLOW_PATH});
      pair.grown(MESH_COUNT_TOO_BIG_ANSWERED);
      const Outcome outcome = pair.run("mesh_uplink_tc", sent.bytes());
      EXPECT_EQ(outcome.verdict, code("mesh_uplink_tc", Verdict::kRedirect));
      EXPECT_EQ(pair.redirect(), "to 1");
      EXPECT_EQ(pair.grown(MESH_COUNT_TOO_BIG_ANSWERED), 1u);
      const Bytes original = sent.packet();
      const std::size_t header = v6 ? 40 : 20;
      ASSERT_EQ(outcome.frame.size(), 14 + header + 8 + header + 20);
      const Bytes quoted(outcome.frame.begin() + static_cast<long>(14 + header + 8), outcome.frame.end());
      EXPECT_EQ(hex(quoted), hex(cut(original, header + 20)));
      Bytes icmp(outcome.frame.begin() + static_cast<long>(14 + header), outcome.frame.end());
      EXPECT_EQ(icmp[0], v6 ? 2 : 3);
      EXPECT_EQ(icmp[1], v6 ? 0 : 4);
      EXPECT_EQ(icmp[6] << 8 | icmp[7], 1450);
      if (v6) {
        Bytes covered(outcome.frame.begin() + 14 + 8, outcome.frame.begin() + 14 + 40);
        covered.insert(covered.end(), {0, 0, 0, static_cast<std::uint8_t>(icmp.size()), 0, 0, 0, 58});
        covered.insert(covered.end(), icmp.begin(), icmp.end());
        EXPECT_EQ(slow_checksum(covered), 0);
      } else {
        EXPECT_EQ(slow_checksum(icmp), 0);
        EXPECT_EQ(slow_checksum(Bytes(outcome.frame.begin() + 14, outcome.frame.begin() + 34)), 0);
      }
      sent.payload.pop_back();
      EXPECT_EQ(pair.run("mesh_uplink_xdp", sent.bytes()).verdict, code("mesh_uplink_xdp", Verdict::kRedirect));
    }
  }
}

// A large skb is judged by its segments. Only the judgement: BPF_PROG_TEST_RUN gives an skb a segment size without a
// segment type, which the kernel then refuses to encapsulate; bpf_wire_test sends real ones.
TEST(Uplink, SegmentsCountNotTheWhole) {
  Kernel& kernel = Pair::cleared().kernel();
  Frame sent = from_client(6, 8002);
  sent.tcp_flags = 0x18;
  sent.payload = std::string(3000, 'x');
  const __u64 before = kernel.counter(MESH_COUNT_TOO_BIG);
  (void)kernel.run("mesh_uplink_tc", sent.bytes(), 1410);
  EXPECT_EQ(kernel.counter(MESH_COUNT_TOO_BIG), before);
  (void)kernel.run("mesh_uplink_tc", sent.bytes(), 1411);
  EXPECT_EQ(kernel.counter(MESH_COUNT_TOO_BIG), before + 1);
}

}  // namespace
}  // namespace mesh::packet
