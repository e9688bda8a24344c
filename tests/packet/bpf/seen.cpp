#include "tests/packet/bpf/seen.h"

#include <algorithm>

#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "tests/packet/bpf/frame.h"
#include "tests/packet/bpf/steps.h"
#include "tests/packet/bpf/three_hosts.h"

namespace mesh::packet {
namespace {

constexpr std::size_t kEth = 14;
constexpr long kOuter = kInnerPacket - kEth;

unsigned read16(const Bytes& bytes, std::size_t at) {
  return static_cast<unsigned>(bytes.at(at) << 8 | bytes.at(at + 1));
}

Bytes part(const Bytes& bytes, std::size_t from, std::size_t to) {
  return {bytes.begin() + static_cast<long>(from), bytes.begin() + static_cast<long>(to)};
}

// How long the transport header is that a translation may change, and where its checksum is.
struct Transport {
  std::size_t size;
  std::size_t checksum;
};
std::optional<Transport> transport_of(const Seen& packet) {
  const std::size_t room = packet.bytes.size() - packet.header;
  Transport transport{};
  if (packet.protocol == 6) transport = {20, 16};
  if (packet.protocol == 17) transport = {8, 6};
  if (packet.protocol == (packet.v6 ? 58 : 1)) transport = {8, 2};
  if (packet.fragment || transport.size == 0 || room < transport.size) return std::nullopt;
  return transport;
}

Checksum transport_checksum(const Seen& packet) {
  const std::optional<Transport> transport = transport_of(packet);
  if (!transport) return Checksum::kNone;
  if (packet.protocol == 17 && read16(packet.bytes, packet.header + 6) == 0) return Checksum::kNone;
  Bytes covered;
  if (packet.protocol != 1) {
    covered = part(packet.bytes, packet.v6 ? 8 : 12, packet.header);
    const std::size_t length = packet.bytes.size() - packet.header;
    covered.insert(covered.end(), {0, static_cast<std::uint8_t>(packet.protocol),
                                   static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)});
  }
  covered.insert(covered.end(), packet.bytes.begin() + static_cast<long>(packet.header), packet.bytes.end());
  return slow_checksum(covered) == 0 ? Checksum::kGood : Checksum::kBad;
}

bool is_redirect(const Change& change) { return change.outcome.verdict == code(change.program, Verdict::kRedirect); }

// Sent back by the program itself: ARP and neighbour answers, echo replies, "too big".
bool is_answered(const Change& change) {
  return change.program != "mesh_uplink_xdp" && change.redirect == fmt::format("to {}", kEndpointA);
}

std::string outer_fault(const Bytes& frame, const Seen& inner) {
  const std::optional<Seen> outer = see(frame, kEth);
  if (!outer || !has_tunnel(frame)) return "no tunnel header in front";
  if (outer->ip != Checksum::kGood) return "the outer header's checksum is wrong";
  if (outer->ttl != 64 || outer->tos != (inner.tos & 3)) return "outer TTL or congestion bits are wrong";
  if (read16(outer->bytes, 6) != 0x4000) return "the outer packet may be fragmented";
  if (outer->bytes.size() != inner.bytes.size() + static_cast<std::size_t>(kOuter)) return "the outer length is wrong";
  if (read16(outer->bytes, 24) != outer->bytes.size() - 20) return "the outer UDP length is wrong";
  return "";
}

// RFC 6040 §4.2; the rest of the byte is the sender's.
unsigned expected_tos(const Seen& before, unsigned outer_tos) {
  return (outer_tos & 3) == 3 ? before.tos | 3 : before.tos;
}

// What no translation changes: all but addresses, hop, congestion marks, ports and checksums.
Bytes kept_bytes(const Seen& packet, bool quote_may_change) {
  Bytes bytes = packet.bytes;
  const auto clear = [&](std::size_t from, std::size_t size) {
    for (std::size_t i = from; i < std::min(from + size, bytes.size()); i++) bytes[i] = 0;
  };
  if (packet.v6) {
    clear(0, 2);  // judged as tos; what is left of the flow label is compared
    clear(7, 33);
  } else {
    clear(1, 1);
    clear(8, 1);
    clear(10, 10);
  }
  const std::optional<Transport> transport = transport_of(packet);
  if (!transport) return bytes;
  if (packet.protocol == 6 || packet.protocol == 17) clear(packet.header, 4);
  clear(packet.header + transport->checksum, 2);
  // The quoted header and ports of an error that was translated.
  const bool error = packet.protocol == 1 || packet.protocol == 58;
  if (error && quote_may_change) clear(packet.header + 8, packet.header + 4);
  return bytes;
}

std::string forward_fault(const std::optional<Seen>& before, const std::optional<Seen>& after, unsigned hop,
                          unsigned outer_tos) {
  if (!before) return "a packet went on that contradicts itself";
  if (!after) return "what went on contradicts itself";
  if (after->v6 != before->v6 || after->protocol != before->protocol) return "it is another kind of packet now";
  if (after->ttl + hop != before->ttl) return fmt::format("TTL {} became {}", before->ttl, after->ttl);
  if (after->tos != expected_tos(*before, outer_tos))
    return fmt::format("TOS {:#x} became {:#x}", before->tos, after->tos);
  if (after->ip != before->ip) return "the IP header's checksum became another";
  if (after->transport != before->transport) return "the transport checksum became another";
  if (kept_bytes(*after, true) != kept_bytes(*before, true)) return "bytes changed that are nobody's business";
  return "";
}

std::string sent_on_fault(const Bytes& before, const Bytes& after) {
  const std::optional<Seen> from = see(before, kEth);
  const std::optional<Seen> to = see(after, kEth);
  if (!from || !to) return "a tunnel packet went on that contradicts itself";
  if (to->ttl != 64 || to->tos != from->tos) return "outer TTL or TOS are wrong";
  if (to->ip != from->ip) return "the outer header's checksum became another";
  if (part(before, kInnerPacket - 2, before.size()) != part(after, kInnerPacket - 2, after.size())) {
    return "the inner packet changed on its way";
  }
  return "";
}

std::string redirect_fault(const Change& change) {
  const Bytes& before = change.before;
  const Bytes& after = change.outcome.frame;
  const bool uplink = change.program.starts_with("mesh_uplink");
  const bool in_tunnel = uplink && has_tunnel(before);
  const long grown = static_cast<long>(after.size()) - static_cast<long>(before.size());
  if (is_answered(change)) {
    const std::optional<Seen> from = see(before, kEth);
    const std::optional<Seen> to = see(after, kEth);
    const bool good = !from || (from->ip != Checksum::kBad && from->transport != Checksum::kBad);
    return good && to && (to->ip == Checksum::kBad || to->transport == Checksum::kBad) ? "an answer's checksum is wrong"
                                                                                       : "";
  }
  if (grown == kOuter) {
    const std::optional<Seen> inner = see(after, kInnerPacket);
    const std::string fault = forward_fault(see(before, kEth), inner, 1, 0);
    return fault.empty() ? outer_fault(after, *inner) : fault;
  }
  if (grown == -kOuter && in_tunnel) {
    const std::optional<Seen> outer = see(before, kEth);
    return forward_fault(see(before, kInnerPacket), see(after, kEth), 0, outer ? outer->tos : 0);
  }
  if (grown == 0)
    return in_tunnel ? sent_on_fault(before, after) : forward_fault(see(before, kEth), see(after, kEth), 1, 0);
  return fmt::format("the frame grew by {} bytes", grown);
}

}  // namespace

