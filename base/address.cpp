#include "base/address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>

#include <fmt/format.h>

#include "base/text.h"

namespace mesh {
namespace {

constexpr std::size_t kMappedAt = 12;      // where the IPv4 bytes of a mapped address start
constexpr unsigned kMappedBits = 96;       // length of ::ffff:0:0/96
constexpr std::size_t kTextBytesMax = 64;  // longer than any address; keeps error messages short

std::string excerpt(std::string_view text) { return std::string(text.substr(0, kTextBytesMax)); }

// `address` with all but its first `bits` (of 128) cleared.
IpAddress masked(const IpAddress& address, unsigned bits) {
  IpAddress::Bytes bytes = address.bytes();
  for (unsigned i = 0; i < bytes.size(); ++i) {
    const unsigned start = i * 8;
    if (start >= bits) {
      bytes[i] = 0;
    } else if (bits - start < 8) {
      bytes[i] = static_cast<std::uint8_t>(bytes[i] & 0xff00U >> (bits - start));
    }
  }
  return IpAddress(bytes);
}

unsigned family_bits(const IpAddress& address) { return address.is_v4() ? 32 : 128; }

unsigned full_length(const Cidr& cidr) { return cidr.length + (cidr.network.is_v4() ? kMappedBits : 0); }

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  Bytes bytes{};
  bytes[10] = bytes[11] = 0xff;
  for (unsigned i = 0; i < 4; ++i) bytes[kMappedAt + i] = static_cast<std::uint8_t>(host_order >> (24U - 8U * i));
  return IpAddress(bytes);
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy = excerpt(text);
  in_addr v4{};
  in6_addr v6{};
  if (copy.size() == text.size() && text.find('\0') == std::string_view::npos) {
    if (::inet_pton(AF_INET, copy.c_str(), &v4) == 1) return IpAddress::v4(ntohl(v4.s_addr));
    if (::inet_pton(AF_INET6, copy.c_str(), &v6) == 1) {
      Bytes bytes{};
      std::memcpy(bytes.data(), &v6, bytes.size());
      return IpAddress(bytes);
    }
  }
  return fail(ErrorKind::kInvalid, fmt::format("\"{}\" is not an IP address, like 10.0.0.1 or fd00::1", copy));
}

bool IpAddress::is_v4() const {
  constexpr std::array<std::uint8_t, kMappedAt> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(kMapped.begin(), kMapped.end(), bytes_.begin());
}

bool IpAddress::is_unspecified() const { return is_unset() || *this == v4(0); }

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[kMappedAt] == 127;
  Bytes one{};
  one.back() = 1;
  return bytes_ == one;
}

std::uint32_t IpAddress::v4_host_order() const {
  std::uint32_t value = 0;
  for (std::size_t i = kMappedAt; i < bytes_.size(); ++i) value = value << 8U | bytes_[i];
  return value;
}

IpAddress IpAddress::plus(std::uint64_t offset) const {
  Bytes bytes = bytes_;
  std::uint64_t carry = offset;
  for (std::size_t i = bytes.size(); i-- > 0 && carry != 0;) {
    // The sum of a byte and the low byte of the carry; the rest moves on, so nothing overflows.
    const std::uint64_t sum = bytes[i] + (carry & 0xffU);
    bytes[i] = static_cast<std::uint8_t>(sum & 0xffU);
    carry = (carry >> 8U) + (sum >> 8U);
  }
  return IpAddress(bytes);
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (is_v4()) {
    ::inet_ntop(AF_INET, &bytes_[kMappedAt], text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, bytes_.data(), text.data(), text.size());
  }
  return text.data();
}

Result<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) {
    return fail(ErrorKind::kInvalid,
                fmt::format("\"{}\" has no prefix length: write it like 10.0.1.0/24", excerpt(text)));
  }
  const IpAddress address = TRY_IN("prefix", IpAddress::parse(text.substr(0, slash)));
  const auto length = parse_number<std::uint8_t>(text.substr(slash + 1));
  if (!length || *length > family_bits(address)) {
    return fail(ErrorKind::kInvalid, fmt::format("\"{}\": the prefix length must be a number from 0 to {}",
                                                 excerpt(text), family_bits(address)));
  }
  Cidr cidr{.network = address, .length = *length};
  cidr.network = masked(address, full_length(cidr));
  if (cidr.network.is_v4() != address.is_v4() || cidr.network != address) {
    return fail(ErrorKind::kInvalid,
                fmt::format("\"{}\" has host bits set: the prefix is {}", excerpt(text), cidr.to_string()));
  }
  return cidr;
}

bool Cidr::contains(const IpAddress& address) const {
  return address.is_v4() == network.is_v4() && masked(address, full_length(*this)) == network;
}

bool Cidr::overlaps(const Cidr& other) const {
  return length <= other.length ? contains(other.network) : other.contains(network);
}

std::uint64_t Cidr::size() const {
  constexpr unsigned kSaturated = 63;
  return std::uint64_t{1} << std::min(family_bits(network) - length, kSaturated);
}

std::string Cidr::to_string() const { return fmt::format("{}/{}", network.to_string(), length); }

Result<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress mac;
  const auto parts = split(text, ':');
  bool good = parts.size() == mac.bytes.size();
  for (std::size_t i = 0; good && i < parts.size(); ++i) {
    const char* end = parts[i].data() + parts[i].size();
    const auto [rest, error] = std::from_chars(parts[i].data(), end, mac.bytes[i], 16);
    good = parts[i].size() == 2 && error == std::errc{} && rest == end;
  }
  if (good) return mac;
  return fail(ErrorKind::kInvalid, fmt::format("\"{}\" is not a MAC address, like 02:42:0a:00:00:05", excerpt(text)));
}

MacAddress MacAddress::of_endpoint(const IpAddress& ingress_v4) {
  MacAddress mac{.bytes = {0x02, 0x42}};
  std::copy(ingress_v4.bytes().begin() + kMappedAt, ingress_v4.bytes().end(), mac.bytes.begin() + 2);
  return mac;
}

std::string MacAddress::to_string() const { return fmt::format("{:02x}", fmt::join(bytes, ":")); }

Result<SocketAddress> SocketAddress::parse(std::string_view text, std::uint16_t default_port) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    const std::string_view rest = close == std::string_view::npos ? std::string_view{"?"} : text.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') {
      return fail(ErrorKind::kInvalid,
                  fmt::format("\"{}\": write an IPv6 address and port like [fd00::1]:80", excerpt(text)));
    }
    host = text.substr(1, close - 1);
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    const std::size_t colon = text.find(':');
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  SocketAddress address;
  address.ip = TRY_IN(fmt::format("address \"{}\"", excerpt(text)), IpAddress::parse(host));
  if (!has_port && default_port != 0) {
    address.port = default_port;
    return address;
  }
  const auto number = parse_number<std::uint16_t>(port);
  if (!number) {
    return fail(ErrorKind::kInvalid, fmt::format("\"{}\" needs a port from 0 to 65535, like {}", excerpt(text),
                                                 SocketAddress{address.ip, 80}.to_string()));
  }
  address.port = *number;
  return address;
}

std::string SocketAddress::to_string() const {
  return ip.is_v4() ? fmt::format("{}:{}", ip.to_string(), port) : fmt::format("[{}]:{}", ip.to_string(), port);
}

}  // namespace mesh
