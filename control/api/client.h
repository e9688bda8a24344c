// Client of the Docker Engine API on meshd's unix socket, for meshctl: synchronous, one connection per request.
//
// No Asio in here, so that what uses it compiles fast. Not for the daemon: calls block until the answer is complete.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace mesh::api {

inline constexpr std::string_view kDefaultHost = "unix:///run/meshd.sock";
// An answer that is not streamed and larger than this is refused: the largest list that one cluster can have is far
// below it.
inline constexpr std::size_t kAnswerBytesMax = std::size_t{64} << 20U;

struct Answer {
  unsigned status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// Called for each line of a streamed answer, without its end; false stops reading.
using OnLine = std::function<bool(std::string_view line)>;

class Client {
 public:
  // "unix:///path"; anything else is kInvalid.
  [[nodiscard]] static Result<Client> open(std::string_view host);

  using Headers = std::map<std::string, std::string>;

  // `target` is path and query, percent-encoded. Any status is a Answer; errors are those of the connection:
  // kUnavailable when nobody listens, kForbidden without the right to connect.
  [[nodiscard]] Result<Answer> request(std::string_view method, std::string_view target, std::string_view body = {},
                                       const Headers& headers = {}) const;
  // The same with the body of a 2xx answer given line by line as it comes; the Answer then has an empty body.
  [[nodiscard]] Result<Answer> stream(std::string_view method, std::string_view target, std::string_view body,
                                      const Headers& headers, const OnLine& on_line) const;

  // A JSON answer; a status of 300 or more becomes the Error whose message is the answer's {"message": …}.
  [[nodiscard]] Result<Json> get(std::string_view target) const;
  [[nodiscard]] Result<Json> post(std::string_view target, const Json& body) const;
  [[nodiscard]] Result<Json> post(std::string_view target) const;
  [[nodiscard]] Result<Json> del(std::string_view target) const;

  [[nodiscard]] const std::string& socket_path() const { return socket_path_; }

 private:
  explicit Client(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  std::string socket_path_;
};

// A status of 300 or more as an Error: the kind follows the status, the message is the body's.
[[nodiscard]] Error error_of(const Answer& answer);

// Percent-encodes everything but unreserved characters (RFC 3986 §2.3), for one path segment or query value.
[[nodiscard]] std::string encode_query(std::string_view text);

}  // namespace mesh::api
