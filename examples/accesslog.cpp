// Access log: POST /access-log prints and counts a line, GET /access-log tells the count.

#include <atomic>
#include <cstdio>

#include "examples/http/server.h"
#include "examples/place.h"

namespace {

using namespace mesh::examples;

std::string count_json(std::uint64_t count, const Place& place) {
  return "{\"count\":" + std::to_string(count) + ",\"task\":\"" + escape_json(place.task) + "\",\"host\":\"" +
         escape_json(place.host) + "\"}\n";
}

Response take(const Exchange& exchange, std::atomic<std::uint64_t>& count, const Place& place) {
  const auto source = json_string_member(exchange.request.body, "source");
  const auto client = json_string_member(exchange.request.body, "client");
  if (!source || !client) {
    return {
        .status = 400, .body = "Expected a JSON object with the strings \"source\" and \"client\".\n", .headers = {}};
  }
  const auto now = ++count;
  // Escaped: a line is a line, whatever was sent.
  std::printf("access %llu: source %s, client %s, reported by %s\n", static_cast<unsigned long long>(now),
              escape_json(*source).c_str(), escape_json(*client).c_str(), exchange.client.address.c_str());
  std::fflush(stdout);
  return {.status = 201, .content_type = "application/json", .body = count_json(now, place), .headers = {}};
}

}  // namespace

int main() {
  const Place place = place_from_environment();
  std::atomic<std::uint64_t> count = 0;
  return serve(port_from_environment(), [&place, &count](const Exchange& exchange) -> Response {
    const auto path = exchange.request.path();
    const auto& method = exchange.request.method;
    if (path == "/healthz") return {.body = "ok\n", .headers = {}};
    if (path != "/access-log") return {.status = 404, .body = "There is /access-log.\n", .headers = {}};
    if (method == "POST") return take(exchange, count, place);
    if (method == "GET" || method == "HEAD") {
      return {.content_type = "application/json", .body = count_json(count, place), .headers = {}};
    }
    return {.status = 405, .body = "Only GET and POST are understood here.\n", .headers = {{"Allow", "GET, POST"}}};
  });
}
