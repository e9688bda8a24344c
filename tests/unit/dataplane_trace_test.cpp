// Frames of traces: what is made can be read, checksums are right, answers are what a container would say.
#include <algorithm>

#include <gtest/gtest.h>

#include "bpf/catch.h"
#include "dataplane/catcher.h"
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

// A row of the ring as the programs write it, of the frame's head.
std::string row_of(const Frame& frame, std::uint32_t length, std::uint32_t gso_size) {
  mesh_caught caught{};
  caught.program = MESH_CAUGHT_BY_TC;
  caught.ifindex = 7;
  caught.length = length;
  caught.gso_size = gso_size;
  caught.captured = static_cast<std::uint32_t>(std::min<std::size_t>(frame.size(), MESH_CAUGHT_BYTES));
  caught.flow_index = 3;
  caught.filter.trusted = 5;
  std::ranges::fill(caught.flows, std::uint8_t{9});
  std::copy_n(frame.begin(), caught.captured, &caught.bytes[0]);
  return {reinterpret_cast<const char*>(&caught), sizeof caught};
}

// The same headers, whose IP length says that so many bytes of payload follow.
Frame with_payload(Frame frame, std::uint16_t payload, bool v6) {
  const std::size_t at = v6 ? 14 + 4 : 14 + 2;
  const auto length = static_cast<std::uint16_t>((frame[at] << 8 | frame[at + 1]) + payload);
  frame[at] = static_cast<std::uint8_t>(length >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(length);
  return frame;
}

TEST(CaughtPacket, IsTheFirstOfThoseThatItStandsFor) {
  for (const bool v6 : {false, true}) {
    const TracedPacket packet{socket_of(v6 ? "[2001:db8::9]:4000" : "192.0.2.9:4000"),
                              socket_of(v6 ? "[2001:db8::1]:8010" : "192.0.2.1:8010"), 6, kTcpAck};
    const Frame bare = make_frame(packet, kFrom, kTo);
    const Frame large = with_payload(bare, 5000, v6);
    const auto whole = read_caught(row_of(large, static_cast<std::uint32_t>(bare.size()) + 5000, 0));
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->program, "mesh_uplink_tc");
    EXPECT_EQ(whole->ifindex, 7U);
    EXPECT_EQ(whole->segments, 1U);
    EXPECT_EQ(whole->frame.size(), bare.size() + 5000);
    ASSERT_TRUE(whole->met);
    EXPECT_EQ(whole->met->flow_index, 3U);
    EXPECT_EQ(whole->met->flows, std::string(4, '\0') + std::string(508, '\x09')) << "without the lock";
    EXPECT_EQ(whole->met->filter.size(), 16U);
    const auto first = read_caught(row_of(large, static_cast<std::uint32_t>(bare.size()) + 5000, 1400));
    ASSERT_TRUE(first);
    EXPECT_EQ(first->segments, 4U);
    EXPECT_EQ(first->length, bare.size() + 5000);
    EXPECT_EQ(first->frame.size(), bare.size() + 1400);
    const TracedFrame read = read_frame(first->frame);
    ASSERT_TRUE(read.packet);
    EXPECT_EQ(read.packet->destination, packet.destination);
  }
}

TEST(CaughtPacket, WhatIsNoRowIsNothing) {
  EXPECT_FALSE(read_caught(""));
  std::string row = row_of(make_frame({socket_of("192.0.2.9:1"), socket_of("192.0.2.1:2"), 17, 0}, kFrom, kTo), 42, 0);
  row[0] = '\x09';  // of no program
  EXPECT_FALSE(read_caught(row));
}

}  // namespace
}  // namespace mesh::dataplane
