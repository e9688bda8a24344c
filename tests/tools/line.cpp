#include "tests/tools/line.h"

#include <charconv>
#include <vector>

namespace mesh::tools {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const size_t end = line.find(' ');
    words.push_back(line.substr(0, end));
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  }
  return words;
}

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::string encode(const Request& request) {
  return std::to_string(request.id) + ' ' + std::to_string(request.sequence) + '\n';
}

std::string encode(const Answer& answer) {
  return answer.instance + ' ' + answer.address + ' ' + std::to_string(answer.port) + ' ' +
         std::to_string(answer.request.id) + ' ' + std::to_string(answer.request.sequence) +
         (answer.last ? " last\n" : " more\n");
}

std::optional<Request> parse_request(std::string_view line) {
  const auto words = words_of(line);
  Request request;
  if (words.size() != 2 || !parse_number(words[0], request.id) || !parse_number(words[1], request.sequence)) return {};
  return request;
}

std::optional<Answer> parse_answer(std::string_view line) {
  const auto words = words_of(line);
  if (words.size() != 6) return {};
  Answer answer{.instance = std::string(words[0]), .address = std::string(words[1]), .last = words[5] == "last"};
  const bool valid = parse_number(words[2], answer.port) && parse_number(words[3], answer.request.id) &&
                     parse_number(words[4], answer.request.sequence) && (answer.last || words[5] == "more");
  if (!valid) return {};
  return answer;
}

}  // namespace mesh::tools
