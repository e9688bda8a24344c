// Result<T>: the one way a function of this project fails.
//
// An Error carries a kind (what a caller may branch on; the API maps it to an HTTP status) and a message for the
// person who reads it: what failed, on what, why, and what to try. Callers add context with `Error::in`.
// Exceptions come from third-party libraries only and are caught where those are called.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace mesh {

enum class ErrorKind {
  kInvalid,       // the request itself is wrong: 400
  kUnauthorized,  // no or wrong credentials: 401
  kForbidden,     // refused by state or policy: 403
  kNotFound,      // 404
  kConflict,      // exists, in use, or the precondition no longer holds: 409
  kExhausted,     // a limit or a pool is full: 409 at the API, with the limit's name
  kUnavailable,   // not now: no manager, not in a swarm, peer down: 503
  kTimeout,       // the deadline passed: 503
  kUnsupported,   // this host or kernel lacks something, named in the message: 501
  kInternal,      // a bug or an unexpected answer of the system: 500
};

struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;

  bool operator==(const Error&) const = default;
  // "what: message", kind kept.
  [[nodiscard]] Error in(std::string_view what) && {
    message.insert(0, ": ").insert(0, what);
    return std::move(*this);
  }
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorKind kind, std::string message) {
  return std::unexpected(Error{kind, std::move(message)});
}

// Error from an errno value: "what: strerror(code)". EACCES/EPERM, ENOENT, EEXIST, EBUSY, ENOTSUP map to their kinds.
[[nodiscard]] std::unexpected<Error> fail_errno(std::string_view what, int code);

}  // namespace mesh

// TRY(expr): value of a Result, or return its error. TRY_IN adds context. In coroutines use CO_TRY on a named Result.
// (Statement expressions: GNU extension that both supported compilers have. The counter lets one TRY stand inside
// another without shadowing.)
#define TRY(...) MESH_TRY_NAMED(MESH_TRY_JOIN(try_result_, __COUNTER__), , __VA_ARGS__)
#define TRY_IN(what, ...) MESH_TRY_NAMED(MESH_TRY_JOIN(try_result_, __COUNTER__), .in(what), __VA_ARGS__)
#define CO_TRY(name)                                                 \
  do {                                                               \
    if (!(name)) co_return std::unexpected(std::move(name).error()); \
  } while (0)

#define MESH_TRY_JOIN(a, b) MESH_TRY_JOIN_EXPANDED(a, b)
#define MESH_TRY_JOIN_EXPANDED(a, b) a##b
#define MESH_TRY_NAMED(name, context, ...)                              \
  ({                                                                    \
    auto&& name = (__VA_ARGS__);                                        \
    if (!name) return std::unexpected(std::move(name).error() context); \
    std::move(name).value();                                            \
  })
