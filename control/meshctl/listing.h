// Lists of objects: a table by default, or what --format asks for.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mesh::meshctl {

// What a list shows. A row is an object whose members are the placeholders.
struct ListView {
  std::string_view table;                                              // the default: cells between tabs
  std::vector<std::pair<std::string_view, std::string_view>> headers;  // placeholder -> column title
};

// `format`: "" or "table", "table TEMPLATE", "json" (one object per line) or a template for each row.
[[nodiscard]] Result<std::string> render_list(const ListView& view, std::string_view format,
                                              const std::vector<JsonObject>& rows);

// What inspect shows: all objects as one indented JSON array, or a template for each.
[[nodiscard]] Result<std::string> render_inspect(std::string_view format, const JsonArray& objects);

}  // namespace mesh::meshctl
