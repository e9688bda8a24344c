#include "control/cluster/join_route.h"

#include <fmt/format.h>

#include "base/log.h"

namespace mesh::cluster {
namespace {

// All sources together may join this many times as fast as one.
constexpr std::uint32_t kJoinTotalFactor = 10;

http::status status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return http::status::bad_request;
    case ErrorKind::kUnauthorized:
      return http::status::unauthorized;
    case ErrorKind::kForbidden:
      return http::status::forbidden;
    case ErrorKind::kUnsupported:
      return http::status::not_implemented;
    case ErrorKind::kInternal:
      return http::status::internal_server_error;
    default:
      return http::status::service_unavailable;
  }
}

}  // namespace

JoinRoute::JoinRoute(SignIn sign_in, const ManagerServer::Options& options, ServerCounters& counters)
    : sign_in_(std::move(sign_in)),
      limit_(options.join_burst, options.join_period, kJoinTotalFactor),
      counters_(counters) {}

HttpResponse JoinRoute::answer(const HttpRequest& request, const SocketAddress& from) {
  if (!limit_.admit(from.ip, wall_now())) {
    ++counters_.joins_limited;
    return error_response(request, http::status::too_many_requests,
                          fmt::format("too many joins from {}; try again in a few seconds", from.ip.to_string()));
  }
  Result<JoinRequest> body = decode_text<JoinRequest>(request.body());
  Result<JoinAnswer> result =
      body ? sign_in_(*body, from) : std::unexpected(std::move(body.error()).in("join request"));
  if (!result) {
    ++counters_.joins_refused;
    spdlog::warn("join refused peer={} error=\"{}\"", from.to_string(), result.error().message);
    return error_response(request, status_of(result.error().kind), result.error().message);
  }
  ++counters_.joins;
  return json_response(request, http::status::ok, encode(*result));
}

}  // namespace mesh::cluster
