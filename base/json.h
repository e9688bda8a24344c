// JSON codec: plain structs to and from JSON with exact key names, and errors that carry the path of the value.
//
//   struct Port { std::uint32_t target = 0; std::string protocol; std::optional<Duration> delay; };
//   template <class Visit>
//   constexpr bool json_fields(const Port*, Visit&& visit) {
//     return visit("TargetPort", &Port::target) && visit("Protocol", &Port::protocol, kOmitEmpty) &&
//            visit("Delay", &Port::delay);
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

template <class E>
struct EnumName {
  E value;
  const char* name;
};

// json_fields calls this once per field, until it returns false. (A template, so that the headers of structs stay cheap
// to include: nothing is instantiated before a codec is.)
struct AnyVisit {
  template <class S, class M>
  bool operator()(const char* key, M S::* member, FieldFlag flag = kAlways) const;
};
template <class T>
concept JsonStruct = requires(const T* type, AnyVisit visit) { json_fields(type, visit); };
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
// A struct's member: what is to be read for it, nullptr if nothing; and its path.
const Json* member_of(const JsonObject& object, const char* key);
std::string path_of(const std::string& path, const char* key);

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
  json_fields(&to, [&](const char* key, auto member, FieldFlag = kAlways) {
    const Json* value = member_of(*object, key);
    if (value != nullptr) status = read(*value, to.*member, path_of(path, key));
    return status.has_value();
  });
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
  json_fields(&from, [&](const char* key, auto member, FieldFlag flag = kAlways) {
    const auto& value = from.*member;
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (requires(Value v) {
                    v.has_value();
                    v.reset();
                  }) {
      if (!value.has_value()) return true;
    }
    if (flag != kOmitEmpty || !is_empty(value)) object.emplace(key, write(value));
    return true;
  });
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

// A big struct's codec is compiled once, not in every file that uses it: MESH_JSON_DECLARE at the end of its header
// (outside namespaces), MESH_JSON_COMPILE in one source file.
#define MESH_JSON_DECLARE(Type)                                                                             \
  extern template mesh::Status mesh::json_detail::read<Type>(const mesh::Json&, Type&, const std::string&); \
  extern template mesh::Json mesh::json_detail::write<Type>(const Type&)
#define MESH_JSON_COMPILE(Type)                                                                      \
  template mesh::Status mesh::json_detail::read<Type>(const mesh::Json&, Type&, const std::string&); \
  template mesh::Json mesh::json_detail::write<Type>(const Type&)
