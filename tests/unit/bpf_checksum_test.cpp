// Transport checksums that are updated are those that would be computed anew, whichever form they have in the packet.
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bpf/lib/rewrite.h"

namespace {

constexpr std::size_t kSegment = 48;

struct Packet {
  std::uint32_t source = 0, destination = 0;
  std::vector<std::uint8_t> segment = std::vector<std::uint8_t>(kSegment);
};

std::uint64_t pseudo_sum(const Packet& packet, std::uint8_t protocol) {
  return std::uint64_t{packet.source} + packet.destination + mesh_be16(protocol) + mesh_be16(kSegment);
}

std::uint16_t& checksum_of(Packet& packet, std::uint8_t protocol) {
  return *reinterpret_cast<std::uint16_t*>(packet.segment.data() + (protocol == MESH_TCP ? 16 : 6));
}

std::uint16_t folded(std::uint64_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

std::uint64_t segment_sum(const Packet& packet) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kSegment; i += 2) {
    std::uint16_t word = 0;
    std::memcpy(&word, packet.segment.data() + i, sizeof(word));
    sum += word;
  }
  return sum;
}

// What a sender puts there: everything, or what a NIC wants to find.
void put_checksum(Packet& packet, std::uint8_t protocol, std::uint16_t form) {
  std::uint16_t& field = checksum_of(packet, protocol);
  field = 0;
  const std::uint64_t pseudo = pseudo_sum(packet, protocol);
  field = form == MESH_CHECKSUM_PARTIAL ? folded(pseudo)
                                        : static_cast<std::uint16_t>(~folded(pseudo + segment_sum(packet)));
  if (field == 0) field = 0xffff;
}

// As a NIC does with a partial checksum.
bool is_right_on_the_wire(Packet packet, std::uint8_t protocol, std::uint16_t form) {
  if (form == MESH_CHECKSUM_PARTIAL) {
    checksum_of(packet, protocol) = static_cast<std::uint16_t>(~folded(segment_sum(packet)));
  }
  return folded(pseudo_sum(packet, protocol) + segment_sum(packet)) == 0xffff;
}

struct ChecksumCase {
  const char* name;
  std::uint8_t protocol;
  std::uint16_t form;
};

class BpfChecksum : public testing::TestWithParam<ChecksumCase> {};

TEST_P(BpfChecksum, StaysRightWhenAddressesAndPortsChange) {
  const auto& [name, protocol, form] = GetParam();
  std::mt19937 engine(7);
  const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  for (int run = 0; run < 20000; ++run) {
    Packet packet{.source = random(), .destination = random()};
    for (std::uint8_t& byte : packet.segment) byte = static_cast<std::uint8_t>(random());
    put_checksum(packet, protocol, form);
    ASSERT_TRUE(is_right_on_the_wire(packet, protocol, form));

    Packet changed = packet;
    changed.source = random();
    changed.destination = random();
    std::uint16_t before[2], after[2] = {static_cast<std::uint16_t>(random()), static_cast<std::uint16_t>(random())};
    std::memcpy(before, packet.segment.data(), sizeof(before));
    std::memcpy(changed.segment.data(), after, sizeof(after));
    std::uint64_t difference =
        mesh_difference32(packet.source, changed.source) + mesh_difference32(packet.destination, changed.destination);
    if (form == MESH_CHECKSUM_COMPLETE) {
      difference += mesh_difference16(before[0], after[0]) + mesh_difference16(before[1], after[1]);
    }
    std::uint8_t* start = changed.segment.data();
    ASSERT_EQ(mesh_rewrite_checksum(start, start + kSegment, protocol, difference, form), 0);
    ASSERT_TRUE(is_right_on_the_wire(changed, protocol, form)) << "run " << run;
    if (protocol == MESH_UDP) {
      ASSERT_NE(checksum_of(changed, protocol), 0) << "which says that there is none";
    }
  }
}

TEST(BpfChecksumOfUdp, IsNotMadeWhereThereIsNone) {
  for (const std::uint16_t form : std::array<std::uint16_t, 2>{MESH_CHECKSUM_COMPLETE, MESH_CHECKSUM_PARTIAL}) {
    Packet packet;
    std::uint8_t* start = packet.segment.data();
    ASSERT_EQ(mesh_rewrite_checksum(start, start + kSegment, MESH_UDP, 0x12345, form), 0);
    EXPECT_EQ(checksum_of(packet, MESH_UDP), 0);
  }
}

TEST_P(BpfChecksum, BeyondThePacketIsNotTouched) {
  const auto& [name, protocol, form] = GetParam();
  Packet packet;
  std::uint8_t* start = packet.segment.data();
  EXPECT_EQ(mesh_rewrite_checksum(start, start + 7, protocol, 1, form), -1);
}

INSTANTIATE_TEST_SUITE_P(, BpfChecksum,
                         testing::Values(ChecksumCase{"TcpComplete", MESH_TCP, MESH_CHECKSUM_COMPLETE},
                                         ChecksumCase{"TcpPartial", MESH_TCP, MESH_CHECKSUM_PARTIAL},
                                         ChecksumCase{"UdpComplete", MESH_UDP, MESH_CHECKSUM_COMPLETE},
                                         ChecksumCase{"UdpPartial", MESH_UDP, MESH_CHECKSUM_PARTIAL}),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
