#include <array>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/id.h"

namespace mesh {
namespace {

std::string decoded(std::string_view text) {
  const auto bytes = base64_decode(text);
  return bytes ? std::string(bytes->begin(), bytes->end()) : "error: " + bytes.error().message;
}

// The vectors of RFC 4648 §10.
TEST(Base64, rfc_vectors) {
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : cases) {
    EXPECT_EQ(base64_encode(as_bytes(plain)), text);
    EXPECT_EQ(decoded(text), plain);
  }
}

TEST(Base64, accepts_url_alphabet_and_no_padding) {
  EXPECT_EQ(decoded("Zm8"), "fo");
  EXPECT_EQ(base64_decode("-_-_"), base64_decode("+/+/"));
  ASSERT_TRUE(base64_decode("-_-_"));
}

TEST(Base64, refuses) {
  for (const char* text : {"Z", "Zg=", "Zg===", "Zm9v=", "Z===", "====", "=", "Zm 9v", "Zm9v\n", "Zh==", "Zm9="}) {
    EXPECT_FALSE(base64_decode(text)) << text;
  }
}

TEST(Bytes, round_trip) {
  std::mt19937 random(3);
  for (std::size_t size = 0; size < 300; ++size) {
    std::vector<std::uint8_t> bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    EXPECT_EQ(base64_decode(base64_encode(bytes)), bytes);
    EXPECT_EQ(hex_decode(hex_encode(bytes)), bytes);
  }
}

TEST(Hex, decodes_and_refuses) {
  EXPECT_EQ(hex_decode("00fFa0"), (std::vector<std::uint8_t>{0x00, 0xff, 0xa0}));
  for (const char* text : {"0", "0g", "0x", " 0", "000"}) EXPECT_FALSE(hex_decode(text)) << text;
}

TEST(Id, is_the_number_in_base_36) {
  std::array<std::uint8_t, 16> bytes{};
  EXPECT_EQ(id_from_bytes(bytes), "0000000000000000000000000");
  bytes[15] = 35;
  EXPECT_EQ(id_from_bytes(bytes), "000000000000000000000000z");
  bytes[15] = 36;
  EXPECT_EQ(id_from_bytes(bytes), "0000000000000000000000010");
  bytes.fill(0xff);  // 2^128 - 1
  EXPECT_EQ(id_from_bytes(bytes), "f5lxx1zz5pnorynqglhzmsp33");
}

TEST(Id, is_random) {
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) {
    const std::string id = make_id();
    EXPECT_EQ(id.size(), 25U);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz"), std::string::npos);
    seen.insert(id);
    const std::string hex = make_hex_id(32);
    EXPECT_EQ(hex.size(), 64U);
    seen.insert(hex);
  }
  EXPECT_EQ(seen.size(), 2'000U);
}

}  // namespace
}  // namespace mesh