Bytes Seen::source() const { return v6 ? part(bytes, 8, 24) : part(bytes, 12, 16); }
Bytes Seen::destination() const { return v6 ? part(bytes, 24, 40) : part(bytes, 16, 20); }
unsigned Seen::port(std::size_t which) const { return read16(bytes, header + 2 * which); }

std::optional<Seen> see(const Bytes& frame, std::size_t l3) {
  if (frame.size() < l3 + 20) return std::nullopt;
  Seen packet;
  packet.v6 = frame[l3] >> 4 == 6;
  packet.header = packet.v6 ? 40 : 20;
  const std::size_t room = frame.size() - l3;
  if (room < packet.header || (!packet.v6 && frame[l3] != 0x45)) return std::nullopt;
  const std::size_t length = packet.v6 ? read16(frame, l3 + 4) + 40U : read16(frame, l3 + 2);
  if (length < packet.header || length > room) return std::nullopt;
  packet.bytes = part(frame, l3, l3 + length);
  if (packet.v6) {
    packet.tos = read16(frame, l3) >> 4 & 0xff;
    packet.protocol = frame[l3 + 6];
    packet.ttl = frame[l3 + 7];
  } else {
    packet.tos = frame[l3 + 1];
    packet.protocol = frame[l3 + 9];
    packet.ttl = frame[l3 + 8];
    packet.fragment = (read16(frame, l3 + 6) & 0x3fff) != 0;
    packet.ip = slow_checksum(part(frame, l3, l3 + 20)) == 0 ? Checksum::kGood : Checksum::kBad;
  }
  packet.transport = transport_checksum(packet);
  return packet;
}

