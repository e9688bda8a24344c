#include <random>

#include <gtest/gtest.h>

#include "base/address.h"

namespace mesh {
namespace {

using Random = std::mt19937_64;

IpAddress random_address(Random& random) {
  if (random() % 2 == 0) return IpAddress::v4(static_cast<std::uint32_t>(random()));
  IpAddress::Bytes bytes{};
  // Often zero or 0xff: runs of zeros and mapped addresses are where text forms go wrong.
  for (auto& byte : bytes) {
    const auto choice = random() % 4;
    byte = choice == 0 ? static_cast<std::uint8_t>(random()) : choice == 1 ? 0xff : 0;
  }
  return IpAddress(bytes);
}

bool bit(const IpAddress& address, unsigned index) { return (address.bytes()[index / 8] >> (7 - index % 8) & 1) != 0; }

TEST(IpAddress, parses_and_formats) {
  struct Case {
    const char* text;
    const char* formatted;
    bool v4;
  };
  const Case cases[] = {
      {"10.0.0.1", "10.0.0.1", true},
      {"0.0.0.0", "0.0.0.0", true},
      {"255.255.255.255", "255.255.255.255", true},
      {"::", "::", false},
      {"::1", "::1", false},
      {"fd00:0:0:1::00a", "fd00:0:0:1::a", false},
      {"FD00::AB", "fd00::ab", false},
      {"::ffff:1.2.3.4", "1.2.3.4", true},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", false},
  };
  for (const Case& c : cases) {
    const auto address = IpAddress::parse(c.text);
    ASSERT_TRUE(address) << c.text;
    EXPECT_EQ(address->to_string(), c.formatted);
    EXPECT_EQ(address->is_v4(), c.v4) << c.text;
  }
}

TEST(IpAddress, refuses_what_is_none) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "10.0.0.1 ", "010.0.0.1", "1.2.3.4.5", "fd00:::1",
                           "g::", "fe80::1%eth0", "[::1]", "10.0.0.1/8", "localhost"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().kind, ErrorKind::kInvalid);
    EXPECT_NE(address.error().message.find(text), std::string::npos);
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("10.0.0.1\0", 9)));
  EXPECT_LT(IpAddress::parse(std::string(10'000, '1')).error().message.size(), 200U);
}

TEST(IpAddress, text_form_round_trips) {
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    const IpAddress address = random_address(random);
    EXPECT_EQ(IpAddress::parse(address.to_string()), address);
  }
}

TEST(IpAddress, host_order) {
  const IpAddress address = IpAddress::v4(0x0a000102);
  EXPECT_EQ(address.to_string(), "10.0.1.2");
  EXPECT_EQ(address.v4_host_order(), 0x0a000102U);
}

TEST(IpAddress, plus_carries) {
  struct Case {
    const char* from;
    std::uint64_t offset;
    const char* to;
  };
  const Case cases[] = {
      {"10.0.0.255", 1, "10.0.1.0"},
      {"10.0.0.0", 65536, "10.1.0.0"},
      {"fd00::ffff:ffff:ffff:ffff", 1, "fd00:0:0:1::"},
      {"fd00::ffff:ffff:ffff:ffff", UINT64_MAX, "fd00::1:ffff:ffff:ffff:fffe"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1, "::"},
      {"fd00::", 0, "fd00::"},
  };
  for (const Case& c : cases) EXPECT_EQ(IpAddress::parse(c.from)->plus(c.offset).to_string(), c.to) << c.from;
}

TEST(IpAddress, kinds) {
  EXPECT_TRUE(IpAddress().is_unset());
  EXPECT_FALSE(IpAddress::parse("0.0.0.0")->is_unset());
  EXPECT_TRUE(IpAddress::parse("0.0.0.0")->is_unspecified());
  EXPECT_TRUE(IpAddress::parse("::")->is_unspecified());
  EXPECT_FALSE(IpAddress::parse("0.0.0.1")->is_unspecified());
  EXPECT_FALSE(IpAddress::parse("::1")->is_unspecified());
  EXPECT_TRUE(IpAddress::parse("127.3.2.1")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("128.0.0.1")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("::2")->is_loopback());
}

TEST(Cidr, parses_and_formats) {
  for (const char* text : {"10.0.1.0/24", "0.0.0.0/0", "10.1.2.3/32", "fd00::/64", "::/0", "::1/128", "128.0.0.0/1"}) {
    const auto cidr = Cidr::parse(text);
    ASSERT_TRUE(cidr) << text;
    EXPECT_EQ(cidr->to_string(), text);
  }
}

TEST(Cidr, refusals_say_what_is_right) {
  struct Case {
    const char* text;
    const char* hint;
  };
  const Case cases[] = {
      {"10.0.1.7/24", "the prefix is 10.0.1.0/24"},
      {"fd00::1/64", "the prefix is fd00::/64"},
      {"10.0.1.0", "10.0.1.0/24"},
      {"10.0.1.0/33", "from 0 to 32"},
      {"fd00::/129", "from 0 to 128"},
      {"10.0.1.0/", "from 0 to 32"},
      {"10.0.1.0/+8", "from 0 to 32"},
      {"10.0.1.0/-1", "from 0 to 32"},
      {"x/24", "not an IP address"},
      {"/24", "not an IP address"},
  };
  for (const Case& c : cases) {
    const auto cidr = Cidr::parse(c.text);
    ASSERT_FALSE(cidr) << c.text;
    EXPECT_NE(cidr.error().message.find(c.hint), std::string::npos) << cidr.error().message;
  }
}

TEST(Cidr, size) {
  EXPECT_EQ(Cidr::parse("10.0.0.0/24")->size(), 256U);
  EXPECT_EQ(Cidr::parse("10.0.0.1/32")->size(), 1U);
  EXPECT_EQ(Cidr::parse("0.0.0.0/0")->size(), std::uint64_t{1} << 32);
  EXPECT_EQ(Cidr::parse("fd00::/66")->size(), std::uint64_t{1} << 62);
  EXPECT_EQ(Cidr::parse("fd00::/64")->size(), std::uint64_t{1} << 63);
  EXPECT_EQ(Cidr::parse("::/0")->size(), std::uint64_t{1} << 63);
}

// The slow twin: compares bit by bit.
bool slow_contains(const Cidr& cidr, const IpAddress& address) {
  if (cidr.network.is_v4() != address.is_v4()) return false;
  const unsigned first = address.is_v4() ? 96 : 0;
  for (unsigned i = first; i < first + cidr.length; ++i) {
    if (bit(cidr.network, i) != bit(address, i)) return false;
  }
  return true;
}

Cidr random_cidr(Random& random) {
  // From few distinct networks, so that pairs do overlap.
  const bool v4 = random() % 2 == 0;
  const auto length = static_cast<unsigned>(random() % (v4 ? 33 : 129));
  for (;;) {
    IpAddress address =
        v4 ? IpAddress::v4(0x0a000000U | static_cast<std::uint32_t>(random() % 8)) : random_address(random);
    if (address.is_v4() != v4) continue;
    IpAddress::Bytes bytes = address.bytes();
    const unsigned kept = length + (v4 ? 96 : 0);
    for (unsigned i = kept; i < 128; ++i) bytes[i / 8] = static_cast<std::uint8_t>(bytes[i / 8] & ~(0x80U >> i % 8));
    return Cidr{IpAddress(bytes), static_cast<std::uint8_t>(length)};
  }
}

TEST(Cidr, agrees_with_slow_twin) {
  Random random(2);
  int overlaps = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Cidr a = random_cidr(random);
    const Cidr b = random_cidr(random);
    const IpAddress address = random_address(random);
    EXPECT_EQ(a.contains(address), slow_contains(a, address)) << a.to_string() << " " << address.to_string();
    // Two prefixes overlap exactly when one contains the other's first address.
    const bool expected = slow_contains(a, b.network) || slow_contains(b, a.network);
    EXPECT_EQ(a.overlaps(b), expected) << a.to_string() << " " << b.to_string();
    EXPECT_EQ(b.overlaps(a), expected);
    EXPECT_EQ(Cidr::parse(a.to_string()), a) << a.to_string();
    overlaps += expected ? 1 : 0;
  }
  EXPECT_GT(overlaps, 1'000);
  EXPECT_LT(overlaps, 19'000);
}

TEST(MacAddress, parses_and_formats) {
  const auto mac = MacAddress::parse("02:42:0A:00:00:05");
  ASSERT_TRUE(mac);
  EXPECT_EQ(mac->to_string(), "02:42:0a:00:00:05");
  EXPECT_EQ(MacAddress::of_endpoint(IpAddress::v4(0x0a000005)), *mac);
  for (const char* text : {"", "02:42:0a:00:00", "02:42:0a:00:00:05:06", "2:42:0a:00:00:05", "02-42-0a-00-00-05",
                           "02:42:0a:00:00:0g", "02:42:0a:00:00:+5", "002:2:0a:00:00:05"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

TEST(SocketAddress, parses_and_formats) {
  struct Case {
    const char* text;
    std::uint16_t default_port;
    const char* formatted;  // nullptr: refused
  };
  const Case cases[] = {
      {"1.2.3.4:80", 0, "1.2.3.4:80"},
      {"[::1]:80", 0, "[::1]:80"},
      {"1.2.3.4", 2377, "1.2.3.4:2377"},
      {"fd00::1", 2377, "[fd00::1]:2377"},
      {"[fd00::1]", 2377, "[fd00::1]:2377"},
      {"1.2.3.4:0", 2377, "1.2.3.4:0"},
      {"1.2.3.4", 0, nullptr},
      {"fd00::1", 0, nullptr},
      {"1.2.3.4:", 2377, nullptr},
      {"1.2.3.4:65536", 0, nullptr},
      {"1.2.3.4:-1", 0, nullptr},
      {"[::1]80", 0, nullptr},
      {"[::1", 2377, nullptr},
      {"[]:80", 0, nullptr},
      {":80", 0, nullptr},
      {"", 2377, nullptr},
  };
  for (const Case& c : cases) {
    const auto address = SocketAddress::parse(c.text, c.default_port);
    EXPECT_EQ(address.has_value(), c.formatted != nullptr) << c.text;
    if (address && c.formatted != nullptr) {
      EXPECT_EQ(address->to_string(), c.formatted);
      EXPECT_EQ(SocketAddress::parse(address->to_string()), *address);
    }
  }
}

}  // namespace
}  // namespace mesh
