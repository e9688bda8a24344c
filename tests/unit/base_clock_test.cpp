#include <random>

#include <gtest/gtest.h>

#include "base/clock.h"

namespace mesh {
namespace {

using namespace std::chrono_literals;

TEST(Time, formats) {
  EXPECT_EQ(format_time(Time{}), "0001-01-01T00:00:00Z");
  EXPECT_EQ(format_time(Time(1ns)), "1970-01-01T00:00:00.000000001Z");
  EXPECT_EQ(format_time(Time(1767323045s + 6ns)), "2026-01-02T03:04:05.000000006Z");
  EXPECT_EQ(format_time(Time(1767323045s + 500ms)), "2026-01-02T03:04:05.5Z");
  EXPECT_EQ(format_time(Time(1767323045s)), "2026-01-02T03:04:05Z");
  EXPECT_EQ(format_time(Time(951782400s)), "2000-02-29T00:00:00Z");
}

TEST(Time, parses) {
  const std::pair<const char*, Time> cases[] = {
      {"0001-01-01T00:00:00Z", Time{}},
      {"2026-01-02T03:04:05Z", Time(1767323045s)},
      {"2026-01-02T03:04:05.000000006Z", Time(1767323045s + 6ns)},
      {"2026-01-02T03:04:05.1234567891Z", Time(1767323045s + 123456789ns)},
      {"2026-01-02T05:34:05+02:30", Time(1767323045s)},
      {"2026-01-01T22:04:05-05:00", Time(1767323045s)},
  };
  for (const auto& [text, time] : cases) EXPECT_EQ(parse_time(text), time) << text;
}

TEST(Time, refuses) {
  for (const char* text :
       {"", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-01-02T24:00:00Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05Zx", "2026-01-02T03:04:05+2:30",
        "1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "-026-01-02T03:04:05Z"}) {
    const auto time = parse_time(text);
    ASSERT_FALSE(time) << text;
    EXPECT_EQ(time.error().kind, ErrorKind::kInvalid);
  }
}

TEST(Time, text_form_round_trips) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 20'000; ++i) {
    const Time time(Duration(static_cast<std::int64_t>(random() % 9'214'646'400'000'000'000ULL)));
    EXPECT_EQ(parse_time(format_time(time)), time);
  }
}

TEST(DurationText, formats_as_go_does) {
  const std::pair<Duration, const char*> cases[] = {
      {0s, "0s"},
      {1ns, "1ns"},
      {1100ns, "1.1\u00b5s"},
      {2200us, "2.2ms"},
      {3300ms, "3.3s"},
      {4min + 5s, "4m5s"},
      {4min + 5001ms, "4m5.001s"},
      {5h + 6min + 7001ms, "5h6m7.001s"},
      {2h + 45min, "2h45m0s"},
      {-90s, "-1m30s"},
      {Duration::max(), "2562047h47m16.854775807s"},
      {Duration::min(), "-2562047h47m16.854775808s"},
  };
  for (const auto& [duration, text] : cases) EXPECT_EQ(format_duration(duration), text);
}

TEST(DurationText, parses_as_go_does) {
  const std::pair<const char*, Duration> cases[] = {
      {"0", 0s},
      {"5s", 5s},
      {"+5s", 5s},
      {"-5s", -5s},
      {"1m30s", 90s},
      {"500ms", 500ms},
      {"2h45m", 2h + 45min},
      {".5s", 500ms},
      {"1.s", 1s},
      {"1.5h", 90min},
      {"10us", 10us},
      {"10\u00b5s", 10us},
      {"10\u03bcs", 10us},
      {"1h1m1s1ms1us1ns", 1h + 1min + 1s + 1ms + 1us + 1ns},
      {"9223372036854775807ns", Duration::max()},
  };
  for (const auto& [text, duration] : cases) EXPECT_EQ(parse_duration(text), duration) << text;
}

TEST(DurationText, refuses) {
  for (const char* text : {"", "5", "s", ".s", "-", "1m 30s", "5 s", "1d", "--5s", "1.2.3s", "9223372036854775808ns",
                           "9999999h", "2562047h47m17s", "1e3s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(DurationText, round_trips) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i) {
    // All magnitudes alike.
    const Duration duration(static_cast<std::int64_t>(random() >> (1 + random() % 63)));
    EXPECT_EQ(parse_duration(format_duration(duration)), duration) << duration.count();
  }
}

TEST(HumanDuration, has_the_wording_of_docker) {
  const std::pair<Duration, const char*> cases[] = {
      {450ms, "Less than a second"},
      {1s, "1 second"},
      {47s, "47 seconds"},
      {60s, "About a minute"},
      {119s, "About a minute"},
      {3min, "3 minutes"},
      {59min, "59 minutes"},
      {61min, "About an hour"},
      {91min, "2 hours"},
      {3h, "3 hours"},
      {47h, "47 hours"},
      {48h, "2 days"},
      {24h * 13, "13 days"},
      {24h * 14, "2 weeks"},
      {24h * 60, "2 months"},
      {24h * 365 * 2, "2 years"},
  };
  for (const auto& [duration, text] : cases) EXPECT_EQ(human_duration(duration), text);
}

}  // namespace
}  // namespace mesh
