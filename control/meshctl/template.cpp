#include "control/meshctl/template.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "base/text.h"

namespace mesh::meshctl {

struct Template::Node {
  enum class Kind { kText, kPrint, kIf, kRange, kWith };
  Kind kind = Kind::kText;
  std::string text;                // kText
  std::vector<std::string> words;  // of the action, brackets and pipes among them
  std::vector<Node> body, otherwise;
};

namespace {

using Node = Template::Node;
using Words = std::vector<std::string>;

std::unexpected<Error> not_understood(std::string_view action, std::string_view why) {
  return fail(ErrorKind::kInvalid, fmt::format("--format: {{{{{}}}}}: {}", action, why));
}

// ---- words of an action: fields, names, "strings", numbers, ( and |, and ) with the field that follows it at once

Result<Words> split_words(std::string_view action) {
  Words words;
  for (std::size_t i = 0; i < action.size();) {
    const char c = action[i];
    if (c == ' ' || c == '\t' || c == '\n') {
      ++i;
    } else if (c == '|' || c == '(') {
      words.emplace_back(1, c);
      ++i;
    } else if (c == ')') {
      const bool field_follows = i + 1 < action.size() && action[i + 1] == '.';
      const auto end = field_follows ? std::min(action.find_first_of(" \t\n|()\"`", i + 1), action.size()) : i + 1;
      words.emplace_back(action.substr(i, end - i));
      i = end;
    } else if (c == '"' || c == '`') {
      std::string literal = "\"";
      std::size_t end = i + 1;
      for (; end < action.size() && action[end] != c; ++end) {
        if (c == '"' && action[end] == '\\' && end + 1 < action.size()) {
          ++end;
          literal += action[end] == 'n' ? '\n' : action[end] == 't' ? '\t' : action[end];
        } else {
          literal += action[end];
        }
      }
      if (end == action.size()) return not_understood(action, "a string has no end");
      words.push_back(literal);
      i = end + 1;
    } else {
      const auto end = std::min(action.find_first_of(" \t\n|()\"`", i), action.size());
      words.emplace_back(action.substr(i, end - i));
      i = end;
    }
  }
  return words;
}

// Index of the ")" that closes the "(" at `open`, or the size.
std::size_t closing_bracket(std::span<const std::string> words, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < words.size(); ++i) {
    if (words[i] == "(") ++depth;
    if (words[i][0] == ')' && --depth == 0) return i;
  }
  return words.size();
}

// Brackets in pairs, and no command between pipes or in brackets that is empty.
Status check_pipe(std::string_view action, std::span<const std::string> words) {
  bool empty = true;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i][0] == ')') return not_understood(action, "a bracket closes that was not opened");
    if (words[i] == "|") {
      if (empty) break;
      empty = true;
      continue;
    }
    empty = false;
    if (words[i] != "(") continue;
    const auto close = closing_bracket(words, i);
    if (close == words.size()) return not_understood(action, "a bracket has no end");
    TRY(check_pipe(action, words.subspan(i + 1, close - i - 1)));
    i = close;
  }
  if (empty) return not_understood(action, "a command is missing");
  return {};
}

// ---- text to nodes

struct Piece {
  bool action = false;
  std::string text;
};

Result<std::vector<Piece>> split_pieces(std::string_view text) {
  std::vector<Piece> pieces;
  bool trim_next = false;
  while (!text.empty()) {
    const auto begin = text.find("{{");
    std::string plain(text.substr(0, begin));
    if (trim_next) plain.erase(0, plain.find_first_not_of(" \t\r\n"));
    if (begin == std::string_view::npos) {
      pieces.push_back({false, plain});
      break;
    }
    const auto end = text.find("}}", begin);
    if (end == std::string_view::npos) return fail(ErrorKind::kInvalid, "--format: an action {{ has no }}");
    auto action = text.substr(begin + 2, end - begin - 2);
    if (action.starts_with("- ")) {
      while (!plain.empty() && std::string_view(" \t\r\n").contains(plain.back())) plain.pop_back();
      action.remove_prefix(2);
    }
    trim_next = action.ends_with(" -");
    if (trim_next) action.remove_suffix(2);
    pieces.push_back({false, plain});
    pieces.push_back({true, std::string(trim(action))});
    text.remove_prefix(end + 2);
  }
  return pieces;
}

