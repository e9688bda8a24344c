#include "dns/message.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace mesh::dns {
namespace {

constexpr std::uint16_t kFlagResponse = 0x8000;
constexpr std::uint16_t kFlagAuthoritative = 0x0400;
constexpr std::uint16_t kFlagTruncated = 0x0200;
constexpr std::uint16_t kFlagRecursionDesired = 0x0100;
constexpr std::uint16_t kFlagRecursionAvailable = 0x0080;
constexpr std::uint16_t kOpcodeMask = 0x7800;
constexpr std::size_t kNameBytesMax = 255;  // RFC 1035 §2.3.4
constexpr std::uint8_t kLabelBytesMax = 63;
constexpr std::size_t kOptBytes = 11;

std::uint16_t get16(std::span<const std::uint8_t> p, std::size_t at) {
  return static_cast<std::uint16_t>((p[at] << 8U) | p[at + 1]);
}
void put16(Packet& p, std::size_t value) {
  p.push_back(static_cast<std::uint8_t>(value >> 8U));
  p.push_back(static_cast<std::uint8_t>(value));
}
void put32(Packet& p, std::uint32_t value) {
  put16(p, value >> 16U);
  put16(p, value & 0xffffU);
}
void set16(Packet& p, std::size_t at, std::size_t value) {
  p[at] = static_cast<std::uint8_t>(value >> 8U);
  p[at + 1] = static_cast<std::uint8_t>(value);
}

// Reads an uncompressed name at `at`; returns the offset behind it, 0 if it is malformed.
std::size_t read_name(std::span<const std::uint8_t> packet, std::size_t at, std::string& name) {
  const std::size_t start = at;
  while (at < packet.size()) {
    const std::uint8_t length = packet[at++];
    if (length == 0) return at;
    if (length > kLabelBytesMax || at + length > packet.size() || at + length - start >= kNameBytesMax) return 0;
    if (!name.empty()) name.push_back('.');
    for (std::size_t end = at + length; at < end; ++at) {
      const char c = static_cast<char>(packet[at]);
      if (c == '\0' || c == '.') return 0;
      name.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    }
  }
  return 0;
}

// Skips a record's owner name, which may end in a pointer.
std::size_t skip_owner(std::span<const std::uint8_t> packet, std::size_t at) {
  while (at < packet.size()) {
    const std::uint8_t length = packet[at];
    if (length == 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= packet.size() ? at + 2 : 0;
    at += 1U + length;
  }
  return 0;
}

// The OPT record among the additional records. False: the section is malformed or has two of them.
bool read_edns(std::span<const std::uint8_t> packet, std::size_t at, std::size_t count, std::optional<Edns>& edns) {
  for (; count > 0; --count) {
    at = skip_owner(packet, at);
    if (at == 0 || at + 10 > packet.size()) return false;
    const std::uint16_t type = get16(packet, at);
    if (type == static_cast<std::uint16_t>(Type::kOpt)) {
      if (edns) return false;
      edns = Edns{.udp_bytes = get16(packet, at + 2), .version = packet[at + 5]};
    }
    at += 10U + get16(packet, at + 8);
    if (at > packet.size()) return false;
  }
  return true;
}

void put_name(Packet& out, std::string_view name) {
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    out.push_back(static_cast<std::uint8_t>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  out.push_back(0);
}

Packet record_bytes(const Record& record) {
  Packet out;
  put16(out, 0xc000U | kHeaderBytes);  // the owner is the question's name
  put16(out, static_cast<std::size_t>(record.type));
  put16(out, 1);
  put32(out, record.ttl_s);
  Packet data;
  const IpAddress::Bytes& bytes = record.address.bytes();
  if (record.type == Type::kA) {
    data.assign(bytes.begin() + 12, bytes.end());
  } else if (record.type == Type::kAaaa) {
    data.assign(bytes.begin(), bytes.end());
  } else {
    put_name(data, record.name);
  }
  put16(out, data.size());
  out.insert(out.end(), data.begin(), data.end());
  return out;
}

void put_opt(Packet& out, Rcode rcode) {
  out.push_back(0);
  put16(out, static_cast<std::size_t>(Type::kOpt));
  put16(out, kUdpBytesMax);
  out.push_back(static_cast<std::uint8_t>(static_cast<unsigned>(rcode) >> 4U));
  out.push_back(0);  // version
  put16(out, 0);     // flags
  put16(out, 0);     // no options
}

}  // namespace

std::expected<Query, Malformed> parse_query(std::span<const std::uint8_t> packet) {
  if (packet.size() < kHeaderBytes) return std::unexpected(Malformed{});
  const std::uint16_t flags = get16(packet, 2);
  if ((flags & kFlagResponse) != 0) return std::unexpected(Malformed{});
  if ((flags & kOpcodeMask) != 0) return std::unexpected(Malformed{Rcode::kNotImp});
  const bool one_question = get16(packet, 4) == 1 && get16(packet, 6) == 0 && get16(packet, 8) == 0;
  if (!one_question) return std::unexpected(Malformed{Rcode::kFormErr});

  Query query;
  query.id = get16(packet, 0);
  query.recursion_desired = (flags & kFlagRecursionDesired) != 0;
  const std::size_t end = read_name(packet, kHeaderBytes, query.name);
  if (end == 0 || end + 4 > packet.size()) return std::unexpected(Malformed{Rcode::kFormErr});
  query.type = get16(packet, end);
  query.query_class = get16(packet, end + 2);
  query.question.assign(packet.begin() + kHeaderBytes, packet.begin() + static_cast<std::ptrdiff_t>(end + 4));
  if (!read_edns(packet, end + 4, get16(packet, 10), query.edns)) return std::unexpected(Malformed{Rcode::kFormErr});
  return query;
}

Packet write_answer(const Query& query, Rcode rcode, std::span<const Record> records, std::size_t bytes_max) {
  Packet out;
  put16(out, query.id);
  std::size_t flags =
      kFlagResponse | kFlagAuthoritative | kFlagRecursionAvailable | (static_cast<unsigned>(rcode) & 0xfU);
  if (query.recursion_desired) flags |= kFlagRecursionDesired;
  put16(out, flags);
  put16(out, 1);
  put16(out, 0);
  put16(out, 0);
  put16(out, query.edns ? 1 : 0);
  out.insert(out.end(), query.question.begin(), query.question.end());

  const std::size_t room = bytes_max - std::min(bytes_max, query.edns ? kOptBytes : 0);
  std::size_t written = 0;
  for (const Record& record : records) {
    const Packet bytes = record_bytes(record);
    if (out.size() + bytes.size() > room) {
      set16(out, 2, flags | kFlagTruncated);
      break;
    }
    out.insert(out.end(), bytes.begin(), bytes.end());
    ++written;
  }
  set16(out, 6, written);
  if (query.edns) put_opt(out, rcode);
  return out;
}

Packet write_error(std::span<const std::uint8_t> packet, Rcode rcode) {
  Packet out(kHeaderBytes, 0);
  out[0] = packet[0];
  out[1] = packet[1];
  const std::size_t kept = get16(packet, 2) & (kOpcodeMask | kFlagRecursionDesired);
  set16(out, 2, kept | kFlagResponse | static_cast<unsigned>(rcode));
  return out;
}

std::optional<IpAddress> parse_reverse_name(std::string_view name) {
  constexpr std::string_view kV4 = ".in-addr.arpa";
  constexpr std::string_view kV6 = ".ip6.arpa";
  IpAddress::Bytes bytes{};
  if (name.ends_with(kV4)) {
    name.remove_suffix(kV4.size());
    bytes[10] = bytes[11] = 0xff;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::string_view part = name.substr(0, name.find('.'));
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), bytes[15 - i]);
      if (error != std::errc{} || end != part.data() + part.size()) return std::nullopt;
      name.remove_prefix(std::min(name.size(), part.size() + 1));
    }
    return name.empty() ? std::optional(IpAddress(bytes)) : std::nullopt;
  }
  if (!name.ends_with(kV6) || name.size() != 63 + kV6.size()) return std::nullopt;
  for (std::size_t i = 0; i < 32; ++i) {
    const std::string_view digit = name.substr(2 * i, 1);
    std::uint8_t nibble = 0;
    const auto [end, error] = std::from_chars(digit.data(), digit.data() + 1, nibble, 16);
    const bool separated = i == 31 || name[2 * i + 1] == '.';
    if (error != std::errc{} || end != digit.data() + 1 || !separated) return std::nullopt;
    bytes[15 - i / 2] = static_cast<std::uint8_t>(bytes[15 - i / 2] | (nibble << (i % 2 == 0 ? 0U : 4U)));
  }
  return IpAddress(bytes);
}

}  // namespace mesh::dns
