#include "tests/packet/bpf/steps.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/packet/bpf/frame.h"
#include "tests/packet/bpf/seen.h"

namespace mesh::packet {
namespace {

constexpr std::array<const char*, 4> kPrograms = {"mesh_uplink_xdp", "mesh_uplink_tc", "mesh_endpoint_tc",
                                                  "mesh_entry_tc"};
constexpr std::size_t kEth = 14;

struct Dice {
  std::mt19937& random;
  std::size_t below(std::size_t bound) const { return bound == 0 ? 0 : random() % bound; }
  bool one_in(unsigned count) const { return random() % count == 0; }
  template <class List>
  const auto& of(const List& list) const {
    return list[below(std::size(list))];
  }
};

void set16(Bytes& bytes, std::size_t at, std::size_t value) {
  if (at + 2 > bytes.size()) return;
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

void set8(Bytes& bytes, std::size_t at, std::size_t value) {
  if (at < bytes.size()) bytes[at] = static_cast<std::uint8_t>(value);
}

bool is_v6_at(const Bytes& frame, std::size_t l3) { return l3 < frame.size() && (frame[l3] >> 4) == 6; }
std::size_t header_size(const Bytes& frame, std::size_t l3) { return is_v6_at(frame, l3) ? 40 : 20; }
std::size_t protocol_at(const Bytes& frame, std::size_t l3) { return l3 + (is_v6_at(frame, l3) ? 6 : 9); }

// Where an IP header begins that a program may look at: the frame's own, the one in the tunnel.
std::vector<std::size_t> ip_headers(const Bytes& frame) {
  std::vector<std::size_t> found;
  if (frame.size() >= kEth + 20) found.push_back(kEth);
  if (has_tunnel(frame) && frame.size() >= kInnerPacket + 20) found.push_back(kInnerPacket);
  return found;
}

void put_transport_right(Bytes& frame, std::size_t l3, std::size_t end) {
  const bool v6 = is_v6_at(frame, l3);
  const std::size_t l4 = l3 + header_size(frame, l3);
  const std::uint8_t protocol = frame[protocol_at(frame, l3)];
  const std::size_t at = protocol == 6 ? 16 : protocol == 17 ? 6 : protocol == 1 || protocol == 58 ? 2 : 0;
  if (at == 0 || l4 + at + 2 > end) return;
  if (protocol == 17) set16(frame, l4 + 4, end - l4);
  if (protocol == 17 && frame[l4 + 6] == 0 && frame[l4 + 7] == 0) return;
  set16(frame, l4 + at, 0);
  Bytes covered;
  if (protocol != 1) {
    const std::size_t addresses = v6 ? l3 + 8 : l3 + 12;
    covered.assign(frame.begin() + static_cast<long>(addresses), frame.begin() + static_cast<long>(l4));
    const std::size_t length = end - l4;
    covered.insert(covered.end(),
                   {0, protocol, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)});
  }
  covered.insert(covered.end(), frame.begin() + static_cast<long>(l4), frame.begin() + static_cast<long>(end));
  const std::uint16_t checksum = slow_checksum(covered);
  set16(frame, l4 + at, protocol == 17 && checksum == 0 ? 0xffff : checksum);
}

const std::array<const char*, 19> kAddresses = {"192.0.2.1", "192.0.2.2",       "192.0.2.3",  "192.0.2.9", "192.0.2.66",
                                                "10.0.0.1",  "10.0.0.2",        "10.0.0.5",   "10.0.0.6",  "10.1.0.5",
                                                "10.1.0.6",  "10.1.0.7",        "10.1.0.200", "10.2.0.6",  "127.0.0.1",
                                                "224.0.0.1", "255.255.255.255", "0.0.0.0",    "10.1.0.99"};
const std::array<const char*, 15> kAddresses6 = {
    "2001:db8::1", "2001:db8::2", "2001:db8::9", "fd00::1", "fd00::2", "fd00::5",     "fd01::5", "fd01::7",
    "fd01::200",   "fe80::1",     "ff02::1",     "::1",     "::",      "2001:db8::3", "fd01::99"};
constexpr std::array<std::size_t, 17> kPorts = {80,   8001, 8002, 8003, 8004,  8005, 8006, 8007, 8008,
                                                8100, 8101, 8104, 8105, 40000, 4789, 53,   0};
constexpr std::array<std::size_t, 9> kFlags = {0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0xff};
constexpr std::array<std::size_t, 8> kProtocols = {6, 17, 1, 58, 132, 44, 4, 0};
constexpr std::array<std::size_t, 8> kSmall = {0, 1, 2, 3, 4, 5, 64, 255};

void change_address(Bytes& frame, std::size_t l3, const Dice& dice) {
  const bool v6 = is_v6_at(frame, l3);
  const std::size_t size = v6 ? 16 : 4;
  const std::size_t at = l3 + (v6 ? 8 : 12) + (dice.one_in(2) ? size : 0);
  if (at + size > frame.size()) return;
  const mesh_address chosen = address(v6 ? dice.of(kAddresses6) : dice.of(kAddresses));
  std::memcpy(&frame[at], reinterpret_cast<const std::uint8_t*>(&chosen) + 16 - size, size);
}

void change_ip(Bytes& frame, std::size_t l3, const Dice& dice) {
  const bool v6 = is_v6_at(frame, l3);
  const std::size_t l4 = l3 + header_size(frame, l3);
  switch (dice.below(v6 ? 6 : 7)) {
    case 0:
    case 1:
      return change_address(frame, l3, dice);
    case 2:
      return set16(frame, l4 + (dice.one_in(2) ? 2 : 0), dice.of(kPorts));
    case 3:
      return set8(frame, l4 + 13, dice.of(kFlags));
    case 4:
      return set8(frame, l3 + (v6 ? 7 : 8), dice.of(kSmall));
    case 5:
      return dice.one_in(3) ? set8(frame, protocol_at(frame, l3), dice.of(kProtocols))
                            : set8(frame, l3 + 1, dice.of(kSmall));
    default:
      return set16(frame, l3 + 6, dice.of(std::array<std::size_t, 5>{0, 0x4000, 0x2000, 0x0010, 0x20ff}));
  }
}

void change_tunnel(Bytes& frame, const Dice& dice) {
  if (dice.one_in(8)) return set8(frame, kTunnel + dice.below(20), dice.random());
  switch (dice.below(9)) {
    case 0:
      return set8(frame, kTunnel + 8, dice.below(5) << 2 | 2);  // kind
    case 1:
      return set8(frame, kTunnel + 9, dice.below(32));  // moved, mixed, stage
    case 2:
      return set16(frame, kTunnel + 10, dice.below(18));  // binding
    case 3:
      return set16(frame, kTunnel + 12, dice.below(6));  // entry
    case 4:
      return set8(frame, kTunnel + 14, dice.below(20) << 2 | 2);  // hops
    case 5:
      return set8(frame, kTunnel + 15, dice.of(kSmall));  // backend
    case 6:
      return set8(frame, kTunnel + 19, dice.below(8));  // ring version
    case 7:
      return set16(frame, kTunnel + 5, dice.of(std::array<std::size_t, 4>{4096, 4100, 4101, 999}));  // VNI
    default:
      set8(frame, kTunnel + 2, dice.below(6) << 4);  // stop
      return set8(frame, kTunnel + 3, dice.below(6));
  }
}

// The packet becomes an ICMP error about what would be its answer: sent back, it is about this flow.
void turn_into_error(Bytes& frame, std::size_t l3, const Dice& dice) {
  const bool v6 = is_v6_at(frame, l3);
  const std::size_t header = header_size(frame, l3);
  if (frame.size() < l3 + header + 8) return;
  Bytes quoted(frame.begin() + static_cast<long>(l3), frame.end());
  const long size = v6 ? 16 : 4;
  const long at = v6 ? 8 : 12;
  std::swap_ranges(quoted.begin() + at, quoted.begin() + at + size, quoted.begin() + at + size);
  std::swap_ranges(quoted.begin() + static_cast<long>(header), quoted.begin() + static_cast<long>(header) + 2,
                   quoted.begin() + static_cast<long>(header) + 2);
  if (dice.one_in(3)) quoted.resize(std::min(quoted.size(), header + dice.below(24)));
  frame.resize(l3 + header);
  set8(frame, protocol_at(frame, l3), v6 ? 58 : 1);
  frame.push_back(v6 ? static_cast<std::uint8_t>(1 + dice.below(4))
                     : dice.of(std::array<std::uint8_t, 4>{3, 11, 12, 5}));
  frame.insert(frame.end(), {4, 0, 0, 0, 0, 5, 20});
  frame.insert(frame.end(), quoted.begin(), quoted.end());
}

// As node 2 would send it, or without the tunnel that it came in.
void wrap_or_unwrap(Bytes& frame, const Dice& dice) {
  if (has_tunnel(frame)) {
    frame.erase(frame.begin(), frame.begin() + static_cast<long>(kInnerPacket - kEth));
    return;
  }
  if (frame.size() < kEth + 20) return;
  Bytes outer = {0x02, 0, 0,    0,    1, 1,  0x02, 0, 0, 0,   1,    2, 8, 0,    0x45, 0, 0,
                 0,    0, 0,    0x40, 0, 64, 17,   0, 0, 192, 0,    2, 2, 192,  0,    2, 1,
                 0x80, 1, 0x12, 0xb5, 0, 0,  0,    0, 8, 0,   0x10, 0, 0, 0x10, 0,    1};
  const std::size_t kind = 1 + dice.below(3);
  outer.insert(outer.end(), {static_cast<std::uint8_t>(kind << 2 | 2), 0, 0,
                             static_cast<std::uint8_t>(1 + dice.below(16)), 0, 2, 2, 0, 0, 0, 0, 1});
  if (kind == 3) set16(outer, kTunnel + 5, 4100);
  frame.erase(frame.begin(), frame.begin() + 12);
  frame.insert(frame.begin(), outer.begin(), outer.end());
}

void damage(Bytes& frame, const Dice& dice) {
  for (std::size_t count = 1 + dice.below(3); count > 0; count--) {
    const std::size_t at = dice.below(frame.size());
    frame[at] = static_cast<std::uint8_t>(dice.one_in(3) ? dice.random() : frame[at] ^ 1u << dice.below(8));
  }
}

void resize(Bytes& frame, const Dice& dice) {
  if (dice.one_in(2)) return frame.resize(kFrameMin + dice.below(frame.size()));
  const std::size_t more = dice.one_in(4) ? dice.below(1500) : dice.below(9);
  frame.resize(frame.size() + more, static_cast<std::uint8_t>(dice.random()));
}

void mutate_frame(Bytes& frame, const Dice& dice) {
  const std::vector<std::size_t> headers = ip_headers(frame);
  const std::size_t l3 = headers.empty() ? kEth : headers[dice.below(headers.size())];
  switch (headers.empty() ? 5 + dice.below(2) : dice.below(9)) {
    case 0:
    case 1:
    case 2:
      change_ip(frame, l3, dice);
      break;
    case 3:
    case 4:
      has_tunnel(frame) ? change_tunnel(frame, dice) : change_ip(frame, l3, dice);
      break;
    case 5:
      damage(frame, dice);
      break;
    case 6:
      resize(frame, dice);
      break;
    case 7:
      turn_into_error(frame, headers.back(), dice);
      break;
    default:
      wrap_or_unwrap(frame, dice);
  }
  frame.resize(std::clamp(frame.size(), kFrameMin, kFrameMax));
  if (!dice.one_in(5)) put_right(frame, kEth);
}

}  // namespace

void put_right(Bytes& frame, std::size_t l3) {
  if (frame.size() < l3 + 20 || frame.size() < l3 + header_size(frame, l3)) return;
  if (l3 == kEth && has_tunnel(frame)) put_right(frame, kInnerPacket);
  const bool v6 = is_v6_at(frame, l3);
  set16(frame, l3 + (v6 ? 4 : 2), frame.size() - l3 - (v6 ? 40 : 0));
  if (!v6) {
    set16(frame, l3 + 10, 0);
    set16(frame, l3 + 10,
          slow_checksum(Bytes(frame.begin() + static_cast<long>(l3), frame.begin() + static_cast<long>(l3) + 20)));
  }
  put_transport_right(frame, l3, frame.size());
}

Bytes encode(const Steps& steps) {
  Bytes bytes;
  for (const Step& step : steps) {
    const auto program = std::find(kPrograms.begin(), kPrograms.end(), step.program);
    bytes.push_back(static_cast<std::uint8_t>(program - kPrograms.begin()));
    bytes.push_back(static_cast<std::uint8_t>(step.frame.size() >> 8));
    bytes.push_back(static_cast<std::uint8_t>(step.frame.size()));
    bytes.insert(bytes.end(), step.frame.begin(), step.frame.end());
  }
  return bytes;
}

Steps decode(const std::uint8_t* start, std::size_t size) {
  Steps steps;
  const std::uint8_t* end = start + size;
  while (end - start > 3 && steps.size() < kStepsMax) {
    const std::size_t length =
        std::min(static_cast<std::size_t>(start[1] << 8 | start[2]), static_cast<std::size_t>(end - start - 3));
    if (length >= kFrameMin && length <= kFrameMax) {
      steps.push_back({kPrograms.at(start[0] % kPrograms.size()), Bytes(start + 3, start + 3 + length)});
    }
    start += 3 + length;
  }
  return steps;
}

std::vector<Steps> read_corpus(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Steps> corpus;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    const Bytes bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    Steps steps = decode(bytes.data(), bytes.size());
    if (!steps.empty()) corpus.push_back(std::move(steps));
  }
  return corpus;
}

void mutate(Steps& steps, std::mt19937& random) {
  const Dice dice{random};
  if (steps.empty()) return;
  const std::size_t chosen = dice.below(steps.size());
  switch (dice.below(12)) {
    case 0:
      if (steps.size() < kStepsMax) steps.push_back(steps[chosen]);
      break;
    case 1:
      if (steps.size() > 1) steps.erase(steps.begin() + static_cast<long>(chosen));
      break;
    case 2:
      steps[chosen].program = dice.of(kPrograms);
      break;
    default:
      mutate_frame(steps[chosen].frame, dice);
  }
}

}  // namespace mesh::packet
