// Image gallery: GET / is a page with the picture of the day, which task and host answered, and the client's address.
// IMAGE_URL and ACCESS_LOG_URL say where the other two services are.

#include <future>

#include "examples/gallery_page.h"
#include "examples/http/client.h"
#include "examples/http/server.h"
#include "examples/place.h"

namespace {

using namespace mesh::examples;

// A reader waits no longer than this for a service that is away.
constexpr std::chrono::milliseconds kPatience{2000};

Response front_page(const Exchange& exchange, const Place& place) {
  static const std::string image_url = environment_or("IMAGE_URL", "http://iotd/image");
  static const std::string log_url = environment_or("ACCESS_LOG_URL", "http://accesslog/access-log");
  auto report = std::async(std::launch::async,
                           [body = access_json(exchange, place)] { return fetch("POST", log_url, body, kPatience); });
  const Fetched image = fetch("GET", image_url, "", kPatience);
  return {.content_type = "text/html; charset=utf-8",
          .body = gallery_page(exchange, place, image, report.get()),
          .headers = {{"Cache-Control", "no-store"}}};
}

}  // namespace

int main() {
  const Place place = place_from_environment();
  return serve(port_from_environment(), [&place](const Exchange& exchange) -> Response {
    const auto path = exchange.request.path();
    if (exchange.request.method != "GET" && exchange.request.method != "HEAD") {
      return {.status = 405, .body = "Only GET and HEAD are understood here.\n", .headers = {{"Allow", "GET, HEAD"}}};
    }
    if (path == "/") return front_page(exchange, place);
    if (path == "/whoami") {
      return {.content_type = "application/json", .body = whoami_json(exchange, place), .headers = {}};
    }
    // The gallery is healthy without the others: it says itself that they are away.
    if (path == "/healthz") return {.body = "ok\n", .headers = {}};
    return {.status = 404, .body = "There is / and /whoami.\n", .headers = {}};
  });
}
