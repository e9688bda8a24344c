#include <set>

#include <gtest/gtest.h>

#include "dns/answer.h"
#include "tests/unit/dns_packets.h"

namespace mesh::dns {
namespace {

using namespace testing;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

Desired names() {
  Desired desired;
  desired.version = 3;
  desired.networks = {
      {.id = "net1",
       .name = "front",
       .names = {{"iotd", {ip("10.1.0.2")}},
                 {"tasks.iotd", {ip("10.1.0.5"), ip("10.1.0.6"), ip("10.1.0.7")}},
                 {"shared", {ip("10.1.0.9")}},
                 {"dual", {ip("10.1.0.4"), ip("fd00::4")}}},
       .reverse = {{ip("10.1.0.5"), "iotd.1.abc.front"}}},
      {.id = "net2",
       .name = "back",
       .names = {{"db", {ip("10.2.0.2")}}, {"shared", {ip("10.2.0.9")}}},
       .reverse = {{ip("10.2.0.2"), "db.1.def.back"}}},
  };
  desired.clients = {{.address = ip("10.0.0.10"), .address_v6 = ip("fd01::10"), .network_ids = {"net1", "net2"}},
                     {.address = ip("10.0.0.11"), .address_v6 = {}, .network_ids = {"net2"}}};
  desired.upstreams = {{.address = ip("127.0.0.53")}};
  return desired;
}

struct Row {
  const char* what;
  const char* source;
  const char* name;
  unsigned type;
  unsigned answers;
  unsigned code;
  bool forwarded;
};

TEST(DnsAnswer, FollowsTheTable) {
  const Table table(names());
  const Row rows[] = {
      {"service", "10.0.0.10", "iotd", 1, 1, 0, false},
      {"service in capitals", "10.0.0.10", "IOTD", 1, 1, 0, false},
      {"AAAA of an IPv4-only name", "10.0.0.10", "iotd", 28, 0, 0, false},
      {"another type of a known name", "10.0.0.10", "iotd", 15, 0, 0, false},
      {"both families", "10.0.0.10", "dual", 255, 2, 0, false},
      {"tasks", "10.0.0.10", "tasks.iotd", 1, 3, 0, false},
      {"with the network's name", "10.0.0.10", "iotd.front", 1, 1, 0, false},
      {"with a network it is not on", "10.0.0.10", "iotd.back", 1, 0, 0, true},
      {"asked over IPv6", "fd01::10", "iotd", 1, 1, 0, false},
      {"another network's name", "10.0.0.11", "iotd", 1, 0, 0, true},
      {"own network", "10.0.0.11", "db", 1, 1, 0, false},
      {"a stranger", "192.0.2.1", "iotd", 1, 0, 5, false},
      {"outside", "10.0.0.10", "example.org", 1, 0, 0, true},
      {"PTR", "10.0.0.10", "5.0.1.10.in-addr.arpa", 12, 1, 0, false},
      {"PTR of another network's address", "10.0.0.11", "5.0.1.10.in-addr.arpa", 12, 0, 0, true},
      {"the root", "10.0.0.10", "", 2, 0, 0, true},
  };
  for (const Row& row : rows) {
    const Decision decision = decide(table, query(row.name, row.type), ip(row.source), Transport::kUdp, 0);
    ASSERT_EQ(std::holds_alternative<Forward>(decision), row.forwarded) << row.what;
    if (row.forwarded) continue;
    const Raw& reply = std::get<Reply>(decision).bytes;
    EXPECT_EQ(rcode(reply), row.code) << row.what;
    EXPECT_EQ(answer_count(reply), row.answers) << row.what;
  }
}

TEST(DnsAnswer, FirstAttachmentWins) {
  const Table table(names());
  const auto first = [&](const char* source) {
    const Raw reply = std::get<Reply>(decide(table, query("shared", 1), ip(source), Transport::kUdp, 0)).bytes;
    return static_cast<int>(reply[reply.size() - 3]);
  };
  EXPECT_EQ(first("10.0.0.10"), 1);  // 10.1.0.9
  EXPECT_EQ(first("10.0.0.11"), 2);  // 10.2.0.9
}

TEST(DnsAnswer, RotatesSeveralAddresses) {
  const Table table(names());
  std::set<std::uint8_t> first;
  for (std::uint32_t rotation = 0; rotation < 3; ++rotation) {
    const Raw reply =
        std::get<Reply>(decide(table, query("tasks.iotd", 1), ip("10.0.0.10"), Transport::kUdp, rotation)).bytes;
    first.insert(reply[12 + name_bytes("tasks.iotd").size() + 4 + 15]);
  }
  EXPECT_EQ(first.size(), 3U);
}

TEST(DnsAnswer, WithoutUpstreamOtherNamesFail) {
  Desired desired = names();
  desired.upstreams.clear();
  const Table table(desired);
  const auto decision = decide(table, query("example.org", 1), ip("10.0.0.10"), Transport::kUdp, 0);
  EXPECT_EQ(rcode(std::get<Reply>(decision).bytes), 2U);
}

TEST(DnsAnswer, TruncatesOverUdpAndNotOverTcp) {
  Desired desired = names();
  for (unsigned i = 0; i < 100; ++i) desired.networks[0].names[1].addresses.push_back(IpAddress::v4(0x0a010100U + i));
  const Table table(desired);
  const auto ask = [&](unsigned edns_bytes, Transport transport) {
    return std::get<Reply>(decide(table, query("tasks.iotd", 1, edns_bytes), ip("10.0.0.10"), transport, 0)).bytes;
  };
  EXPECT_TRUE(truncated(ask(0, Transport::kUdp)));
  EXPECT_LE(ask(0, Transport::kUdp).size(), 512U);
  EXPECT_LE(ask(65535, Transport::kUdp).size(), kUdpBytesMax);
  EXPECT_GT(answer_count(ask(1232, Transport::kUdp)), answer_count(ask(0, Transport::kUdp)));
  EXPECT_FALSE(truncated(ask(0, Transport::kTcp)));
  EXPECT_EQ(answer_count(ask(0, Transport::kTcp)), 103U);
}

TEST(DnsAnswer, EdnsVersionAndGarbage) {
  const Table table(names());
  const auto bad_version = decide(table, query("iotd", 1, 1232, 1, 0x0001), ip("10.0.0.10"), Transport::kUdp, 0);
  const Raw& reply = std::get<Reply>(bad_version).bytes;
  EXPECT_EQ(rcode(reply), 0U);            // low bits of BADVERS (16)
  EXPECT_EQ(reply[reply.size() - 6], 1);  // high bits in the OPT record
  EXPECT_TRUE(std::holds_alternative<Ignore>(decide(table, Raw{1, 2, 3}, ip("10.0.0.10"), Transport::kUdp, 0)));
}

TEST(DnsDesired, ReadsResolvConf) {
  const auto read = [](std::string_view text) {
    std::string all;
    for (const Upstream& upstream : parse_resolv_conf(text)) all += upstream.address.to_string() + " ";
    return all;
  };
  EXPECT_EQ(read("nameserver 192.0.2.1\n# nameserver 9.9.9.9\nnameserver\tfd00::1 ; x\n"), "192.0.2.1 fd00::1 ");
  EXPECT_EQ(read("nameserver 127.0.0.11\nnameserver 127.0.0.53"), "127.0.0.53 ");
  EXPECT_EQ(read("nameserver fe80::1%eth0\nnameserverx 1.1.1.1\nsearch a\n"), "");
  EXPECT_EQ(read("nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"),
            "192.0.2.1 192.0.2.2 192.0.2.3 ");
}

}  // namespace
}  // namespace mesh::dns