class Parser {
 public:
  explicit Parser(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {}

  // Up to the end, or to the {{end}} or {{else}} of the block that this is in.
  Result<std::vector<Node>> block(bool inner) {
    std::vector<Node> nodes;
    for (; at_ < pieces_.size(); ++at_) {
      const Piece& piece = pieces_[at_];
      if (!piece.action) {
        if (!piece.text.empty()) nodes.push_back({Node::Kind::kText, piece.text, {}, {}, {}});
        continue;
      }
      const bool closes = piece.text == "end" || piece.text.starts_with("else");
      if (closes && inner) return nodes;
      if (closes) return not_understood(piece.text, "there is no block to end");
      if (piece.text.starts_with("/*")) continue;
      nodes.push_back(TRY(one(piece.text)));
    }
    if (inner) return fail(ErrorKind::kInvalid, "--format: a block has no {{end}}");
    return nodes;
  }

 private:
  Result<Node> one(const std::string& action) {
    const Words words = TRY(split_words(action));
    if (words.empty()) return not_understood(action, "the action is empty");
    Node node;
    node.kind = words[0] == "if"      ? Node::Kind::kIf
                : words[0] == "range" ? Node::Kind::kRange
                : words[0] == "with"  ? Node::Kind::kWith
                                      : Node::Kind::kPrint;
    const bool block_follows = node.kind != Node::Kind::kPrint;
    node.words.assign(words.begin() + (block_follows ? 1 : 0), words.end());
    TRY(check_pipe(action, node.words));
    if (!block_follows) return node;
    ++at_;
    node.body = TRY(block(true));
    TRY(rest_of_block(node));
    return node;
  }

  // After the body: {{end}}, or {{else}} … {{end}}, or {{else if …}} which is a block in the else.
  Status rest_of_block(Node& node) {
    const std::string closing = pieces_[at_].text;
    if (closing == "end") return {};
    const auto words = TRY(split_words(closing));
    if (words.size() > 1) {
      node.otherwise.push_back(TRY(one(closing.substr(closing.find("else") + 4))));
      return {};
    }
    ++at_;
    node.otherwise = TRY(block(true));
    if (pieces_[at_].text != "end") return not_understood(pieces_[at_].text, "a second else");
    return {};
  }

  std::vector<Piece> pieces_;
  std::size_t at_ = 0;
};

// ---- values

bool is_true(const Json& value) {
  if (value.is_null()) return false;
  if (value.is_bool()) return value.as_bool();
  if (value.is_string()) return !value.as_string().empty();
  if (value.is_array()) return !value.as_array().empty();
  if (value.is_object()) return !value.as_object().empty();
  return value.to_number<double>() != 0;
}

// As Go prints it: maps and lists in its own notation.
std::string print(const Json& value) {
  if (value.is_null()) return "<no value>";
  if (value.is_string()) return std::string(value.as_string());
  std::string out;
  if (value.is_array()) {
    for (const Json& item : value.as_array()) out += (out.empty() ? "" : " ") + print(item);
    return "[" + out + "]";
  }
  if (value.is_object()) {
    std::map<std::string, std::string> sorted;
    for (const auto& [key, item] : value.as_object()) sorted[std::string(key)] = print(item);
    for (const auto& [key, item] : sorted) out += (out.empty() ? "" : " ") + key + ":" + item;
    return "map[" + out + "]";
  }
  return to_text(value);
}

std::string cased(std::string text, bool upper) {
  for (char& c : text) {
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return text;
}

Json member(const Json& value, std::string_view key) {
  const JsonObject* object = value.if_object();
  const Json* found = object == nullptr ? nullptr : object->if_contains(key);
  return found == nullptr ? Json() : *found;
}

Result<Json> index_into(const Json& value, const Json& key) {
  if (key.is_string()) return member(value, std::string_view(key.as_string()));
  const JsonArray* array = value.if_array();
  if (array == nullptr || !key.is_number()) return Json();
  const auto at = key.to_number<std::int64_t>();
  if (at < 0 || static_cast<std::size_t>(at) >= array->size()) {
    return fail(ErrorKind::kInvalid, fmt::format("--format: index {} of a list of {}", at, array->size()));
  }
  return (*array)[static_cast<std::size_t>(at)];
}

Json length(const Json& value) {
  if (value.is_string()) return value.as_string().size();
  if (value.is_array()) return value.as_array().size();
  if (value.is_object()) return value.as_object().size();
  return 0;
}

Json join(const Json& list, const Json& separator) {
  std::string out;
  if (const JsonArray* array = list.if_array()) {
    for (std::size_t i = 0; i < array->size(); ++i) out += (i == 0 ? "" : print(separator)) + print((*array)[i]);
  }
  return Json(boost::json::string(out));
}

Json text(const std::string& value) { return Json(boost::json::string(value)); }

Result<Json> call(const std::string& name, std::span<const Json> arguments) {
  const auto takes = [&](std::size_t count) { return arguments.size() == count; };
  if (name == "json" && takes(1)) return text(to_text(arguments[0]));
  if (name == "len" && takes(1)) return length(arguments[0]);
  if (name == "upper" && takes(1)) return text(cased(print(arguments[0]), true));
  if (name == "lower" && takes(1)) return text(cased(print(arguments[0]), false));
  if (name == "title" && takes(1)) {
    std::string out = print(arguments[0]);
    return text(cased(out.substr(0, 1), true) + (out.empty() ? "" : out.substr(1)));
  }
  if (name == "not" && takes(1)) return Json(!is_true(arguments[0]));
  if (name == "eq" && takes(2)) return Json(print(arguments[0]) == print(arguments[1]));
  if (name == "ne" && takes(2)) return Json(print(arguments[0]) != print(arguments[1]));
  if (name == "join" && takes(2)) return join(arguments[0], arguments[1]);
  if (name == "index" && arguments.size() >= 2) {
    Json value = arguments[0];
    for (const Json& key : arguments.subspan(1)) value = TRY(index_into(value, key));
    return value;
  }
  if (name == "print" || name == "println") {
    std::string out;
    for (const Json& argument : arguments) out += (out.empty() ? "" : " ") + print(argument);
    return text(name == "println" ? out + "\n" : out);
  }
  return fail(ErrorKind::kInvalid,
              fmt::format("--format: function \"{}\" with {} arguments is not known", name, arguments.size()));
}

class Renderer {
 public:
  explicit Renderer(const Json& root) : root_(root) {}

  Status render(std::span<const Node> nodes, const Json& dot) {
    for (const Node& node : nodes) {
      if (node.kind == Node::Kind::kText) {
        out_ += node.text;
        continue;
      }
      const Json value = TRY(evaluate(node.words, dot));
      if (node.kind == Node::Kind::kPrint) {
        out_ += print(value);
      } else if (!is_true(value)) {
        TRY(render(node.otherwise, dot));
      } else if (node.kind == Node::Kind::kRange) {
        TRY(render_each(node.body, value));
      } else {
        TRY(render(node.body, node.kind == Node::Kind::kWith ? value : dot));
      }
    }
    return {};
  }

  std::string take() { return std::move(out_); }

 private:
  Status render_each(std::span<const Node> body, const Json& value) {
    if (const JsonArray* array = value.if_array()) {
      for (const Json& item : *array) TRY(render(body, item));
    } else if (const JsonObject* object = value.if_object()) {
      for (const auto& [key, item] : *object) TRY(render(body, item));
    }
    return {};
  }

  // A pipe: each command gets the result of the one before as its last argument.
  Result<Json> evaluate(std::span<const std::string> words, const Json& dot) const {
    std::optional<Json> piped;
    for (std::size_t begin = 0; begin < words.size();) {
      std::string function;
      if (is_function(words[begin])) function = words[begin++];
      std::vector<Json> arguments;
      for (; begin < words.size() && words[begin] != "|"; ++begin) {
        if (words[begin] != "(") {
          arguments.push_back(TRY(operand(words[begin], dot)));
          continue;
        }
        const auto close = closing_bracket(words, begin);
        const Json inner = TRY(evaluate(words.subspan(begin + 1, close - begin - 1), dot));
        arguments.push_back(members(inner, std::string_view(words[close]).substr(1)));
        begin = close;
      }
      ++begin;
      if (function.empty() && (arguments.size() != 1 || piped)) {
        return fail(ErrorKind::kInvalid, "--format: a value is followed or preceded by another without a function");
      }
      if (piped) arguments.push_back(*piped);
      piped = function.empty() ? arguments[0] : TRY(call(function, arguments));
    }
    return *piped;
  }

  static bool is_function(const std::string& word) {
    return std::isalpha(static_cast<unsigned char>(word[0])) != 0 && word != "true" && word != "false";
  }

  // ".Spec.Name" of a value.
  static Json members(Json value, std::string_view path) {
    for (const auto key : split(path, '.')) {
      if (!key.empty()) value = member(value, key);
    }
    return value;
  }

  Result<Json> operand(const std::string& word, const Json& dot) const {
    if (word[0] == '"') return text(word.substr(1));
    if (word == "true" || word == "false") return Json(word == "true");
    if (const auto number = parse_number<std::int64_t>(word)) return Json(*number);
    if (word[0] != '.' && word[0] != '$') {
      return fail(ErrorKind::kInvalid, "--format: \"" + word + "\" is neither a field nor a string");
    }
    return members(word[0] == '$' ? root_ : dot, std::string_view(word).substr(1));
  }

  const Json& root_;
  std::string out_;
};

std::string unescape(std::string_view format) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char next = format[i] == '\\' && i + 1 < format.size() ? format[i + 1] : '\0';
    if (next == 't' || next == 'n') {
      out += next == 't' ? '\t' : '\n';
      ++i;
    } else {
      out += format[i];
    }
  }
  return out;
}

}  // namespace

Result<Template> Template::parse(std::string_view text) {
  Template parsed;
  parsed.nodes_ =
      std::make_shared<const std::vector<Node>>(TRY(Parser(TRY(split_pieces(unescape(text)))).block(false)));
  return parsed;
}

Result<std::string> Template::render(const Json& value) const {
  Renderer renderer(value);
  TRY(renderer.render(*nodes_, value));
  return renderer.take();
}

}  // namespace mesh::meshctl
