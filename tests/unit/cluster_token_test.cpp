#include <algorithm>

#include <gtest/gtest.h>

#include "control/cluster/token.h"

namespace mesh::cluster {
namespace {

Digest digest_of_byte(std::uint8_t byte) {
  Digest digest;
  digest.fill(byte);
  return digest;
}

TEST(Token, HasSwarmsForm) {
  const JoinToken token{digest_of_byte(0), std::string(25, 'a')};
  EXPECT_EQ(token.to_string(), "SWMTKN-1-" + std::string(50, '0') + "-" + std::string(25, 'a'));
}

TEST(Token, KnownDigests) {
  Digest one{};
  one[31] = 1;
  EXPECT_EQ(JoinToken({one, std::string(25, '0')}).to_string().substr(9, 50), std::string(49, '0') + "1");
  one[31] = 36;
  EXPECT_EQ(JoinToken({one, std::string(25, '0')}).to_string().substr(9, 50), std::string(48, '0') + "10");
  // 2^256 - 1 in base 36.
  EXPECT_EQ(JoinToken({digest_of_byte(0xff), std::string(25, '0')}).to_string().substr(9, 50),
            "6dp5qcb22im238nr3wvp0ic7q99w035jmy2iw7i6n43d37jtof");
}

TEST(Token, SurvivesTheRoundTrip) {
  for (int byte = 0; byte < 256; ++byte) {
    Digest digest = digest_of_byte(static_cast<std::uint8_t>(byte));
    digest[7] = static_cast<std::uint8_t>(255 - byte);
    const JoinToken token{digest, make_secret()};
    const Result<JoinToken> parsed = JoinToken::parse(token.to_string());
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->ca_digest, digest);
    EXPECT_EQ(parsed->secret, token.secret);
  }
}

TEST(Token, SecretsAreTwentyFiveBase36DigitsAndDiffer) {
  const std::string a = make_secret();
  const std::string b = make_secret();
  EXPECT_EQ(a.size(), 25U);
  EXPECT_TRUE(std::ranges::all_of(a, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); }));
  EXPECT_NE(a, b);
  EXPECT_TRUE(secrets_equal(a, a));
  EXPECT_FALSE(secrets_equal(a, b));
  EXPECT_FALSE(secrets_equal(a, a + "x"));
  EXPECT_FALSE(secrets_equal("", a));
}

TEST(Token, WhatIsNoTokenIsRefusedWithoutRepeatingTheSecret) {
  const std::string digits(50, '1');
  const std::string secret = "s3cretsecretsecretsecrets";
  const struct {
    std::string text;
    std::string why;
  } cases[] = {
      {"", "start with"},
      {"hello", "start with"},
      {"SWMTKN-2-1-" + digits + "-" + secret, "version"},
      {"SWMTKN-1-" + digits, "length"},
      {"SWMTKN-1-" + digits + "-" + secret + "x", "length"},
      {"SWMTKN-1-" + digits + "x" + secret, "length"},
      {"SWMTKN-1-" + digits.substr(1) + "-" + secret, "length"},
      {"SWMTKN-1-" + std::string(50, 'A') + "-" + secret, "character"},
      {"SWMTKN-1-" + digits + "-" + std::string(25, '!'), "character"},
      {"SWMTKN-1-" + std::string(50, 'z') + "-" + secret, "range"},
  };
  for (const auto& test : cases) {
    const Result<JoinToken> parsed = JoinToken::parse(test.text);
    ASSERT_FALSE(parsed) << test.text;
    EXPECT_EQ(parsed.error().kind, ErrorKind::kInvalid);
    EXPECT_NE(parsed.error().message.find(test.why), std::string::npos) << parsed.error().message;
    EXPECT_EQ(parsed.error().message.find(secret), std::string::npos) << parsed.error().message;
  }
}

}  // namespace
}  // namespace mesh::cluster
