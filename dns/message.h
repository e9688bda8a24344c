// DNS messages (RFC 1035 §4, EDNS0 RFC 6891): reading a query and writing the answer. Pure; bytes in, bytes out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace mesh::dns {

using Packet = std::vector<std::uint8_t>;

inline constexpr std::size_t kHeaderBytes = 12;
inline constexpr std::size_t kMessageBytesMax = 65535;  // the TCP length field
inline constexpr std::size_t kUdpBytesDefault = 512;    // RFC 1035 §4.2.1
inline constexpr std::size_t kUdpBytesMax = 1232;       // fits every IPv6 path; larger EDNS sizes are cut to it

enum class Type : std::uint16_t { kA = 1, kPtr = 12, kAaaa = 28, kOpt = 41, kAny = 255 };
enum class Rcode : std::uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kBadVers = 16,  // needs the EDNS extension of the code
};

struct Edns {
  std::uint16_t udp_bytes = kUdpBytesDefault;
  std::uint8_t version = 0;
};

struct Query {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  std::string name;  // lower case, labels joined by dots, no final dot; a label's own dot or NUL is refused
  std::uint16_t type = 0;
  std::uint16_t query_class = 0;
  Packet question;  // the question section as it came: its letter case is echoed (0x20 encoding)
  std::optional<Edns> edns;
};

// Why a packet gets no normal answer: nothing at all (a response, less than a header), or an error code.
struct Malformed {
  std::optional<Rcode> reply;
};

// One query out of a packet. Compression pointers in a question are refused: no sender writes them.
[[nodiscard]] std::expected<Query, Malformed> parse_query(std::span<const std::uint8_t> packet);

struct Record {
  Type type = Type::kA;
  std::uint32_t ttl_s = 0;
  IpAddress address;  // A, AAAA
  std::string name;   // PTR
};

// The answer with as many records as `bytes_max` holds; TC is set when some did not fit.
[[nodiscard]] Packet write_answer(const Query& query, Rcode rcode, std::span<const Record> records,
                                  std::size_t bytes_max);
// An error for a packet that has no readable question: header only, id and opcode echoed.
[[nodiscard]] Packet write_error(std::span<const std::uint8_t> packet, Rcode rcode);

// "5.1.0.10.in-addr.arpa" or the nibble form under ip6.arpa (RFC 1035 §3.5, RFC 3596 §2.5).
[[nodiscard]] std::optional<IpAddress> parse_reverse_name(std::string_view name);

}  // namespace mesh::dns
