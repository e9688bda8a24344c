// What the programs count of each backend of this host: packets, bytes, connections, resets in both directions.
#include <gtest/gtest.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kUplink = "mesh_uplink_tc", kEndpoint = "mesh_endpoint_tc";
constexpr __u16 kPort = 8001, kBinding = 1, kUdpBinding = 11, kTarget = 80;
constexpr __u8 kFin = 0x01, kSyn = 0x02, kRst = 0x04, kAck = 0x10;

struct Packet {
  std::string what;
  bool from_client = true;
  __u8 tcp_flags = 0;
  std::uint64_t connections = 0, resets_in = 0, resets_out = 0;  // what it adds
};

Frame frame_of(const Packet& packet, __u8 protocol) {
  Frame frame =
      packet.from_client ? from_client(protocol, kPort) : from_a("10.0.0.5", "192.0.2.9", protocol, kTarget, 40000);
  frame.tcp_flags = packet.tcp_flags;
  return frame;
}

void run_all(const std::vector<Packet>& packets, __u8 protocol) {
  Pair& pair = Pair::cleared();
  const __u16 binding = protocol == 6 ? kBinding : kUdpBinding;
  mesh_binding_traffic before = pair.traffic(binding);
  for (const Packet& packet : packets) {
    SCOPED_TRACE(packet.what);
    const Frame frame = frame_of(packet, protocol);
    const std::string& program = packet.from_client ? kUplink : kEndpoint;
    EXPECT_EQ(pair.run(program, frame.bytes()).verdict, code(program, Verdict::kRedirect));
    const mesh_binding_traffic after = pair.traffic(binding);
    const std::size_t size = frame.packet().size();
    EXPECT_EQ(after.in.packets - before.in.packets, packet.from_client ? 1U : 0U);
    EXPECT_EQ(after.in.bytes - before.in.bytes, packet.from_client ? size : 0U);
    EXPECT_EQ(after.out.packets - before.out.packets, packet.from_client ? 0U : 1U);
    EXPECT_EQ(after.out.bytes - before.out.bytes, packet.from_client ? 0U : size);
    EXPECT_EQ(after.connections - before.connections, packet.connections);
    EXPECT_EQ(after.resets_in - before.resets_in, packet.resets_in);
    EXPECT_EQ(after.resets_out - before.resets_out, packet.resets_out);
    before = after;
  }
}

TEST(BackendCounters, AConnectionThatItsClientResets) {
  run_all({{.what = "first SYN", .tcp_flags = kSyn, .connections = 1},
           {.what = "the same SYN again", .tcp_flags = kSyn},
           {.what = "its answer", .from_client = false, .tcp_flags = kSyn | kAck},
           {.what = "data", .tcp_flags = kAck},
           {.what = "reset", .tcp_flags = kRst, .resets_in = 1},
           {.what = "reset again", .tcp_flags = kRst | kAck, .resets_in = 1}},
          6);
}

TEST(BackendCounters, AConnectionThatItsBackendResets) {
  run_all({{.what = "first SYN", .tcp_flags = kSyn, .connections = 1},
           {.what = "refused", .from_client = false, .tcp_flags = kRst | kAck, .resets_out = 1},
           {.what = "next connection with the same ports", .tcp_flags = kSyn, .connections = 1},
           {.what = "accepted", .from_client = false, .tcp_flags = kSyn | kAck},
           {.what = "data", .tcp_flags = kAck},
           {.what = "client's end", .tcp_flags = kFin | kAck},
           {.what = "backend's end", .from_client = false, .tcp_flags = kFin | kAck},
           {.what = "one more after that", .tcp_flags = kSyn, .connections = 1}},
          6);
}

TEST(BackendCounters, DatagramsOfOneClientPortAreOneConnection) {
  run_all({{.what = "first", .connections = 1}, {.what = "second"}, {.what = "answer", .from_client = false}}, 17);
}

TEST(BackendCounters, AnErrorIsNoReset) {
  Pair& pair = Pair::cleared();
  Frame syn = from_client(6, kPort);
  pair.run(kUplink, syn.bytes());
  // "Host unreachable" of a router about the answer: read as the flow's own, with a reset's flag.
  Frame answer = from_client(6, kPort);
  std::swap(answer.from, answer.to);
  std::swap(answer.source_port, answer.destination_port);
  const Bytes quoted = answer.packet();
  Frame error = syn;
  error.protocol = 1;
  error.payload = std::string("\x03\x01\x00\x00\x00\x00\x00\x00", 8) + std::string(quoted.begin(), quoted.end());
  const std::uint16_t sum = slow_checksum(Bytes(error.payload.begin(), error.payload.end()));
  error.payload[2] = static_cast<char>(sum >> 8);
  error.payload[3] = static_cast<char>(sum & 0xff);
  const mesh_binding_traffic before = pair.traffic(kBinding);
  EXPECT_EQ(pair.run(kUplink, error.bytes()).verdict, code(kUplink, Verdict::kRedirect));
  const mesh_binding_traffic after = pair.traffic(kBinding);
  EXPECT_EQ(after.in.packets - before.in.packets, 1U);
  EXPECT_EQ(after.resets_in, before.resets_in);
  EXPECT_EQ(after.connections, before.connections);
}

}  // namespace
}  // namespace mesh::packet
