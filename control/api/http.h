// A request and a response of the API as plain values, and how the project's errors become HTTP (Docker Engine API:
// body {"message": …}). No sockets here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mesh::api {

// A body over this is refused with 413; the largest that a client has reason to send is a service's spec.
inline constexpr std::size_t kBodyBytesMax = std::size_t{4} << 20U;
inline constexpr std::uint32_t kHeaderBytesMax = 32U << 10U;
// Bytes of a stream that a client has not read yet; more end the stream.
inline constexpr std::size_t kStreamBytesMax = std::size_t{8} << 20U;

struct Request {
  std::string method;                                     // "GET"
  std::string path;                                       // decoded, without version prefix and query: "/services/web"
  std::map<std::string, std::vector<std::string>> query;  // decoded
  std::map<std::string, std::string> headers;             // names in lower case
  std::string body;
  std::map<std::string, std::string> captures;  // of the route's pattern: {"id": "web"}

  // First value, or "".
  [[nodiscard]] const std::string& parameter(const std::string& name) const;
  // As Docker reads flags: "", "0", "no", "false", "none" are false, anything else true.
  [[nodiscard]] bool flag(const std::string& name) const;
  // Absent or empty: nullopt; not a number: kInvalid.
  [[nodiscard]] Result<std::optional<std::uint64_t>> number(const std::string& name) const;
  [[nodiscard]] const std::string& header(const std::string& lower_name) const;
  [[nodiscard]] const std::string& capture(const std::string& name) const;
};

// Splits a request target into path and query; kInvalid for a bad escape.
[[nodiscard]] Status set_target(Request& request, std::string_view target);

struct Response {
  int status = 200;
  std::map<std::string, std::string> headers;  // Content-Type is application/json if there is a body and none is set
  std::string body;
};

[[nodiscard]] Response json_response(const Json& body, int status = 200);
[[nodiscard]] Response text_response(std::string text, int status = 200);
[[nodiscard]] Response empty_response(int status);
[[nodiscard]] Response error_response(const Error& error);
[[nodiscard]] int status_of(ErrorKind kind);

// Where an answer goes: either send() once, or begin(), any number of write(), end(). Called on the loop's thread; a
// client that has gone makes all of them do nothing. Destroyed without an answer: 500 is sent.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void send(Response response) = 0;
  virtual void begin(Response head) = 0;  // its body is the first piece, if any
  virtual void write(std::string piece) = 0;
  virtual void end() = 0;
  [[nodiscard]] virtual bool closed() const = 0;
};
using ResponderPtr = std::shared_ptr<Responder>;

// The request's body as T; kInvalid names the path of what is wrong ("TaskTemplate.Resources.Limits: expected …").
template <class T>
[[nodiscard]] Result<T> read_body(const Request& request) {
  if (request.body.empty()) return fail(ErrorKind::kInvalid, "the request has no body; JSON is expected");
  const Json value = TRY_IN("request body", parse_json(request.body, kBodyBytesMax));
  if (!value.is_object()) return fail(ErrorKind::kInvalid, "request body: expected an object");
  return TRY_IN("request body", decode<T>(value));
}

}  // namespace mesh::api
