// ICMP errors about flows of the mesh, both ways and of both families, through the programs in the kernel and natively.
// Every checksum is computed anew for what is expected.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kEndpoint = "mesh_endpoint_tc";
constexpr __u16 kPort = 8001, kBinding = 1, kUdpBinding = 11, kTarget = 80, kRemotePort = 8002, kClientPort = 40000;

bool is_v6(const std::string& address_text) { return address_text.find(':') != std::string::npos; }

// "Fragmentation needed" or "packet too big" with an MTU of 1300, from `from` to `to`, about `about`.
Frame error(const Frame& about, const std::string& from, const std::string& to) {
  Frame frame = about;
  frame.tunnel.reset();
  frame.from = from;
  frame.to = to;
  frame.ttl = 60;
  const bool v6 = is_v6(from);
  frame.protocol = v6 ? 58 : 1;
  const Bytes quoted = about.packet();
  const std::string head =
      v6 ? std::string("\x02\x00\x00\x00\x00\x00\x05\x14", 8) : std::string("\x03\x04\x00\x00\x00\x00\x05\x14", 8);
  std::string message = head + std::string(quoted.begin(), quoted.end());
  Bytes covered;
  if (v6) {
    // The pseudo-header (RFC 8200 §8.1).
    for (const std::string& one : {from, to}) {
      const mesh_address bytes = address(one);
      const auto* start = reinterpret_cast<const std::uint8_t*>(&bytes);
      covered.insert(covered.end(), start, start + 16);
    }
    const Bytes length = {
        0, 0, static_cast<std::uint8_t>(message.size() >> 8), static_cast<std::uint8_t>(message.size()), 0, 0, 0, 58};
    covered.insert(covered.end(), length.begin(), length.end());
  }
  covered.insert(covered.end(), message.begin(), message.end());
  const std::uint16_t checksum = slow_checksum(covered);
  message[2] = static_cast<char>(checksum >> 8);
  message[3] = static_cast<char>(checksum & 0xff);
  frame.payload = message;
  return frame;
}

// Of the innermost packet; what quotes it has no business with the transport checksum inside, which is left out.
std::string without_quoted_checksum(const Bytes& frame, std::size_t l3, __u8 protocol, bool v6) {
  const std::size_t ip = v6 ? 40 : 20;
  const std::size_t at = l3 + ip + 8 + ip + (protocol == 6 ? 16 : protocol == 17 ? 6 : 8);
  Bytes bytes(frame.begin() + static_cast<long>(l3), frame.end());
  bytes.at(at - l3) = bytes.at(at - l3 + 1) = 0;
  // The error's own checksum covers it.
  bytes.at(ip + 2) = bytes.at(ip + 3) = 0;
  return hex(bytes);
}

struct Family {
  const char *client, *router, *host, *other_host, *endpoint;
};
constexpr Family kFamilies[] = {{"192.0.2.9", "198.51.100.1", "192.0.2.1", "192.0.2.2", "10.0.0.5"},
                                {"2001:db8::9", "2001:db8:77::1", "2001:db8::1", "2001:db8::2", "fd00::5"}};

// The checksum of the ICMP message in the innermost packet is right.
void expect_good_checksum(const Bytes& frame, std::size_t l3, bool v6) {
  const std::size_t ip = v6 ? 40 : 20;
  Bytes covered;
  if (v6) {
    covered.assign(frame.begin() + static_cast<long>(l3) + 8, frame.begin() + static_cast<long>(l3) + 40);
    const std::size_t size = frame.size() - l3 - ip;
    const Bytes length = {0, 0, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size), 0, 0, 0, 58};
    covered.insert(covered.end(), length.begin(), length.end());
  }
  covered.insert(covered.end(), frame.begin() + static_cast<long>(l3 + ip), frame.end());
  EXPECT_EQ(slow_checksum(covered), 0);
}

class Errors : public testing::TestWithParam<std::tuple<const char*, __u8, bool>> {
 protected:
  [[nodiscard]] std::string program() const { return std::get<0>(GetParam()); }
  [[nodiscard]] __u8 protocol() const { return std::get<1>(GetParam()); }
  [[nodiscard]] bool v6() const { return std::get<2>(GetParam()); }
  [[nodiscard]] const Family& family() const { return kFamilies[v6() ? 1 : 0]; }
  [[nodiscard]] __u16 binding() const { return protocol() == 6 ? kBinding : is_sctp() ? kSctpBinding : kUdpBinding; }
  [[nodiscard]] bool is_sctp() const { return protocol() == 132; }
  [[nodiscard]] __u16 target() const { return is_sctp() ? kPort : kTarget; }

  // A flow of the client through node 2, with its record here.
  Pair& with_flow() {
    Pair& pair = Pair::cleared();
    pair.run(program(), from_node2(protocol(), kPort, binding(), v6()).bytes());
    pair.grown(MESH_COUNT_ERROR_TRANSLATED);
    return pair;
  }
  // What the client sees of the endpoint's answers.
  [[nodiscard]] Frame answer_seen(const char* host) const {
    Frame frame = from_client(protocol(), kPort, v6());
    std::swap(frame.from, frame.to);
    frame.from = host;
    frame.source_port = kPort;
    frame.destination_port = kClientPort;
    frame.tcp_flags = 0x10;
    return frame;
  }
  [[nodiscard]] Frame answer_sent() const {
    Frame frame = answer_seen(family().endpoint);
    frame.source_port = target();
    return frame;
  }
};

