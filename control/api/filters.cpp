#include "control/api/filters.h"

#include <algorithm>

namespace mesh::api {
namespace {

Result<std::set<std::string>> read_values(const Json& json, const std::string& key) {
  std::set<std::string> values;
  if (const JsonArray* list = json.if_array(); list != nullptr) {
    for (const Json& item : *list) {
      if (!item.is_string()) return fail(ErrorKind::kInvalid, "filters." + key + ": expected a list of strings");
      values.emplace(std::string_view(item.as_string()));
    }
    return values;
  }
  const JsonObject* object = json.if_object();
  if (object == nullptr) return fail(ErrorKind::kInvalid, "filters." + key + ": expected an object or a list");
  for (const auto& [value, wanted] : *object) {
    if (!wanted.is_bool()) return fail(ErrorKind::kInvalid, "filters." + key + ": expected true or false");
    if (wanted.as_bool()) values.emplace(std::string_view(value));
  }
  return values;
}

template <class Match>
bool any(const std::set<std::string>& values, Match match) {
  return values.empty() || std::ranges::any_of(values, match);
}

}  // namespace

Result<Filters> Filters::parse(const Request& request, std::initializer_list<std::string_view> known) {
  Filters filters;
  const std::string& text = request.parameter("filters");
  if (text.empty()) return filters;
  const Json json = TRY_IN("filters", parse_json(text, kHeaderBytesMax));
  if (json.is_null()) return filters;
  const JsonObject* object = json.if_object();
  if (object == nullptr) return fail(ErrorKind::kInvalid, "filters: expected an object");
  for (const auto& [name, value] : *object) {
    const std::string key(name);
    if (std::ranges::find(known, key) == known.end()) {
      return fail(ErrorKind::kInvalid, "invalid filter '" + key + "'");
    }
    std::set<std::string> values = TRY(read_values(value, key));
    if (!values.empty()) filters.values_[key] = std::move(values);
  }
  return filters;
}

const std::set<std::string>& Filters::values(std::string_view key) const {
  static const std::set<std::string> kEmpty;
  const auto found = values_.find(key);
  return found == values_.end() ? kEmpty : found->second;
}

bool Filters::exact(std::string_view key, std::string_view text) const {
  return any(values(key), [&](const std::string& value) { return value == text; });
}
bool Filters::prefix(std::string_view key, std::string_view text) const {
  return any(values(key), [&](const std::string& value) { return text.starts_with(value); });
}
bool Filters::substring(std::string_view key, std::string_view text) const {
  return any(values(key), [&](const std::string& value) { return text.find(value) != std::string_view::npos; });
}

bool Filters::labels(std::string_view key, const model::Labels& labels) const {
  return std::ranges::all_of(values(key), [&](const std::string& wanted) {
    const std::size_t equals = wanted.find('=');
    const auto found = labels.find(wanted.substr(0, equals));
    return found != labels.end() && (equals == std::string::npos || found->second == wanted.substr(equals + 1));
  });
}

}  // namespace mesh::api
