// What to do with one query: answer it from the table, pass it to the host's resolvers, or ignore it. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <variant>

#include "dns/message.h"
#include "dns/table.h"

namespace mesh::dns {

enum class Transport : std::uint8_t { kUdp, kTcp };

struct Reply {
  Packet bytes;
};
// Not a name of the cluster: `query` goes to the upstreams as it came.
struct Forward {
  Query query;
};
struct Ignore {};
using Decision = std::variant<Reply, Forward, Ignore>;

// `rotation` varies the order of several addresses (any number; the caller draws it). A source that is no task of this
// host is refused: names are as private as the networks.
[[nodiscard]] Decision decide(const Table& table, std::span<const std::uint8_t> packet, const IpAddress& source,
                              Transport transport, std::uint32_t rotation);

// The largest answer that this query may get over this transport.
[[nodiscard]] std::size_t answer_bytes_max(const Query& query, Transport transport);

}  // namespace mesh::dns
