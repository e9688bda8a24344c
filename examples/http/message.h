#pragma once
// HTTP/1.1 messages as values (RFC 9112), as far as the example programs need them: requests with a Content-Length
// body, responses that end by Content-Length or by the end of the connection. No sockets here.

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace mesh::examples {

// Header names are kept in lower case; a repeated header keeps its last value.
using Headers = std::map<std::string, std::string>;

// A request line and headers larger than this are refused with 431.
inline constexpr std::size_t kHeadBytesMax = 16 * 1024;
// A body larger than this is refused with 413.
inline constexpr std::size_t kBodyBytesMax = 1024 * 1024;

struct Request {
  std::string method;
  std::string target;  // as sent: path and query
  int minor_version = 1;
  Headers headers;
  std::string body;

  std::string_view path() const;
  bool keep_alive() const;
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  Headers headers;
};

// What the bytes read so far amount to.
struct Parsed {
  enum class State { kIncomplete, kComplete, kBad };
  State state = State::kIncomplete;
  Request request;
  std::size_t bytes_used = 0;  // of a complete message
  int status = 400;            // of a bad one: the answer to give
};

Parsed parse_request(std::string_view bytes);

// A complete message on the wire. `head_only` is for answers to HEAD: the length is told, the body is not sent.
std::string format_response(const Response& response, bool keep_alive, bool head_only);

// HTTP/1.0, so that no server answers in chunks.
std::string format_request(std::string_view method, std::string_view host, std::string_view path,
                           std::string_view body);

// `bytes` is everything the server sent until it closed the connection; nothing when that is no whole response.
std::optional<Response> parse_response(std::string_view bytes);

struct Url {
  std::string host;
  std::string port = "80";
  std::string path = "/";
};
// Understands http://host[:port][/path], host also as [v6 literal].
std::optional<Url> parse_url(std::string_view text);

std::string escape_html(std::string_view text);
// The text between the quotes of a JSON string.
std::string escape_json(std::string_view text);
// The value of a string member in a flat JSON object, unescaped; nothing when it is absent or not a string.
std::optional<std::string> json_string_member(std::string_view json, std::string_view name);
std::string encode_base64(std::string_view bytes);

}  // namespace mesh::examples
