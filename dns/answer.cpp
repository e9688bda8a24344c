#include "dns/answer.h"

#include <algorithm>
#include <utility>

namespace mesh::dns {
namespace {

constexpr std::uint16_t kClassIn = 1;
constexpr std::uint16_t kClassAny = 255;

bool asks(const Query& query, Type type) {
  return query.type == static_cast<std::uint16_t>(type) || query.type == static_cast<std::uint16_t>(Type::kAny);
}

std::vector<Record> address_records(const Query& query, const std::vector<IpAddress>& addresses, std::uint32_t ttl_s,
                                    std::uint32_t rotation) {
  std::vector<Record> records;
  for (const IpAddress& address : addresses) {
    const Type type = address.is_v4() ? Type::kA : Type::kAaaa;
    if (asks(query, type)) records.push_back({.type = type, .ttl_s = ttl_s, .address = address, .name = {}});
  }
  if (!records.empty()) {
    std::ranges::rotate(records, records.begin() + static_cast<std::ptrdiff_t>(rotation % records.size()));
  }
  return records;
}

}  // namespace

std::size_t answer_bytes_max(const Query& query, Transport transport) {
  if (transport == Transport::kTcp) return kMessageBytesMax;
  const std::size_t asked = query.edns ? query.edns->udp_bytes : kUdpBytesDefault;
  return std::clamp(asked, kUdpBytesDefault, kUdpBytesMax);
}

Decision decide(const Table& table, std::span<const std::uint8_t> packet, const IpAddress& source, Transport transport,
                std::uint32_t rotation) {
  auto parsed = parse_query(packet);
  if (!parsed) {
    if (!parsed.error().reply) return Ignore{};
    return Reply{write_error(packet, *parsed.error().reply)};
  }
  Query& query = *parsed;
  const std::size_t bytes_max = answer_bytes_max(query, transport);
  const auto reply = [&](Rcode rcode, std::span<const Record> records) {
    return Reply{write_answer(query, rcode, records, bytes_max)};
  };
  if (query.edns && query.edns->version != 0) return reply(Rcode::kBadVers, {});
  const Client* client = table.client(source);
  if (client == nullptr) return reply(Rcode::kRefused, {});

  const std::uint32_t ttl_s = table.desired().ttl_s;
  if (query.query_class == kClassIn || query.query_class == kClassAny) {
    if (const auto* addresses = table.find(*client, query.name)) {
      return reply(Rcode::kNoError, address_records(query, *addresses, ttl_s, rotation));
    }
    if (const auto address = parse_reverse_name(query.name)) {
      const std::vector<std::string> names = table.reverse(*client, *address);
      std::vector<Record> records;
      for (const std::string& name : names) {
        if (asks(query, Type::kPtr))
          records.push_back({.type = Type::kPtr, .ttl_s = ttl_s, .address = {}, .name = name});
      }
      if (!names.empty()) return reply(Rcode::kNoError, records);
    }
  }
  if (table.desired().upstreams.empty()) return reply(Rcode::kServFail, {});
  return Forward{std::move(query)};
}

}  // namespace mesh::dns
