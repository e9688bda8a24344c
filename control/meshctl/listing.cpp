#include "control/meshctl/listing.h"

#include "base/text.h"
#include "control/meshctl/table.h"
#include "control/meshctl/template.h"

namespace mesh::meshctl {
namespace {

Result<std::string> render_table(std::string_view format, const ListView& view, const std::vector<JsonObject>& rows) {
  const auto row_template = TRY(Template::parse(format));
  JsonObject titles;
  for (const auto& [placeholder, title] : view.headers) titles[placeholder] = title;
  std::string text = TRY(row_template.render(titles)) + "\n";
  for (const auto& row : rows) text += TRY(row_template.render(row)) + "\n";
  return align_columns(text);
}

}  // namespace

Result<std::string> render_list(const ListView& view, std::string_view format, const std::vector<JsonObject>& rows) {
  if (format.empty() || format == "table") return render_table(view.table, view, rows);
  if (format.starts_with("table ")) return render_table(trim(format.substr(6)), view, rows);
  std::string out;
  if (format == "json") {
    for (const auto& row : rows) out += to_text(row) + "\n";
    return out;
  }
  const auto row_template = TRY(Template::parse(format));
  for (const auto& row : rows) out += TRY(row_template.render(row)) + "\n";
  return out;
}

Result<std::string> render_inspect(std::string_view format, const JsonArray& objects) {
  if (format.empty() || format == "json") {
    return (format.empty() ? to_pretty_text(objects) : to_text(objects)) + "\n";
  }
  const auto object_template = TRY(Template::parse(format));
  std::string out;
  for (const auto& object : objects) out += TRY(object_template.render(object)) + "\n";
  return out;
}

}  // namespace mesh::meshctl
