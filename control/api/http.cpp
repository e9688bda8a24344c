#include "control/api/http.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace mesh::api {
namespace {

const std::string kNone;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986 §2.1; in queries "+" is a blank.
Result<std::string> unescape(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return fail(ErrorKind::kInvalid, "the request's address has a % that is not followed by two hex digits");
      }
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  if (out.find('\0') != std::string::npos) return fail(ErrorKind::kInvalid, "the request's address has a NUL in it");
  return out;
}

const std::string& find_or_none(const std::map<std::string, std::string>& map, const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() ? kNone : found->second;
}

}  // namespace

const std::string& Request::parameter(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() || found->second.empty() ? kNone : found->second.front();
}

bool Request::flag(const std::string& name) const {
  std::string value = parameter(name);
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::array<std::string_view, 5> kFalse{"", "0", "no", "false", "none"};
  return std::ranges::find(kFalse, trim(value)) == kFalse.end();
}

Result<std::optional<std::uint64_t>> Request::number(const std::string& name) const {
  const std::string& text = parameter(name);
  if (text.empty()) return std::nullopt;
  const std::optional<std::uint64_t> value = parse_number<std::uint64_t>(text);
  if (!value) return fail(ErrorKind::kInvalid, "query parameter " + name + ": \"" + text + "\" is not a number");
  return value;
}

const std::string& Request::header(const std::string& lower_name) const { return find_or_none(headers, lower_name); }
const std::string& Request::capture(const std::string& name) const { return find_or_none(captures, name); }

Status set_target(Request& request, std::string_view target) {
  const std::size_t question = target.find('?');
  request.path = TRY(unescape(target.substr(0, question), false));
  request.query.clear();
  if (question == std::string_view::npos) return {};
  for (const std::string_view pair : split(target.substr(question + 1), '&')) {
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string name = TRY(unescape(pair.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) value = TRY(unescape(pair.substr(equals + 1), true));
    request.query[name].push_back(std::move(value));
  }
  return {};
}

Response json_response(const Json& body, int status) {
  return {status, {{"Content-Type", "application/json"}}, to_text(body) + "\n"};
}
Response text_response(std::string text, int status) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(text)};
}
Response empty_response(int status) { return {status, {}, {}}; }

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return 400;
    case ErrorKind::kUnauthorized:
      return 401;
    case ErrorKind::kForbidden:
      return 403;
    case ErrorKind::kNotFound:
      return 404;
    case ErrorKind::kConflict:
    case ErrorKind::kExhausted:
      return 409;
    case ErrorKind::kUnavailable:
    case ErrorKind::kTimeout:
      return 503;
    case ErrorKind::kUnsupported:
      return 501;
    case ErrorKind::kInternal:
      return 500;
  }
  return 500;
}

Response error_response(const Error& error) {
  return json_response(JsonObject{{"message", error.message}}, status_of(error.kind));
}

}  // namespace mesh::api
