#include "vxlan/source_probe.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>

#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

namespace mesh::vxlan {
namespace {

constexpr std::uint16_t kPort = 4789;
constexpr std::uint32_t kMagic = 0x4d455348;  // "MESH", where VXLAN has its flags
constexpr int kCopies = 3;                    // a lost one is no dropped one
constexpr int kQuietMilliseconds = 300;       // longer than any way between hosts of a cluster
constexpr auto kCollectMax = std::chrono::seconds(3);
constexpr int kRoomBytes = 8 << 20;  // for six packets of each host of a large cluster, as the kernel accounts them
constexpr std::size_t kTokenMax = 64;
constexpr std::size_t kPacketMax = 512;

struct ProbePacket {
  iphdr ip;
  udphdr udp;
  std::uint32_t magic;
  std::uint16_t sender;
  char token[kTokenMax];  // NOLINT(modernize-avoid-c-arrays): it is a packet
} __attribute__((packed));
constexpr std::size_t kFixedBytes = sizeof(ProbePacket) - kTokenMax;

in_addr_t to_wire(const IpAddress& address) {
  const auto bytes = address.bytes();
  in_addr_t wire = 0;
  std::memcpy(&wire, bytes.data() + bytes.size() - sizeof wire, sizeof wire);
  return wire;
}

ProbePacket make_packet(const std::string& token, std::uint16_t sender, const SourceProbe& probe) {
  ProbePacket packet{};
  packet.ip.version = 4;
  packet.ip.ihl = sizeof(iphdr) / 4;
  packet.ip.ttl = 64;
  packet.ip.protocol = IPPROTO_UDP;
  packet.ip.saddr = to_wire(probe.source);  // the kernel fills in length and checksum, raw(7)
  packet.ip.daddr = to_wire(probe.destination);
  packet.udp.source = htons(kPort);
  packet.udp.dest = htons(kPort);
  packet.udp.len = htons(static_cast<std::uint16_t>(kFixedBytes - sizeof(iphdr) + token.size()));
  packet.magic = htonl(kMagic);
  packet.sender = htons(sender);
  token.copy(packet.token, kTokenMax);
  return packet;
}

Status attach_filter(int socket) {
  // At 0 is the IP header. Loads of the first 64 KiB that lie outside of the packet end the filter with 0.
  std::array<sock_filter, 9> code = {
      {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(iphdr, protocol)),
       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6), BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
       BPF_STMT(BPF_LD | BPF_H | BPF_IND, offsetof(udphdr, dest)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kPort, 0, 3),
       BPF_STMT(BPF_LD | BPF_W | BPF_IND, sizeof(udphdr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kMagic, 0, 1),
       BPF_STMT(BPF_RET | BPF_K, kPacketMax), BPF_STMT(BPF_RET | BPF_K, 0)}};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) return {};
  return fail_errno("filter of the probes' listener", errno);
}

std::optional<HeardProbe> read_probe(const std::array<char, kPacketMax>& bytes, std::size_t size,
                                     const std::string& token) {
  iphdr ip{};
  if (size < sizeof ip) return std::nullopt;
  std::memcpy(&ip, bytes.data(), sizeof ip);
  // Ours have no options, and what follows is the token to its end; a frame's padding may follow.
  if (ip.ihl != sizeof ip / 4 || size < kFixedBytes + token.size()) return std::nullopt;
  if (std::string_view(bytes.data() + kFixedBytes, token.size()) != token) return std::nullopt;
  std::uint16_t sender = 0;
  std::memcpy(&sender, bytes.data() + offsetof(ProbePacket, sender), sizeof sender);
  return HeardProbe{ntohs(sender), IpAddress::v4(ntohl(ip.saddr))};
}

}  // namespace

Status send_probes(const std::string& token, std::uint16_t sender, const std::vector<SourceProbe>& probes) {
  if (token.size() > kTokenMax) return fail(ErrorKind::kInvalid, "a probe's token is too long");
  const Fd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!socket) return fail_errno("socket of the probes", errno);
  for (const SourceProbe& probe : probes) {
    if (!probe.source.is_v4() || !probe.destination.is_v4()) continue;
    const ProbePacket packet = make_packet(token, sender, probe);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = to_wire(probe.destination);
    for (int copy = 0; copy < kCopies; ++copy) {
      const auto sent = ::sendto(socket.get(), &packet, kFixedBytes + token.size(), 0,
                                 reinterpret_cast<const sockaddr*>(&to), sizeof to);
      if (sent >= 0) continue;
      return fail_errno(
          fmt::format("send a probe as {} to {}", probe.source.to_string(), probe.destination.to_string()), errno);
    }
  }
  return {};
}

Result<ProbeListener> ProbeListener::open(std::string token) {
  Fd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("listener of the probes", errno);
  TRY(attach_filter(socket.get()));
  if (setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kRoomBytes, sizeof kRoomBytes) != 0) {
    return fail_errno("room for the probes", errno);
  }
  // Only now: nothing unfiltered gets in.
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_IP);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) {
    return fail_errno("listener of the probes", errno);
  }
  return ProbeListener(std::move(socket), std::move(token));
}

Result<std::set<HeardProbe>> ProbeListener::collect() {
  std::set<HeardProbe> heard;
  std::array<char, kPacketMax> bytes{};
  pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  const auto end = std::chrono::steady_clock::now() + kCollectMax;
  while (std::chrono::steady_clock::now() < end && ::poll(&ready, 1, kQuietMilliseconds) > 0) {
    const auto size = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0) break;
    if (const auto probe = read_probe(bytes, static_cast<std::size_t>(size), token_)) heard.insert(*probe);
  }
  tpacket_stats counted{};
  socklen_t size = sizeof counted;
  if (getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &counted, &size) == 0 && counted.tp_drops != 0) {
    return fail(ErrorKind::kExhausted, fmt::format("{} probes came faster than this host took them, which says nothing "
                                                   "about the underlay: run the doctor again",
                                                   counted.tp_drops));
  }
  return heard;
}

}  // namespace mesh::vxlan
