#include <gtest/gtest.h>

#include "control/cluster/rate_limit.h"

namespace mesh::cluster {
namespace {

constexpr Time kStart{std::chrono::hours(1000)};
const IpAddress kA = IpAddress::v4(0x0a000001);
const IpAddress kB = IpAddress::v4(0x0a000002);

TEST(RateLimit, ABurstThenOnePerPeriod) {
  RateLimit limit(3, std::chrono::seconds(1), 10);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.admit(kA, kStart));
  EXPECT_FALSE(limit.admit(kA, kStart));
  EXPECT_TRUE(limit.admit(kB, kStart)) << "another source is not limited by the first";
  EXPECT_FALSE(limit.admit(kA, kStart + std::chrono::milliseconds(900)));
  EXPECT_TRUE(limit.admit(kA, kStart + std::chrono::seconds(1)));
  EXPECT_FALSE(limit.admit(kA, kStart + std::chrono::seconds(1)));
}

TEST(RateLimit, NeverMoreThanABurstHoweverLongItWasQuiet) {
  RateLimit limit(3, std::chrono::seconds(1), 10);
  EXPECT_TRUE(limit.admit(kA, kStart));
  int admitted = 0;
  for (int i = 0; i < 10; ++i) admitted += limit.admit(kA, kStart + std::chrono::hours(1)) ? 1 : 0;
  EXPECT_EQ(admitted, 3);
}

TEST(RateLimit, AllSourcesTogetherHaveALimitToo) {
  RateLimit limit(3, std::chrono::seconds(1), 2);
  int admitted = 0;
  for (std::uint32_t i = 0; i < 100; ++i) admitted += limit.admit(IpAddress::v4(i), kStart) ? 1 : 0;
  EXPECT_EQ(admitted, 6);
}

TEST(RateLimit, AClockThatGoesBackLetsNothingThrough) {
  RateLimit limit(1, std::chrono::seconds(1), 10);
  EXPECT_TRUE(limit.admit(kA, kStart));
  EXPECT_FALSE(limit.admit(kA, kStart - std::chrono::hours(1)));
}

}  // namespace
}  // namespace mesh::cluster
