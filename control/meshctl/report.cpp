#include "control/meshctl/report.h"

#include <algorithm>
#include <vector>

#include "control/meshctl/table.h"

namespace mesh::meshctl {
namespace {

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

bool is_list_of_objects(const Json& value) {
  const JsonArray* array = value.if_array();
  return array != nullptr && !array->empty() &&
         std::ranges::all_of(*array, [](const Json& v) { return v.is_object(); });
}

// A value on one line.
std::string cell(const Json& value) {
  std::string out;
  if (value.is_null()) return "-";
  if (value.is_string()) {
    out = std::string(value.as_string());
  } else if (value.is_bool()) {
    out = value.as_bool() ? "yes" : "no";
  } else if (const JsonArray* array = value.if_array()) {
    for (const Json& item : *array) out += (out.empty() ? "" : ", ") + cell(item);
  } else if (const JsonObject* object = value.if_object()) {
    for (const auto& [key, item] : *object) out += (out.empty() ? "" : " ") + std::string(key) + "=" + cell(item);
  } else {
    out = to_text(value);
  }
  // One value is one cell of one line, whatever is in it.
  std::ranges::replace_if(out, [](char c) { return c == '\t' || c == '\n'; }, ' ');
  return out.empty() ? "-" : out;
}

// Columns in the order in which the rows name them first.
std::vector<std::string> columns_of(const JsonArray& rows) {
  std::vector<std::string> columns;
  for (const Json& row : rows) {
    for (const auto& [key, value] : row.as_object()) {
      if (std::ranges::find(columns, std::string_view(key)) == columns.end()) columns.emplace_back(key);
    }
  }
  return columns;
}

std::string table(const JsonArray& rows) {
  const auto columns = columns_of(rows);
  std::string text;
  for (const auto& column : columns) text += (text.empty() ? "" : "\t") + column_title(column);
  text += "\n";
  for (const Json& row : rows) {
    std::string line;
    for (const auto& column : columns) {
      const Json* value = row.as_object().if_contains(column);
      line += (line.empty() ? "" : "\t") + (value == nullptr ? "-" : cell(*value));
    }
    text += line + "\n";
  }
  return align_columns(text);
}

std::string indented(const std::string& text, std::size_t depth) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    if (text[begin] != '\n') out.append(depth * 2, ' ');
    out += text.substr(begin, end - begin);
    begin = end;
  }
  return out;
}

std::string section(const JsonObject& object, std::size_t depth) {
  std::string plain, rest;
  for (const auto& [key, value] : object) {
    const std::string name(key);
    if (is_list_of_objects(value)) {
      rest += "\n" + name + ":\n" + indented(table(value.as_array()), 1);
    } else if (value.is_object() && !value.as_object().empty()) {
      rest += "\n" + name + ":\n" + section(value.as_object(), 1);
    } else {
      plain += name + ":\t" + cell(value) + "\n";
    }
  }
  return indented((plain.empty() ? "" : align_columns(plain)) + rest, depth);
}

}  // namespace

std::string column_title(std::string_view key) {
  std::string out;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const bool after_lower = i > 0 && !is_upper(key[i - 1]);
    const bool before_lower = i > 0 && i + 1 < key.size() && !is_upper(key[i + 1]) && is_upper(key[i - 1]);
    if (is_upper(key[i]) && (after_lower || before_lower)) out += ' ';
    out += key[i] >= 'a' && key[i] <= 'z' ? static_cast<char>(key[i] - 32) : key[i];
  }
  return out;
}

std::string render_report(const Json& report) {
  if (const JsonObject* object = report.if_object()) {
    const std::string text = section(*object, 0);
    return text.starts_with('\n') ? text.substr(1) : text;
  }
  return is_list_of_objects(report) ? table(report.as_array()) : cell(report) + "\n";
}

}  // namespace mesh::meshctl
