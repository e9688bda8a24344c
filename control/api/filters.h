// The `filters` parameter of Docker's list calls: JSON, {"name": {"web": true}} or {"name": ["web"]}. Values of one key
// are alternatives, keys must all hold.
#pragma once

#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "control/api/http.h"
#include "control/model/object.h"

namespace mesh::api {

class Filters {
 public:
  // From the request's parameter; a key that is not in `known` is kInvalid ("invalid filter 'x'").
  [[nodiscard]] static Result<Filters> parse(const Request& request, std::initializer_list<std::string_view> known);

  [[nodiscard]] bool has(std::string_view key) const { return values_.find(key) != values_.end(); }
  [[nodiscard]] const std::set<std::string>& values(std::string_view key) const;
  // Key absent, or one of its values is exactly / is a prefix of / occurs in / equals (ignoring case) the text.
  [[nodiscard]] bool exact(std::string_view key, std::string_view text) const;
  [[nodiscard]] bool prefix(std::string_view key, std::string_view text) const;
  [[nodiscard]] bool substring(std::string_view key, std::string_view text) const;
  // Every "k" or "k=v" of the key is among the labels.
  [[nodiscard]] bool labels(std::string_view key, const model::Labels& labels) const;

 private:
  std::map<std::string, std::set<std::string>, std::less<>> values_;
};

}  // namespace mesh::api