TEST_P(Errors, OfARouterOrTheClientReachTheEndpoint) {
  for (const char* sender : {family().router, family().client}) {
    Pair& pair = with_flow();
    Frame arriving = error(answer_seen(family().other_host), sender, family().other_host);
    Frame carried = from_node2(protocol(), kPort, binding(), v6());
    carried.from = arriving.from;
    carried.to = arriving.to;
    carried.protocol = arriving.protocol;
    carried.payload = arriving.payload;
    carried.ttl = arriving.ttl;
    const Outcome out = pair.run(program(), carried.bytes());
    ASSERT_EQ(out.verdict, code(program(), Verdict::kRedirect)) << sender;
    const Frame expected = error(answer_sent(), sender, family().endpoint);
    EXPECT_EQ(without_quoted_checksum(out.frame, 14, protocol(), v6()),
              without_quoted_checksum(expected.bytes(), 14, protocol(), v6()));
    expect_good_checksum(out.frame, 14, v6());
    EXPECT_EQ(pair.grown(MESH_COUNT_ERROR_TRANSLATED), 1u);
  }
}

TEST_P(Errors, EnterTheMeshAsTheFlowThatTheyAreAbout) {
  Pair& pair = Pair::cleared();
  Frame about = answer_seen(family().host);
  about.source_port = kRemotePort;
  const Frame arriving = error(about, family().router, family().host);
  Frame framed = arriving;
  framed.destination = kUplinkMac;
  framed.source = kClientMac;
  const Outcome out = pair.run(program(), framed.bytes());
  ASSERT_EQ(out.verdict, code(program(), Verdict::kRedirect));
  EXPECT_EQ(out.frame.at(33), 2) << "to the backend's host";
  Frame inside = arriving;
  inside.ttl--;
  EXPECT_EQ(hex(Bytes(out.frame.begin() + 64, out.frame.end())), hex(inside.packet())) << "untouched on its way";
}

TEST_P(Errors, OfTheEndpointReachTheClient) {
  Pair& pair = with_flow();
  Frame about = from_client(protocol(), target(), v6());
  about.to = family().endpoint;
  Frame sent = error(about, family().endpoint, family().client);
  const Frame from = from_a("10.0.0.5", "192.0.2.9", 6, 1, 1);
  sent.destination = from.destination;
  sent.source = from.source;
  const Outcome out = pair.run(kEndpoint, sent.bytes());
  ASSERT_EQ(out.verdict, code(kEndpoint, Verdict::kRedirect));
  EXPECT_EQ(out.frame.at(33), 2) << "through the entry host";
  Frame original = about;
  original.to = family().other_host;
  original.destination_port = kPort;
  Frame expected = error(original, family().other_host, family().client);
  expected.ttl--;
  Bytes whole = expected.bytes();
  EXPECT_EQ(without_quoted_checksum(out.frame, 64, protocol(), v6()),
            without_quoted_checksum(whole, 14, protocol(), v6()));
  expect_good_checksum(out.frame, 64, v6());
}

TEST_P(Errors, OfNoFlowGoWhereTheyWouldHaveGone) {
  Pair& pair = Pair::cleared();
  Frame about = answer_seen(family().host);
  about.source_port = 9999;
  Frame arriving = error(about, family().router, family().host);
  arriving.destination = kUplinkMac;
  arriving.source = kClientMac;
  EXPECT_EQ(pair.run(program(), arriving.bytes()).verdict, code(program(), Verdict::kPass)) << "no published port";
  // One that quotes what this host did not send is none of a flow.
  Frame lie = error(answer_seen(family().other_host), family().router, family().host);
  lie.destination = kUplinkMac;
  lie.source = kClientMac;
  EXPECT_EQ(pair.run(program(), lie.bytes()).verdict, code(program(), Verdict::kPass));
  // One that ends before the ports of what it quotes, whatever lies behind its end, is none either.
  about.source_port = kRemotePort;
  Frame whole = error(about, family().router, family().host);
  whole.destination = kUplinkMac;
  whole.source = kClientMac;
  Bytes shorter = whole.bytes();
  shorter.at(v6() ? 18 : 16) = 0;
  shorter.at(v6() ? 19 : 17) = 51;  // of 52, or of 40 + 52
  EXPECT_EQ(pair.run(program(), shorter).verdict, code(program(), Verdict::kPass)) << "ends in its quote";
  // Nobody's flow makes no record.
  Frame carried = from_node2(protocol(), kPort, binding(), v6());
  const Frame unknown = error(answer_seen(family().other_host), family().router, family().other_host);
  carried.from = unknown.from;
  carried.to = unknown.to;
  carried.protocol = unknown.protocol;
  carried.payload = unknown.payload;
  pair.grown(MESH_COUNT_FLOW_CREATED);
  pair.grown(MESH_COUNT_FLOW_REOPENED);
  pair.run(program(), carried.bytes());
  EXPECT_EQ(pair.grown(MESH_COUNT_FLOW_CREATED) + pair.grown(MESH_COUNT_FLOW_REOPENED), 0u);
}

INSTANTIATE_TEST_SUITE_P(Hooks, Errors,
                         testing::Combine(testing::Values("mesh_uplink_xdp", "mesh_uplink_tc"),
                                          testing::Values(__u8{6}, __u8{17}, __u8{132}), testing::Bool()));

}  // namespace
}  // namespace mesh::packet
