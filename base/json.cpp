#include "base/json.h"

#include <algorithm>

#include <boost/json/parser.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "base/bytes.h"
#include "base/limits.h"

namespace mesh {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::string_view view(boost::json::string_view text) { return {text.data(), text.size()}; }

std::string_view kind_name(const Json& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "true or false";
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
    case boost::json::kind::double_:
      return "number";
    case boost::json::kind::string:
      return "string";
    case boost::json::kind::array:
      return "list";
    case boost::json::kind::object:
      return "object";
  }
  return "nothing";
}

// Writes JSON text. Boost's own serializer writes 1.5 as 1.5E0 and cannot indent.
class Writer {
 public:
  explicit Writer(bool pretty) : pretty_(pretty) {}

  void value(const Json& value) {
    if (const JsonObject* object = value.if_object()) {
      members(*object, '{', '}', [&](const auto& member) {
        string(member.key());
        text_ += pretty_ ? ": " : ":";
        this->value(member.value());
      });
    } else if (const JsonArray* array = value.if_array()) {
      members(*array, '[', ']', [&](const Json& item) { this->value(item); });
    } else if (const double* number = value.if_double()) {
      text_ += fmt::format("{}", *number);
    } else if (const boost::json::string* text = value.if_string()) {
      string(*text);
    } else {
      text_ += boost::json::serialize(value);
    }
  }
  std::string take() { return std::move(text_); }

 private:
  void string(boost::json::string_view text) { text_ += boost::json::serialize(text); }
  void line() {
    if (!pretty_) return;
    text_ += '\n';
    text_.append(depth_ * 4, ' ');
  }
  template <class Items, class Each>
  void members(const Items& items, char open, char close, const Each& each) {
    text_ += open;
    ++depth_;
    bool first = true;
    for (const auto& item : items) {
      if (!first) text_ += ',';
      first = false;
      line();
      each(item);
    }
    --depth_;
    if (!first) line();
    text_ += close;
  }

  bool pretty_;
  std::size_t depth_ = 0;
  std::string text_;
};

std::unexpected<Error> at_path(const std::string& path, std::string message) {
  return fail(ErrorKind::kInvalid, path.empty() ? std::move(message) : fmt::format("{}: {}", path, message));
}

std::unexpected<Error> bad_syntax(std::string_view text, std::size_t offset, std::string_view why) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t start = before.rfind('\n');
  const std::size_t column = start == std::string_view::npos ? before.size() + 1 : before.size() - start;
  return fail(ErrorKind::kInvalid, fmt::format("not valid JSON at line {}, column {}: {}", line, column, why));
}

// Reads a string and hands it to `parse`; "" leaves the default.
template <class T>
Status read_text(const Json& from, T& to, const std::string& path) {
  std::string text;
  TRY(json_detail::read(from, text, path));
  if (text.empty()) {
    to = T{};
    return {};
  }
  auto parsed = T::parse(text);
  if (!parsed) return at_path(path, parsed.error().message);
  to = *parsed;
  return {};
}

template <class T>
Json write_text(const T& from) {
  return from == T{} ? Json("") : Json(from.to_string());
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    return fail(ErrorKind::kInvalid,
                fmt::format("JSON text of {} bytes is too large: the limit here is {} bytes", text.size(), max_bytes));
  }
  boost::json::parse_options options;
  options.max_depth = kJsonDepthMax;
  boost::json::parser parser({}, options);
  boost::json::error_code error;
  const std::size_t consumed = parser.write_some(text.data(), text.size(), error);
  if (error == boost::json::error::too_deep) {
    return bad_syntax(text, consumed, fmt::format("nested deeper than {} levels", kJsonDepthMax));
  }
  if (error) return bad_syntax(text, consumed, error.message());
  const std::size_t rest = text.find_first_not_of(kBlanks, consumed);
  if (rest != std::string_view::npos) return bad_syntax(text, rest, "something follows the value");
  return parser.release();
}

