// Time as values. Pure code receives a Time; only the shell asks the clock.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mesh {

using Duration = std::chrono::nanoseconds;
// Wall-clock time, UTC, nanoseconds since the Unix epoch; default (0) is "never".
using Time = std::chrono::time_point<std::chrono::system_clock, Duration>;

[[nodiscard]] inline Time wall_now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
}

// RFC 3339 with nanoseconds as the Docker API writes it: "2026-01-02T03:04:05.000000006Z"; never is
// "0001-01-01T00:00:00Z".
[[nodiscard]] std::string format_time(Time time);
[[nodiscard]] Result<Time> parse_time(std::string_view text);

// Go durations as Docker's flags take them: "1m30s", "500ms", "2h45m", "0".
[[nodiscard]] std::string format_duration(Duration duration);
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);

// "5 seconds", "About a minute", "3 hours": the wording of docker's tables, without "ago".
[[nodiscard]] std::string human_duration(Duration duration);

}  // namespace mesh
