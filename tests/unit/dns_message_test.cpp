#include <random>

#include <gtest/gtest.h>

#include "dns/message.h"
#include "tests/unit/dns_packets.h"

namespace mesh::dns {
namespace {

using namespace testing;

TEST(DnsMessage, ReadsAQuery) {
  const auto parsed = parse_query(query("IoTd.Example", 28, 4096));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->id, 0x1234);
  EXPECT_EQ(parsed->name, "iotd.example");
  EXPECT_EQ(parsed->type, 28);
  EXPECT_EQ(parsed->query_class, 1);
  EXPECT_TRUE(parsed->recursion_desired);
  ASSERT_TRUE(parsed->edns);
  EXPECT_EQ(parsed->edns->udp_bytes, 4096);
}

struct BadQuery {
  const char* what;
  Raw packet;
  std::optional<Rcode> reply;
};

Raw changed(Raw raw, std::size_t at, std::uint8_t value) {
  raw[at] = value;
  return raw;
}
Raw cut(Raw raw, std::size_t size) {
  raw.resize(size);
  return raw;
}

TEST(DnsMessage, RefusesMalformedQueries) {
  const Raw good = query("iotd", 1);
  Raw two_opts = query("iotd", 1, 1232);
  two_opts.insert(two_opts.end(), two_opts.end() - 11, two_opts.end());
  two_opts[11] = 2;
  const std::string long_label(64, 'a');
  std::string long_name;
  for (int i = 0; i < 5; ++i) long_name += std::string(60, 'b') + ".";
  const BadQuery table[] = {
      {"empty", {}, std::nullopt},
      {"less than a header", cut(good, 11), std::nullopt},
      {"a response", changed(good, 2, 0x81), std::nullopt},
      {"another opcode", changed(good, 2, 0x29), Rcode::kNotImp},
      {"no question", changed(good, 5, 0), Rcode::kFormErr},
      {"two questions", changed(good, 5, 2), Rcode::kFormErr},
      {"an answer in a query", changed(good, 7, 1), Rcode::kFormErr},
      {"name cut", cut(good, 15), Rcode::kFormErr},
      {"type cut", cut(good, good.size() - 3), Rcode::kFormErr},
      {"compression pointer", changed(good, 12, 0xc0), Rcode::kFormErr},
      {"label of 64", query(long_label, 1), Rcode::kFormErr},
      {"name over 255", query(long_name, 1), Rcode::kFormErr},
      {"dot inside a label", changed(good, 14, '.'), Rcode::kFormErr},
      {"NUL inside a label", changed(good, 14, 0), Rcode::kFormErr},
      {"OPT announced, absent", changed(good, 11, 1), Rcode::kFormErr},
      {"two OPT records", two_opts, Rcode::kFormErr},
  };
  for (const BadQuery& row : table) {
    const auto parsed = parse_query(row.packet);
    ASSERT_FALSE(parsed) << row.what;
    EXPECT_EQ(parsed.error().reply, row.reply) << row.what;
  }
}

// Random bytes and random changes of good queries: no read beyond the packet (the sanitizers watch), and what parses
// has a question that lies inside the packet.
TEST(DnsMessage, SurvivesGarbage) {
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    Raw packet = query("tasks.image-gallery.example", 1, 1232);
    for (unsigned edits = random() % 8; edits > 0; --edits)
      packet[random() % packet.size()] = static_cast<std::uint8_t>(random());
    packet.resize(random() % (packet.size() + 1));
    const auto parsed = parse_query(packet);
    if (parsed) {
      EXPECT_LE(parsed->question.size() + kHeaderBytes, packet.size());
    }
  }
}

TEST(DnsMessage, WritesRecordsAndEchoesTheLetterCase) {
  const auto parsed = parse_query(query("IoTD", 255));
  ASSERT_TRUE(parsed);
  const Record records[] = {{.type = Type::kA, .ttl_s = 600, .address = *IpAddress::parse("10.1.0.5"), .name = {}},
                            {.type = Type::kAaaa, .ttl_s = 600, .address = *IpAddress::parse("fd00::5"), .name = {}},
                            {.type = Type::kPtr, .ttl_s = 600, .address = {}, .name = "a.b"}};
  const Raw reply = write_answer(*parsed, Rcode::kNoError, records, 512);
  EXPECT_EQ(answer_count(reply), 3U);
  EXPECT_FALSE(truncated(reply));
  const Raw question = name_bytes("IoTD");
  EXPECT_TRUE(std::equal(question.begin(), question.end(), reply.begin() + 12));
  const Raw expected_a = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x02, 0x58, 0, 4, 10, 1, 0, 5};
  EXPECT_TRUE(std::equal(expected_a.begin(), expected_a.end(), reply.begin() + 22));
  const Raw expected_ptr = {0, 5, 1, 'a', 1, 'b', 0};
  EXPECT_TRUE(std::equal(expected_ptr.rbegin(), expected_ptr.rend(), reply.rbegin()));
}

TEST(DnsMessage, TruncatesAtTheLimit) {
  const auto parsed = parse_query(query("tasks.web", 1, 1232));
  ASSERT_TRUE(parsed);
  std::vector<Record> records;
  for (unsigned i = 0; i < 200; ++i) {
    records.push_back({.type = Type::kA, .ttl_s = 1, .address = IpAddress::v4(0x0a000000U + i), .name = {}});
  }
  for (std::size_t limit = 64; limit <= 4096; limit += 7) {
    const Raw reply = write_answer(*parsed, Rcode::kNoError, records, limit);
    EXPECT_LE(reply.size(), limit);
    EXPECT_EQ(truncated(reply), answer_count(reply) < records.size()) << limit;
  }
}

TEST(DnsMessage, ReadsReverseNames) {
  const struct {
    const char* name;
    const char* address;  // null: not a reverse name
  } table[] = {
      {"5.2.1.10.in-addr.arpa", "10.1.2.5"},
      {"b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa", "4321:0:1:2:3:4:567:89ab"},
      {"2.1.10.in-addr.arpa", nullptr},
      {"256.2.1.10.in-addr.arpa", nullptr},
      {"1.5.2.1.10.in-addr.arpa", nullptr},
      {"x.2.1.10.in-addr.arpa", nullptr},
      {"in-addr.arpa", nullptr},
      {"g.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa", nullptr},
      {"iotd", nullptr},
  };
  for (const auto& row : table) {
    const auto address = parse_reverse_name(row.name);
    ASSERT_EQ(address.has_value(), row.address != nullptr) << row.name;
    if (address) {
      EXPECT_EQ(address->to_string(), row.address);
    }
  }
}

}  // namespace
}  // namespace mesh::dns
