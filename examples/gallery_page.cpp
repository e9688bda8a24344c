#include "examples/gallery_page.h"

namespace mesh::examples {
namespace {

constexpr std::string_view kHead =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Image gallery</title>"
    "<meta name=\"viewport\" content=\"width=device-width\"><style>"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "img{width:100%;border-radius:.5rem}figure{margin:0}figcaption{color:#555}"
    ".away{padding:2rem;border:2px dashed #b33;border-radius:.5rem;color:#b33}"
    "td{padding:.1rem 1rem .1rem 0}td:first-child{color:#777}</style></head><body><h1>Image gallery</h1>";

std::string figure(const Fetched& image) {
  if (!image.ok) {
    return "<p class=\"away\">The picture of the day is away. " + escape_html(image.error) + "</p>";
  }
  const auto caption = json_string_member(image.response.body, "caption");
  const auto type = json_string_member(image.response.body, "content_type");
  const auto data = json_string_member(image.response.body, "data");
  if (!caption || !type || !data) {
    return "<p class=\"away\">The picture of the day is away. The answer of the picture service is not as "
           "expected.</p>";
  }
  const auto task = json_string_member(image.response.body, "task").value_or("");
  return "<figure><img alt=\"" + escape_html(*caption) + "\" src=\"data:" + escape_html(*type) + ";base64," +
         escape_html(*data) + "\"><figcaption>" + escape_html(*caption) + " &middot; from task <code>" +
         escape_html(task) + "</code></figcaption></figure>";
}

std::string row(std::string_view name, std::string_view id, std::string_view value) {
  return "<tr><td>" + escape_html(name) + "</td><td id=\"" + std::string(id) + "\">" + escape_html(value) +
         "</td></tr>";
}

std::string host_or_unknown(const Place& place) { return place.host.empty() ? "(not told)" : place.host; }

// An address with its port, IPv6 in brackets.
std::string with_port(const SocketName& name) {
  const bool v6 = name.address.find(':') != std::string::npos;
  return (v6 ? "[" + name.address + "]" : name.address) + ":" + std::to_string(name.port);
}

}  // namespace

std::string gallery_page(const Exchange& exchange, const Place& place, const Fetched& image, const Fetched& report) {
  std::string page(kHead);
  page += figure(image);
  page += "<table>";
  page += row("Answered by task", "task", place.task);
  page += row("on host", "host", host_or_unknown(place));
  page += row("Your address", "client", with_port(exchange.client));
  page += row("Access log", "log", report.ok ? "reported" : "away. " + report.error);
  page += "</table></body></html>\n";
  return page;
}

std::string whoami_json(const Exchange& exchange, const Place& place) {
  return "{\"task\":\"" + escape_json(place.task) + "\",\"host\":\"" + escape_json(place.host) + "\",\"client\":\"" +
         exchange.client.address + "\",\"client_port\":" + std::to_string(exchange.client.port) + ",\"server\":\"" +
         exchange.server.address + "\",\"server_port\":" + std::to_string(exchange.server.port) + "}\n";
}

std::string access_json(const Exchange& exchange, const Place& place) {
  return "{\"source\":\"image-gallery/" + escape_json(place.task) + "\",\"client\":\"" + exchange.client.address +
         "\"}";
}

}  // namespace mesh::examples