std::string to_text(const Json& value) {
  Writer writer(false);
  writer.value(value);
  return writer.take();
}

std::string to_pretty_text(const Json& value) {
  Writer writer(true);
  writer.value(value);
  return writer.take();
}

namespace json_detail {

std::unexpected<Error> type_error(const std::string& path, std::string_view expected, const Json& got) {
  return at_path(path, fmt::format("expected {}, got {}", expected, kind_name(got)));
}

const Json* member_of(const JsonObject& object, const char* key) {
  const Json* value = object.if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string path_of(const std::string& path, const char* key) { return path.empty() ? key : path + "." + key; }

std::unexpected<Error> enum_error(const std::string& path, std::string_view got, const std::string& allowed) {
  return at_path(path, fmt::format("\"{}\" is none of: {}", got.substr(0, 64), allowed));
}

Status read(const Json& from, std::string& to, const std::string& path) {
  const boost::json::string* text = from.if_string();
  if (text == nullptr) return type_error(path, "a string", from);
  to = view(*text);
  return {};
}

Status read(const Json& from, bool& to, const std::string& path) {
  const bool* value = from.if_bool();
  if (value == nullptr) return type_error(path, "true or false", from);
  to = *value;
  return {};
}

Status read(const Json& from, double& to, const std::string& path) {
  if (!from.is_number()) return type_error(path, "a number", from);
  to = from.to_number<double>();
  return {};
}

Status read(const Json& from, Duration& to, const std::string& path) {
  std::int64_t nanos = 0;
  TRY(read(from, nanos, path));
  to = Duration(nanos);
  return {};
}

Status read(const Json& from, Time& to, const std::string& path) {
  std::string text;
  TRY(read(from, text, path));
  auto time = text.empty() ? Result<Time>(Time{}) : parse_time(text);
  if (!time) return at_path(path, time.error().message);
  to = *time;
  return {};
}

Status read(const Json& from, Bytes& to, const std::string& path) {
  std::string text;
  TRY(read(from, text, path));
  auto bytes = base64_decode(text);
  if (!bytes) return at_path(path, bytes.error().message);
  to = std::move(*bytes);
  return {};
}

Status read(const Json& from, IpAddress& to, const std::string& path) { return read_text(from, to, path); }
Status read(const Json& from, Cidr& to, const std::string& path) { return read_text(from, to, path); }
Status read(const Json& from, MacAddress& to, const std::string& path) { return read_text(from, to, path); }

Result<std::int64_t> read_signed(const Json& from, std::int64_t low, std::int64_t high, const std::string& path) {
  if (!from.is_number()) return type_error(path, "a number", from);
  const std::int64_t* value = from.if_int64();
  if (from.is_double()) return at_path(path, "expected a whole number");
  if (value == nullptr || *value < low || *value > high) {
    return at_path(path, fmt::format("the number must be from {} to {}", low, high));
  }
  return *value;
}

Result<std::uint64_t> read_unsigned(const Json& from, std::uint64_t high, const std::string& path) {
  if (!from.is_number()) return type_error(path, "a number", from);
  if (from.is_double()) return at_path(path, "expected a whole number");
  const bool negative = from.is_int64() && from.get_int64() < 0;
  const std::uint64_t value = negative ? 0 : from.to_number<std::uint64_t>();
  if (negative || value > high) return at_path(path, fmt::format("the number must be from 0 to {}", high));
  return value;
}

Json write(const std::string& from) { return Json(boost::json::string_view(from.data(), from.size())); }
Json write(bool from) { return Json(from); }
Json write(double from) { return Json(from); }
Json write(Duration from) { return Json(static_cast<std::int64_t>(from.count())); }
Json write(Time from) { return write(format_time(from)); }
Json write(const Bytes& from) { return write(base64_encode(from)); }
Json write(const IpAddress& from) { return write_text(from); }
Json write(const Cidr& from) { return write_text(from); }
Json write(const MacAddress& from) { return write_text(from); }

}  // namespace json_detail
}  // namespace mesh
