// The frames of the packet benchmark, and the tables that make the programs handle them: one published TCP and UDP
// port, one backend on another host, one here.
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
inline constexpr std::uint16_t kTargetPort = 80, kBothTargetPort = 81;
inline constexpr std::uint16_t kTcpBinding = 1, kUdpBinding = 2, kBothBinding = 3;
inline constexpr std::uint32_t kLoopback = 1;  // ifindex of lo: redirects of a test run go nowhere

struct Frame {
  std::array<std::uint8_t, 144> bytes{};
  std::uint32_t length = 0;
  std::uint32_t address_at = 0, port_at = 0;  // of the client
};

enum class Family : std::uint8_t { kV4, kV6 };
inline constexpr std::uint8_t kTcp = 6, kUdp = 17;
inline constexpr std::uint8_t kSyn = 0x02, kAck = 0x10;

// A client's packet to a published port of this host.
Frame client_frame(Family family, std::uint8_t protocol, std::uint8_t tcp_flags, std::uint16_t port);
// The same in the tunnel from the other host, for the binding here.
Frame tunnel_frame(Family family, std::uint8_t protocol, std::uint8_t tcp_flags);
// The answer of the backend of kBothPort, as it leaves its veth.
Frame reply_frame();
// A packet to another port of this host.
Frame other_frame();

}  // namespace mesh::bench