bool has_tunnel(const Bytes& frame) {
  return frame.size() >= kInnerPacket && read16(frame, 12) == 0x0800 && frame[14] == 0x45 && frame[23] == 17 &&
         (read16(frame, 20) & 0x3fff) == 0 && read16(frame, 36) == MESH_VXLAN_PORT;
}

std::string fault_of(const Change& change) {
  const Outcome& outcome = change.outcome;
  if (outcome.refused || outcome.verdict == code(change.program, Verdict::kDrop)) return "";
  if (outcome.verdict == code(change.program, Verdict::kPass)) {
    return outcome.frame == change.before ? "" : "what passes was changed";
  }
  return is_redirect(change) ? redirect_fault(change) : fmt::format("verdict {}", outcome.verdict);
}

std::optional<Bytes> answer_to(const Change& change) {
  const bool to_a = change.redirect == fmt::format("peer {}", kEndpointA) ||
                    (change.program == "mesh_uplink_xdp" && change.redirect == fmt::format("to {}", kEndpointA));
  if (!is_redirect(change) || !to_a) return std::nullopt;
  const bool in_tunnel = change.program.starts_with("mesh_uplink") && has_tunnel(change.before);
  const std::optional<Seen> asked = see(change.before, in_tunnel ? kInnerPacket : kEth);
  const std::optional<Seen> seen = see(change.outcome.frame, kEth);
  if (!asked || !seen || (seen->protocol != 6 && seen->protocol != 17) || !transport_of(*seen)) return std::nullopt;
  if (asked->destination() == seen->destination() && asked->port(1) == seen->port(1)) return std::nullopt;
  Bytes frame = part(change.outcome.frame, 0, kEth);
  std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
  frame.insert(frame.end(), seen->bytes.begin(),
               seen->bytes.begin() + static_cast<long>(seen->header + transport_of(*seen)->size));
  const auto swap = [&](std::size_t at, long size) {
    const auto first = frame.begin() + static_cast<long>(kEth + at);
    std::swap_ranges(first, first + size, first + size);
  };
  swap(seen->v6 ? 8 : 12, seen->v6 ? 16 : 4);
  swap(seen->header, 2);
  frame[kEth + (seen->v6 ? 7 : 8)] = 64;
  if (!seen->v6) frame[kEth + 6] = 0x40;
  if (seen->protocol == 6) {
    frame[kEth + seen->header + 12] = 0x50;
    frame[kEth + seen->header + 13] = 0x12;
  }
  put_right(frame, kEth);
  return frame;
}

std::string answer_fault(const Bytes& asked, const Change& answer) {
  const Bytes& frame = answer.outcome.frame;
  const bool out_in_tunnel = frame.size() == answer.before.size() + static_cast<std::size_t>(kOuter);
  const std::optional<Seen> back = see(frame, out_in_tunnel ? kInnerPacket : kEth);
  const std::optional<Seen> there = see(asked, has_tunnel(asked) ? kInnerPacket : kEth);
  if (!back || !there) return "an answer that contradicts itself";
  if (back->source() != there->destination() || back->port(0) != there->port(1))
    return "not from where the client had asked";
  if (back->destination() != there->source() || back->port(1) != there->port(0)) return "not to the client";
  return "";
}

}  // namespace mesh::packet
