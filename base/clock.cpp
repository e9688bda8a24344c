#include "base/clock.h"

#include <array>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"

namespace mesh {
namespace {

using std::chrono::days;
using std::chrono::duration_cast;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::string_view kNever = "0001-01-01T00:00:00Z";  // the zero value of Go's time.Time
constexpr std::int64_t kNanosecondsMax = std::numeric_limits<std::int64_t>::max();

std::unexpected<Error> bad_time(std::string_view text) {
  return fail(
      ErrorKind::kInvalid,
      fmt::format("\"{}\" is not a time, like 2026-01-02T03:04:05.6Z (RFC 3339, 1970 to 2261)", text.substr(0, 64)));
}
std::unexpected<Error> bad_duration(std::string_view text) {
  return fail(ErrorKind::kInvalid,
              fmt::format("\"{}\" is not a duration, like 500ms, 10s or 1m30s", text.substr(0, 64)));
}

// Reads fixed-width fields off the front of a text.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool literal(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Exactly `width` digits, in [low, high].
  bool number(std::size_t width, int low, int high, int& value) {
    if (rest_.size() < width) return false;
    const auto parsed = parse_number<unsigned>(rest_.substr(0, width));
    if (!parsed || *parsed > static_cast<unsigned>(high)) return false;
    value = static_cast<int>(*parsed);
    rest_.remove_prefix(width);
    return value >= low;
  }
  // One digit or more; those past the ninth are dropped.
  bool fraction(std::int64_t& nanos) {
    std::size_t count = 0;
    for (; count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9'; ++count) {
      if (count < 9) nanos = nanos * 10 + (rest_[count] - '0');
    }
    for (std::size_t i = count; i < 9; ++i) nanos *= 10;
    rest_.remove_prefix(count);
    return count > 0;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

struct Unit {
  std::string_view name;
  std::int64_t nanos;
};
// Longest names first: "ms" before "m". Both spellings of micro, as Go reads them (U+00B5 and U+03BC).
constexpr std::array<Unit, 8> kUnits{{{"ns", 1},
                                      {"us", 1'000},
                                      {"\u00b5s", 1'000},
                                      {"\u03bcs", 1'000},
                                      {"ms", 1'000'000},
                                      {"s", 1'000'000'000},
                                      {"m", 60'000'000'000},
                                      {"h", 3'600'000'000'000}}};

// "12.5h" off the front of `text`, in nanoseconds; nothing if it is malformed or too long.
std::optional<std::int64_t> take_term(std::string_view& text) {
  constexpr std::string_view kDigits = "0123456789";
  const std::size_t whole = std::min(text.find_first_not_of(kDigits), text.size());
  std::size_t end = whole;
  if (end < text.size() && text[end] == '.') end = std::min(text.find_first_not_of(kDigits, end + 1), text.size());
  const bool has_digit = whole > 0 || end > whole + 1;
  const std::string_view digits = text.substr(0, whole);
  const std::string_view fraction = end > whole ? text.substr(whole + 1, end - whole - 1) : std::string_view{};
  text.remove_prefix(end);
  const Unit* unit = nullptr;
  for (const Unit& candidate : kUnits) {
    if (unit == nullptr && text.starts_with(candidate.name)) unit = &candidate;
  }
  if (!has_digit || unit == nullptr) return std::nullopt;
  text.remove_prefix(unit->name.size());

  const auto count = digits.empty() ? std::int64_t{0} : parse_number<std::int64_t>(digits);
  if (!count || *count > kNanosecondsMax / unit->nanos) return std::nullopt;
  std::int64_t part = 0;
  std::int64_t scale = unit->nanos;
  for (const char digit : fraction) {
    scale /= 10;
    part += scale * (digit - '0');
  }
  const std::int64_t product = *count * unit->nanos;
  if (product > kNanosecondsMax - part) return std::nullopt;
  return product + part;
}

// value / unit as decimal fraction without trailing zeros: 1.5, 2.
std::string decimal(std::uint64_t value, std::uint64_t unit, std::size_t digits) {
  std::string text = fmt::format("{}.{:0{}}", value / unit, value % unit, digits);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace

std::string format_time(Time time) {
  if (time == Time{}) return std::string(kNever);
  const auto day = std::chrono::floor<days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  const auto nanos = clock.subseconds().count();
  if (nanos != 0) {
    text += fmt::format(".{:09}", nanos);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + "Z";
}

Result<Time> parse_time(std::string_view text) {
  if (text == kNever) return Time{};
  Reader reader(text);
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  // 1970 to 2261: what nanoseconds since the epoch hold in 64 bits.
  const bool good = reader.number(4, 1970, 2261, year) && reader.literal('-') && reader.number(2, 1, 12, month) &&
                    reader.literal('-') && reader.number(2, 1, 31, day) && reader.literal('T') &&
                    reader.number(2, 0, 23, hour) && reader.literal(':') && reader.number(2, 0, 59, minute) &&
                    reader.literal(':') && reader.number(2, 0, 59, second);
  if (!good) return bad_time(text);
  std::int64_t nanos = 0;
  if (reader.literal('.') && !reader.fraction(nanos)) return bad_time(text);
  int offset_minutes = 0;
  if (!reader.literal('Z')) {
    const bool east = reader.literal('+');
    int offset_hour = 0, offset_minute = 0;
    if ((!east && !reader.literal('-')) || !reader.number(2, 0, 23, offset_hour) || !reader.literal(':') ||
        !reader.number(2, 0, 59, offset_minute)) {
      return bad_time(text);
    }
    offset_minutes = (offset_hour * 60 + offset_minute) * (east ? 1 : -1);
  }
  const std::chrono::year_month_day date(std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day)));
  if (!reader.at_end() || !date.ok()) return bad_time(text);
  return Time(std::chrono::sys_days(date)) + hours(hour) + minutes(minute - offset_minutes) + seconds(second) +
         nanoseconds(nanos);
}

// As Go's Duration.String: below a second one unit with a fraction, else hours, minutes and seconds.
std::string format_duration(Duration duration) {
  const std::int64_t count = duration.count();
  if (count == 0) return "0s";
  const std::string sign = count < 0 ? "-" : "";
  const auto nanos = count < 0 ? 0 - static_cast<std::uint64_t>(count) : static_cast<std::uint64_t>(count);
  if (nanos < 1'000) return fmt::format("{}{}ns", sign, nanos);
  if (nanos < 1'000'000) return fmt::format("{}{}\u00b5s", sign, decimal(nanos, 1'000, 3));
  if (nanos < 1'000'000'000) return fmt::format("{}{}ms", sign, decimal(nanos, 1'000'000, 6));
  constexpr std::uint64_t kMinute = 60'000'000'000;
  std::string text = sign;
  if (nanos >= 60 * kMinute) text += fmt::format("{}h", nanos / (60 * kMinute));
  if (nanos >= kMinute) text += fmt::format("{}m", nanos / kMinute % 60);
  return text + decimal(nanos % kMinute, 1'000'000'000, 9) + "s";
}

Result<Duration> parse_duration(std::string_view text) {
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return Duration{};
  if (rest.empty()) return bad_duration(text);
  std::int64_t total = 0;
  while (!rest.empty()) {
    const auto term = take_term(rest);
    if (!term || *term > kNanosecondsMax - total) return bad_duration(text);
    total += *term;
  }
  return Duration(negative ? -total : total);
}

// The steps of docker's own tables (go-units, HumanDuration).
std::string human_duration(Duration duration) {
  const std::int64_t whole_seconds = duration_cast<seconds>(duration).count();
  if (whole_seconds < 1) return "Less than a second";
  if (whole_seconds == 1) return "1 second";
  if (whole_seconds < 60) return fmt::format("{} seconds", whole_seconds);
  const std::int64_t whole_minutes = whole_seconds / 60;
  if (whole_minutes == 1) return "About a minute";
  if (whole_minutes < 60) return fmt::format("{} minutes", whole_minutes);
  const std::int64_t rounded_hours = duration_cast<hours>(duration + minutes(30)).count();
  if (rounded_hours == 1) return "About an hour";
  if (rounded_hours < 48) return fmt::format("{} hours", rounded_hours);
  if (rounded_hours < 24 * 7 * 2) return fmt::format("{} days", rounded_hours / 24);
  if (rounded_hours < 24 * 30 * 2) return fmt::format("{} weeks", rounded_hours / 24 / 7);
  if (rounded_hours < 24 * 365 * 2) return fmt::format("{} months", rounded_hours / 24 / 30);
  return fmt::format("{} years", duration_cast<hours>(duration).count() / 24 / 365);
}

}  // namespace mesh
