// What is on the wire, read the slow and obvious way, and what must hold between a packet and what the programs made of
// it. The programs' own parser is not used here.
#pragma once

#include <optional>
#include <string>

#include "tests/packet/bpf/kernel.h"

namespace mesh::packet {

inline constexpr std::size_t kTunnel = 14 + 20 + 8;   // of a frame: the tunnel header
inline constexpr std::size_t kInnerPacket = 14 + 50;  // ... and the IP packet in it

enum class Checksum { kNone, kGood, kBad };

// One IP packet.
struct Seen {
  bool v6 = false;
  Bytes bytes;  // as long as its header says
  std::size_t header = 0;
  unsigned protocol = 0, ttl = 0, tos = 0;
  bool fragment = false;
  Checksum ip = Checksum::kNone;
  Checksum transport = Checksum::kNone;
  [[nodiscard]] Bytes source() const;
  [[nodiscard]] Bytes destination() const;
  [[nodiscard]] unsigned port(std::size_t which) const;  // 0: source
};

// The packet at `l3`; nothing if it is cut off, contradicts itself, or has IPv4 options.
[[nodiscard]] std::optional<Seen> see(const Bytes& frame, std::size_t l3);
// An IPv4 UDP packet to the VXLAN port, long enough for the headers of ours.
[[nodiscard]] bool has_tunnel(const Bytes& frame);

// What one program made of a frame.
struct Change {
  std::string program;
  const Bytes& before;
  const Outcome& outcome;
  std::string redirect;  // as Native::redirect()
};
// What is wrong with it, "" if nothing is: what passes is untouched; checksums are as good as they were, those made
// here are good; the hop is taken once; congestion marks follow RFC 6040; payload is nobody's business.
[[nodiscard]] std::string fault_of(const Change& change);

// A client's packet that was delivered to the endpoint on ifindex 1, translated: the endpoint's answer to it. Nothing
// if it was something else.
[[nodiscard]] std::optional<Bytes> answer_to(const Change& change);
// Of that answer, when it was sent: whether the client sees it as coming from where it had asked.
[[nodiscard]] std::string answer_fault(const Bytes& asked, const Change& answer);

}  // namespace mesh::packet
