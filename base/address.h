// Network addresses as values. Every address holds 16 bytes in network order; IPv4 is kept IPv4-mapped
// (::ffff:a.b.c.d, RFC 4291 §2.5.5.2), so one code path and one map key serve both families.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mesh {

class IpAddress {
 public:
  using Bytes = std::array<std::uint8_t, 16>;

  IpAddress() = default;  // "::", also "no address"
  explicit IpAddress(const Bytes& bytes) : bytes_(bytes) {}
  // From an IPv4 address in host byte order: 0x0a000001 is 10.0.0.1.
  [[nodiscard]] static IpAddress v4(std::uint32_t host_order);
  // "10.0.0.1" or "fd00::1" (RFC 5952); no zone, no port.
  [[nodiscard]] static Result<IpAddress> parse(std::string_view text);

  [[nodiscard]] const Bytes& bytes() const { return bytes_; }
  [[nodiscard]] bool is_v4() const;
  [[nodiscard]] bool is_unset() const { return bytes_ == Bytes{}; }
  [[nodiscard]] bool is_unspecified() const;  // 0.0.0.0, ::
  [[nodiscard]] bool is_loopback() const;     // 127/8, ::1
  // Host byte order; meaningful only if is_v4().
  [[nodiscard]] std::uint32_t v4_host_order() const;
  // Address + offset, carrying over 128 bits.
  [[nodiscard]] IpAddress plus(std::uint64_t offset) const;
  [[nodiscard]] std::string to_string() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  Bytes bytes_{};
};

// A prefix; host bits are zero. `length` counts bits of the address's own family (0-32 or 0-128).
struct Cidr {
  IpAddress network;
  std::uint8_t length = 0;

  // "10.0.1.0/24"; host bits set is kInvalid and the message names the right prefix.
  [[nodiscard]] static Result<Cidr> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& address) const;
  [[nodiscard]] bool overlaps(const Cidr& other) const;
  // Number of addresses, saturated at 2^63.
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] std::string to_string() const;
  auto operator<=>(const Cidr&) const = default;
};

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  [[nodiscard]] static Result<MacAddress> parse(std::string_view text);  // "02:42:0a:00:00:05"
  // 02:42 and the four bytes of an IPv4 address: an endpoint's MAC follows from its ingress address on every host,
  // so MACs need not be distributed.
  [[nodiscard]] static MacAddress of_endpoint(const IpAddress& ingress_v4);
  [[nodiscard]] std::string to_string() const;
  auto operator<=>(const MacAddress&) const = default;
};

// "host:port" for TCP/UDP; IPv6 in brackets.
struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;  // host byte order

  // "1.2.3.4:80", "[::1]:80"; with default_port != 0 the port may be absent.
  [[nodiscard]] static Result<SocketAddress> parse(std::string_view text, std::uint16_t default_port = 0);
  [[nodiscard]] std::string to_string() const;
  auto operator<=>(const SocketAddress&) const = default;
};

}  // namespace mesh
