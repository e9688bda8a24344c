// The table of the API's routes and the way from a request to its handler.
#pragma once

#include <span>
#include <string_view>

#include "control/api/context.h"

namespace mesh::api {

// Pattern: literal parts and captures, "/services/{id}/update"; a capture with "*" takes the rest, slashes included
// ("/images/{name*}/json": what follows it is matched from the end).
struct Route {
  std::string_view method;
  std::string_view pattern;
  // One of the two: an answer at once, or an answer later through the responder.
  Result<Response> (*answer)(Context&, const Request&) = nullptr;
  void (*answer_later)(Context&, const Request&, const ResponderPtr&) = nullptr;
};

// One table per noun, one file each.
[[nodiscard]] std::span<const Route> system_routes();
[[nodiscard]] std::span<const Route> swarm_routes();
[[nodiscard]] std::span<const Route> node_routes();
[[nodiscard]] std::span<const Route> service_routes();
[[nodiscard]] std::span<const Route> task_routes();
[[nodiscard]] std::span<const Route> network_routes();
[[nodiscard]] std::span<const Route> image_routes();
[[nodiscard]] std::span<const Route> mesh_routes();
[[nodiscard]] std::span<const Route> metric_routes();
[[nodiscard]] std::span<const Route> unsupported_routes();

// Strips and checks the version prefix, finds the route, runs it. 404 "page not found", 405 for another method, 400 for
// a version that is not spoken; HEAD is answered as GET without a body.
void dispatch(Context& context, Request request, const ResponderPtr& responder);

// Whether a pattern matches; fills the captures. For the tests.
[[nodiscard]] bool match_path(std::string_view pattern, std::string_view path,
                              std::map<std::string, std::string>& captures);

}  // namespace mesh::api
