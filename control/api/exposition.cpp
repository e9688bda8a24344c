#include "control/api/exposition.h"

#include <fmt/format.h>

namespace mesh::api {
namespace {

// A help text escapes backslash and line feed, a label's value the quote too.
std::string escape(std::string_view text, bool quotes) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\\\";
    } else if (c == '\n') {
      escaped += "\\n";
    } else if (c == '"' && quotes) {
      escaped += "\\\"";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace

void Exposition::family(std::string_view name, MetricType type, std::string_view help) {
  name_ = name;
  samples_ = 0;
  head_ = fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escape(help, false), name,
                      type == MetricType::kCounter ? "counter" : "gauge");
}

void Exposition::add(const Labels& labels, std::string_view value) {
  if (samples_ == samples_max_) {
    ++left_out_;
    return;
  }
  if (samples_++ == 0) text_ += head_;
  text_ += name_;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto& [label, content] = labels[i];
    text_ += fmt::format("{}{}=\"{}\"", i == 0 ? '{' : ',', label, escape(content, true));
  }
  if (!labels.empty()) text_ += '}';
  text_.append(" ").append(value).append("\n");
}

void Exposition::sample(const Labels& labels, std::uint64_t value) { add(labels, fmt::format("{}", value)); }
void Exposition::sample(const Labels& labels, double value) { add(labels, fmt::format("{}", value)); }

void Exposition::single(std::string_view name, MetricType type, std::string_view help, std::uint64_t value) {
  family(name, type, help);
  sample({}, value);
}
void Exposition::single(std::string_view name, MetricType type, std::string_view help, double value) {
  family(name, type, help);
  sample({}, value);
}

}  // namespace mesh::api
