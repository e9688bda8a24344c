// Image of the day: GET /image answers the picture as JSON, GET /picture.svg the picture itself.

#include <chrono>

#include "examples/http/server.h"
#include "examples/picture.h"
#include "examples/place.h"

namespace {

using namespace mesh::examples;

std::int64_t today() {
  return std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()).time_since_epoch().count();
}

std::string image_json(const Picture& picture, const Place& place) {
  return "{\"caption\":\"" + escape_json(picture.caption) + "\",\"url\":\"/picture.svg\"," +
         "\"content_type\":\"image/svg+xml\",\"data\":\"" + encode_base64(picture.svg) + "\",\"task\":\"" +
         escape_json(place.task) + "\",\"host\":\"" + escape_json(place.host) + "\"}\n";
}

}  // namespace

int main() {
  const Place place = place_from_environment();
  return serve(port_from_environment(), [&place](const Exchange& exchange) -> Response {
    const auto path = exchange.request.path();
    if (exchange.request.method != "GET" && exchange.request.method != "HEAD") {
      return {.status = 405, .body = "Only GET and HEAD are understood here.\n", .headers = {{"Allow", "GET, HEAD"}}};
    }
    const Picture picture = draw_picture(today());
    if (path == "/image") {
      return {.content_type = "application/json", .body = image_json(picture, place), .headers = {}};
    }
    if (path == "/picture.svg") return {.content_type = "image/svg+xml", .body = picture.svg, .headers = {}};
    if (path == "/healthz") return {.body = "ok\n", .headers = {}};
    return {.status = 404, .body = "There is /image and /picture.svg.\n", .headers = {}};
  });
}
