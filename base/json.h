// JSON codec: plain structs to and from JSON with exact key names, and errors that carry the path of the value.
//
//   struct Port { std::uint32_t target = 0; std::string protocol; std::optional<Duration> delay; };
//   constexpr auto json_fields(const Port*) {
//     return std::tuple{field("TargetPort", &Port::target), field("Protocol", &Port::protocol, kOmitEmpty),
//                       field("Delay", &Port::delay)};
//   }
//   Result<Port> p = decode<Port>(value);   // "Spec.Ports[2].TargetPort: expected a number, got string"
//   Json v = encode(port);
//
// Rules, those of Go's encoding/json that the Docker API shows: unknown keys are ignored, an absent key or null leaves
// the default, an empty optional is omitted, kOmitEmpty omits zero, "", empty lists and maps. Duration is a number of
// nanoseconds, Time an RFC 3339 string, Bytes base64, enums have `json_names(Enum*)`
// (an empty name leaves the default), addresses their text form.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"

namespace mesh {

using Json = boost::json::value;
using JsonObject = boost::json::object;
using JsonArray = boost::json::array;
using Bytes = std::vector<std::uint8_t>;

// Parses one JSON text. kInvalid names line and column; depth is limited to 64, size to `max_bytes`.
[[nodiscard]] Result<Json> parse_json(std::string_view text, std::size_t max_bytes = 8U << 20U);
[[nodiscard]] std::string to_text(const Json& value);         // one line
[[nodiscard]] std::string to_pretty_text(const Json& value);  // four spaces, as docker inspect prints

enum FieldFlag : std::uint8_t { kAlways = 0, kOmitEmpty = 1 };

template <class S, class T>
struct Field {
  const char* key;
  T S::* member;
  FieldFlag flag;
};
template <class S, class T>
constexpr Field<S, T> field(const char* key, T S::* member, FieldFlag flag = kAlways) {
  return {key, member, flag};
}

template <class E>
struct EnumName {
  E value;
  const char* name;
};

template <class T>
concept JsonStruct = requires { json_fields(static_cast<const T*>(nullptr)); };
template <class T>
concept JsonEnum = std::is_enum_v<T> && requires { json_names(static_cast<const T*>(nullptr)); };

namespace json_detail {

// The scalar leaves, compiled once in json.cpp. `path` names the value in the error.
Status read(const Json& from, std::string& to, const std::string& path);
Status read(const Json& from, bool& to, const std::string& path);
Status read(const Json& from, double& to, const std::string& path);
Status read(const Json& from, Duration& to, const std::string& path);
Status read(const Json& from, Time& to, const std::string& path);
Status read(const Json& from, Bytes& to, const std::string& path);
Status read(const Json& from, IpAddress& to, const std::string& path);
Status read(const Json& from, Cidr& to, const std::string& path);
Status read(const Json& from, MacAddress& to, const std::string& path);
inline Status read(const Json& from, Json& to, const std::string&) {
  to = from;
  return {};
}
// Integers: range-checked against [low, high].
Result<std::int64_t> read_signed(const Json& from, std::int64_t low, std::int64_t high, const std::string& path);
Result<std::uint64_t> read_unsigned(const Json& from, std::uint64_t high, const std::string& path);
std::unexpected<Error> type_error(const std::string& path, std::string_view expected, const Json& got);
std::unexpected<Error> enum_error(const std::string& path, std::string_view got, const std::string& allowed);

Json write(const std::string& from);
Json write(bool from);
Json write(double from);
Json write(Duration from);
Json write(Time from);
Json write(const Bytes& from);
Json write(const IpAddress& from);
Json write(const Cidr& from);
Json write(const MacAddress& from);
inline Json write(const Json& from) { return from; }

template <class T>
inline constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class T>
  requires kIsInteger<T>
Status read(const Json& from, T& to, const std::string& path);
template <JsonEnum T>
Status read(const Json& from, T& to, const std::string& path);
template <JsonStruct T>
Status read(const Json& from, T& to, const std::string& path);
template <class T>
Status read(const Json& from, std::optional<T>& to, const std::string& path);
template <class T>
Status read(const Json& from, std::vector<T>& to, const std::string& path);
template <class T>
Status read(const Json& from, std::map<std::string, T>& to, const std::string& path);

template <class T>
  requires kIsInteger<T>
Status read(const Json& from, T& to, const std::string& path) {
  if constexpr (std::is_signed_v<T>) {
    to = static_cast<T>(TRY(read_signed(from, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), path)));
  } else {
    to = static_cast<T>(TRY(read_unsigned(from, std::numeric_limits<T>::max(), path)));
  }
  return {};
}

template <JsonEnum T>
Status read(const Json& from, T& to, const std::string& path) {
  std::string text;
  TRY(read(from, text, path));
  if (text.empty()) return {};  // Go's zero value: clients send it for "not given"
  std::string allowed;
  for (const auto& entry : json_names(static_cast<const T*>(nullptr))) {
    if (text == entry.name) {
      to = entry.value;
      return {};
    }
    allowed.append(allowed.empty() ? "" : ", ").append(entry.name);
  }
  return enum_error(path, text, allowed);
}

template <JsonStruct T>
Status read(const Json& from, T& to, const std::string& path) {
  const JsonObject* object = from.if_object();
  if (object == nullptr) return type_error(path, "an object", from);
  Status status;
  auto one = [&](const auto& f) {
    const Json* value = object->if_contains(f.key);
    if (value == nullptr || value->is_null()) return true;
    status = read(*value, to.*(f.member), path.empty() ? std::string(f.key) : path + "." + f.key);
    return status.has_value();
  };
  std::apply([&](const auto&... f) { (void)(one(f) && ...); }, json_fields(static_cast<const T*>(nullptr)));
  return status;
}

template <class T>
Status read(const Json& from, std::optional<T>& to, const std::string& path) {
  if (from.is_null()) {
    to.reset();
    return {};
  }
  return read(from, to.emplace(), path);
}

template <class T>
Status read(const Json& from, std::vector<T>& to, const std::string& path) {
  const JsonArray* array = from.if_array();
  if (array == nullptr) return type_error(path, "a list", from);
  to.clear();
  to.reserve(array->size());
  for (const Json& item : *array) {
    const std::string at = path + "[" + std::to_string(to.size()) + "]";
    if constexpr (std::is_same_v<T, bool>) {
      bool value = false;
      TRY(read(item, value, at));
      to.push_back(value);
    } else {
      TRY(read(item, to.emplace_back(), at));
    }
  }
  return {};
}

template <class T>
Status read(const Json& from, std::map<std::string, T>& to, const std::string& path) {
  const JsonObject* object = from.if_object();
  if (object == nullptr) return type_error(path, "an object", from);
  to.clear();
  for (const auto& [key, value] : *object) {
    TRY(read(value, to[std::string(key)], path + "." + std::string(key)));
  }
  return {};
}

template <class T>
  requires kIsInteger<T>
Json write(T from);
template <JsonEnum T>
Json write(T from);
template <JsonStruct T>
Json write(const T& from);
template <class T>
Json write(const std::optional<T>& from);
template <class T>
Json write(const std::vector<T>& from);
template <class T>
Json write(const std::map<std::string, T>& from);

template <class T>
bool is_empty(const T& value) {
  if constexpr (requires { value.empty(); }) {
    return value.empty();
  } else if constexpr (requires { value.has_value(); }) {
    return !value.has_value();
  } else if constexpr (JsonStruct<T>) {
    return false;  // as Go: a struct is never empty
  } else if constexpr (std::is_same_v<T, Json>) {
    return value.is_null();
  } else {
    return value == T{};
  }
}

template <class T>
  requires kIsInteger<T>
Json write(T from) {
  if constexpr (std::is_signed_v<T>)
    return Json(static_cast<std::int64_t>(from));
  else
    return Json(static_cast<std::uint64_t>(from));
}

template <JsonEnum T>
Json write(T from) {
  for (const auto& entry : json_names(static_cast<const T*>(nullptr))) {
    if (entry.value == from) return Json(boost::json::string_view(entry.name));
  }
  return Json(nullptr);
}

template <JsonStruct T>
Json write(const T& from) {
  JsonObject object;
  auto one = [&](const auto& f) {
    const auto& value = from.*(f.member);
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (requires(Value v) {
                    v.has_value();
                    v.reset();
                  }) {
      if (!value.has_value()) return;
    }
    if (f.flag == kOmitEmpty && is_empty(value)) return;
    object.emplace(f.key, write(value));
  };
  std::apply([&](const auto&... f) { (one(f), ...); }, json_fields(static_cast<const T*>(nullptr)));
  return object;
}

template <class T>
Json write(const std::optional<T>& from) {
  return from ? write(*from) : Json(nullptr);
}

template <class T>
Json write(const std::vector<T>& from) {
  JsonArray array;
  array.reserve(from.size());
  for (const auto& item : from) array.push_back(write(static_cast<const T&>(item)));
  return array;
}

template <class T>
Json write(const std::map<std::string, T>& from) {
  JsonObject object;
  for (const auto& [key, value] : from) object.emplace(key, write(value));
  return object;
}

}  // namespace json_detail

template <class T>
[[nodiscard]] Result<T> decode(const Json& value, const std::string& path = {}) {
  T result{};
  TRY(json_detail::read(value, result, path));
  return result;
}
template <class T>
[[nodiscard]] Result<T> decode_text(std::string_view text) {
  return decode<T>(TRY(parse_json(text)));
}
template <class T>
[[nodiscard]] Json encode(const T& value) {
  return json_detail::write(value);
}

}  // namespace mesh
