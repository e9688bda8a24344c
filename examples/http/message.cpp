#include "examples/http/message.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace mesh::examples {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes one CRLF-ended line off the front of `rest`.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const auto end = rest.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const auto line = rest.substr(0, end);
  rest.remove_prefix(end + 2);
  return line;
}

bool parse_headers(std::string_view lines, Headers& headers) {
  while (!lines.empty()) {
    const auto line = take_line(lines);
    if (!line) return false;
    const auto colon = line->find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    const auto name = line->substr(0, colon);
    // A space before the colon is how requests are smuggled past proxies (RFC 9112 §5.1).
    if (name.find_first_of(" \t") != std::string_view::npos) return false;
    headers[lower(name)] = std::string(trim(line->substr(colon + 1)));
  }
  return true;
}

std::optional<std::size_t> parse_size(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

Parsed bad(int status) {
  Parsed parsed;
  parsed.state = Parsed::State::kBad;
  parsed.status = status;
  return parsed;
}

bool parse_request_line(std::string_view line, Request& request) {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == 0 || last <= first + 1) return false;
  const auto version = line.substr(last + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return false;
  request.method = std::string(line.substr(0, first));
  request.target = std::string(line.substr(first + 1, last - first - 1));
  request.minor_version = version.back() - '0';
  return request.target.front() == '/' && request.target.find(' ') == std::string::npos;
}

}  // namespace

std::string_view Request::path() const {
  const std::string_view all = target;
  return all.substr(0, all.find('?'));
}

bool Request::keep_alive() const {
  const auto found = headers.find("connection");
  const std::string wanted = found == headers.end() ? "" : lower(found->second);
  if (wanted.find("close") != std::string::npos) return false;
  return minor_version >= 1 || wanted.find("keep-alive") != std::string::npos;
}

Parsed parse_request(std::string_view bytes) {
  const auto head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return bytes.size() > kHeadBytesMax ? bad(431) : Parsed{};
  if (head_end > kHeadBytesMax) return bad(431);

  Parsed parsed;
  auto head = bytes.substr(0, head_end + 2);
  const auto line = take_line(head);
  if (!line || !parse_request_line(*line, parsed.request)) return bad(400);
  if (!parse_headers(head, parsed.request.headers)) return bad(400);
  if (parsed.request.headers.contains("transfer-encoding")) return bad(411);

  std::size_t body_bytes = 0;
  if (const auto found = parsed.request.headers.find("content-length"); found != parsed.request.headers.end()) {
    const auto length = parse_size(found->second);
    if (!length) return bad(400);
    if (*length > kBodyBytesMax) return bad(413);
    body_bytes = *length;
  }
  parsed.bytes_used = head_end + 4 + body_bytes;
  if (bytes.size() < parsed.bytes_used) return Parsed{};
  parsed.request.body = std::string(bytes.substr(head_end + 4, body_bytes));
  parsed.state = Parsed::State::kComplete;
  return parsed;
}

std::string format_response(const Response& response, bool keep_alive, bool head_only) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " " + std::string(reason(response.status)) + "\r\n";
  out += "Content-Type: " + response.content_type + "\r\n";
  out += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  for (const auto& [name, value] : response.headers) out += name + ": " + value + "\r\n";
  out += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  if (!head_only) out += response.body;
  return out;
}

std::string format_request(std::string_view method, std::string_view host, std::string_view path,
                           std::string_view body) {
  std::string out;
  out.append(method).append(" ").append(path).append(" HTTP/1.0\r\nHost: ").append(host).append("\r\n");
  if (!body.empty() || method == "POST") {
    out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  out.append("\r\n").append(body);
  return out;
}

std::optional<Response> parse_response(std::string_view bytes) {
  const auto head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return std::nullopt;
  auto head = bytes.substr(0, head_end + 2);
  const auto line = take_line(head);
  if (!line || !line->starts_with("HTTP/1.") || line->size() < 12) return std::nullopt;
  const auto status = parse_size(line->substr(9, 3));
  if (!status) return std::nullopt;

  Response response;
  response.status = static_cast<int>(*status);
  if (!parse_headers(head, response.headers)) return std::nullopt;
  response.content_type = response.headers["content-type"];
  response.body = std::string(bytes.substr(head_end + 4));
  if (const auto found = response.headers.find("content-length"); found != response.headers.end()) {
    const auto length = parse_size(found->second);
    if (!length || response.body.size() < *length) return std::nullopt;
    response.body.resize(*length);
  }
  return response;
}

std::optional<Url> parse_url(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme)) return std::nullopt;
  text.remove_prefix(kScheme.size());
  Url url;
  const auto slash = text.find('/');
  if (slash != std::string_view::npos) url.path = std::string(text.substr(slash));
  auto authority = text.substr(0, slash);
  auto colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    const auto bracket = authority.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    url.host = std::string(authority.substr(1, bracket - 1));
    colon = bracket + 1 < authority.size() && authority[bracket + 1] == ':' ? bracket + 1 : std::string_view::npos;
  } else {
    url.host = std::string(authority.substr(0, colon));
  }
  if (colon != std::string_view::npos) {
    url.port = std::string(authority.substr(colon + 1));
    const auto number = parse_size(url.port);
    if (!number || *number == 0 || *number > 65535) return std::nullopt;
  }
  if (url.host.empty()) return std::nullopt;
  return url;
}

}  // namespace mesh::examples
