// The frames of the packet benchmark. The tables that make the programs handle them: bench/packet_world.h.
#pragma once

#include <array>
#include <cstdint>

#include "bpf/abi.h"

namespace mesh::bench {

inline constexpr std::uint32_t kSelf4 = 0xc0000201;      // 192.0.2.1, this host
inline constexpr std::uint32_t kOther4 = 0xc0000202;     // 192.0.2.2, the other host
inline constexpr std::uint32_t kEndpoint4 = 0x0a000005;  // 10.0.0.5, the backend here
inline constexpr std::uint32_t kClient4 = 0x0b000000;    // 11.0.0.0/8: clients
inline constexpr std::uint16_t kRemotePort = 8010;       // backend on the other host
inline constexpr std::uint16_t kLocalPort = 8020;        // backend here
inline constexpr std::uint16_t kBothPort = 8030;         // ... whose flows enter here too
inline constexpr std::uint16_t kMovedPort = 8040;        // backends on other hosts, a tenth of the slots moved
inline constexpr std::uint16_t kManyFirst = 20000;       // many services with ten backends on other hosts each
inline constexpr std::uint16_t kTargetPort = 80, kBothTargetPort = 81;
inline constexpr std::uint32_t kOverlayVni = 5000;
inline constexpr std::uint32_t kOverlayHere4 = 0x0a010005;   // 10.1.0.5, an endpoint here
inline constexpr std::uint32_t kOverlayThere4 = 0x0a010006;  // 10.1.0.6, one on the other host
inline constexpr std::uint16_t kTcpBinding = 1, kUdpBinding = 2, kBothBinding = 3;
inline constexpr std::array<std::uint8_t, 6> kEndpointMac = {0x02, 0x42, 0x0a, 0x00, 0x00, 0x05};
inline constexpr std::uint32_t kLoopback = 1;  // ifindex of lo: redirects of a test run go nowhere

struct Frame {
  std::array<std::uint8_t, 144> bytes{};
  std::uint32_t length = 0;
  std::uint32_t address_at = 0, port_at = 0;  // of the client
  std::uint32_t service_at = 0;               // the published port
  std::uint32_t flags_at = 0;                 // the tunnel header's flags
};

enum class Family : std::uint8_t { kV4, kV6 };
inline constexpr std::uint8_t kTcp = 6, kUdp = 17;
inline constexpr std::uint8_t kSyn = 0x02, kAck = 0x10;

// A client's packet to a published port of this host.
Frame client_frame(Family family, std::uint8_t protocol, std::uint8_t tcp_flags, std::uint16_t port);
// The same in the tunnel from the other host, for the binding here.
Frame tunnel_frame(Family family, std::uint8_t protocol, std::uint8_t tcp_flags);
// The answer of the backend of kBothPort, or (of_tunnel) of kLocalPort, as it leaves its veth.
Frame reply_frame(bool of_tunnel);
// Between the endpoints of one network: from the one here, and from the other host in the tunnel.
Frame overlay_out_frame();
Frame overlay_in_frame();
// A packet to another port of this host.
Frame other_frame();

}  // namespace mesh::bench
