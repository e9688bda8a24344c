// Frames of traces: what is made can be read, checksums are right, answers are what a container would say.
#include <gtest/gtest.h>

#include "dataplane/trace.h"

namespace mesh::dataplane {
namespace {

const MacAddress kFrom{{2, 0, 0, 0, 0, 1}};
const MacAddress kTo{{2, 0, 0, 0, 0, 2}};

SocketAddress socket_of(const char* text) { return *SocketAddress::parse(text); }

// The slow and obvious way: every 16-bit word added up, the pseudo-header included.
std::uint16_t sum_of(const Frame& frame, std::size_t from, const TracedPacket& packet) {
  std::uint64_t sum = packet.protocol + frame.size() - from;
  const auto add = [&](const std::uint8_t* start, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) sum += static_cast<std::uint64_t>(start[i]) << (i % 2 == 0 ? 8 : 0);
  };
  const std::size_t skip = packet.source.ip.is_v4() ? 12 : 0;
  add(packet.source.ip.bytes().data() + skip, 16 - skip);
  add(packet.destination.ip.bytes().data() + skip, 16 - skip);
  add(frame.data() + from, frame.size() - from);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

struct Case {
  const char* source;
  const char* destination;
  std::uint8_t protocol;
  std::uint8_t flags;
};
constexpr Case kCases[] = {{"192.0.2.9:40000", "192.0.2.1:8010", 6, kTcpSyn},
                           {"192.0.2.9:40000", "192.0.2.1:8010", 6, kTcpAck},
                           {"192.0.2.9:1", "192.0.2.1:65535", 17, 0},
                           {"[2001:db8::9]:40000", "[2001:db8::1]:8010", 6, kTcpSyn},
                           {"[2001:db8::9]:40000", "[2001:db8::1]:53", 17, 0}};

TEST(TraceFrame, IsReadAsItWasMade) {
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.source);
    const TracedPacket packet{socket_of(one.source), socket_of(one.destination), one.protocol, one.flags};
    const Frame frame = make_frame(packet, kFrom, kTo);
    const TracedFrame read = read_frame(frame);
    ASSERT_TRUE(read.packet);
    EXPECT_FALSE(read.tunnel);
    EXPECT_EQ(read.to, kTo);
    EXPECT_EQ(read.packet->source, packet.source);
    EXPECT_EQ(read.packet->destination, packet.destination);
    EXPECT_EQ(read.packet->protocol, packet.protocol);
    EXPECT_EQ(read.packet->tcp_flags, packet.tcp_flags);
    EXPECT_EQ(sum_of(frame, packet.source.ip.is_v4() ? 34 : 54, packet), 0xffff) << "checksum";
  }
}

TEST(TraceFrame, AnswersOfAContainer) {
  const struct {
    std::uint8_t protocol, flags;
    bool known;
    int answer;  // flags; -1: none
  } cases[] = {{6, kTcpSyn, true, kTcpSyn | kTcpAck},
               {6, kTcpAck, true, kTcpAck},
               {6, kTcpAck, false, kTcpRst},
               {6, kTcpRst, true, -1},
               {17, 0, true, 0},
               {1, 0, true, -1}};
  for (const auto& one : cases) {
    const TracedPacket packet{socket_of("192.0.2.9:40000"), socket_of("10.0.0.5:80"), one.protocol, one.flags};
    const auto answer = answer_to(make_frame(packet, kFrom, kTo), one.known);
    ASSERT_EQ(answer.has_value(), one.answer >= 0) << int{one.protocol} << " " << int{one.flags};
    if (!answer) continue;
    const TracedFrame read = read_frame(*answer);
    ASSERT_TRUE(read.packet);
    EXPECT_EQ(read.to, kFrom) << "back to who delivered it";
    EXPECT_EQ(read.packet->source, packet.destination);
    EXPECT_EQ(read.packet->destination, packet.source);
    EXPECT_EQ(int{read.packet->tcp_flags}, one.answer);
  }
}

TEST(TraceFrame, WhatIsNoPacketIsNone) {
  EXPECT_FALSE(read_frame({}).packet);
  EXPECT_FALSE(read_frame(Frame(14, 0)).packet);
  Frame cut = make_frame({socket_of("192.0.2.9:1"), socket_of("192.0.2.1:4789"), 17, 0}, kFrom, kTo);
  EXPECT_FALSE(read_frame(cut).tunnel) << "to the port of VXLAN, but nothing in it";
  cut.resize(20);
  EXPECT_FALSE(read_frame(cut).packet);
}

}  // namespace
}  // namespace mesh::dataplane
