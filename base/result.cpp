#include "base/result.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace mesh {
namespace {

ErrorKind kind_of_errno(int code) {
  switch (code) {
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorKind::kForbidden;
    case ENOENT:
    case ESRCH:
    case ENODEV:
      return ErrorKind::kNotFound;
    case EEXIST:
    case EBUSY:
    case EADDRINUSE:
      return ErrorKind::kConflict;
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return ErrorKind::kExhausted;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return ErrorKind::kUnavailable;
    case ETIMEDOUT:
      return ErrorKind::kTimeout;
    case ENOTSUP:  // EOPNOTSUPP is the same number on Linux
    case ENOSYS:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      return ErrorKind::kUnsupported;
    default:
      return ErrorKind::kInternal;
  }
}

}  // namespace

std::unexpected<Error> fail_errno(std::string_view what, int code) {
  const char* description = ::strerrordesc_np(code);
  if (description == nullptr) return fail(kind_of_errno(code), fmt::format("{}: error {}", what, code));
  return fail(kind_of_errno(code), fmt::format("{}: {}", what, description));
}

}  // namespace mesh
