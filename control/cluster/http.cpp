#include "control/cluster/http.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

namespace mesh::cluster {
namespace {

template <bool is_request>
asio::awaitable<ErrorCode> read_message(TlsStream& stream, http::message<is_request, http::string_body>& message) {
  beast::flat_buffer buffer(kHttpHeaderBytesMax + kHttpBodyBytesMax);
  http::parser<is_request, http::string_body> parser;
  parser.header_limit(kHttpHeaderBytesMax);
  parser.body_limit(kHttpBodyBytesMax);
  auto operation = finished([&](Finished done) {
    http::async_read(stream, buffer, parser,
                     [done = std::move(done)](ErrorCode error, std::size_t) mutable { done(error); });
  });
  const ErrorCode error = co_await std::move(operation);
  if (!error) message = parser.release();
  co_return error;
}

template <bool is_request>
asio::awaitable<ErrorCode> write_message(TlsStream& stream,
                                         const http::message<is_request, http::string_body>& message) {
  return finished([&stream, &message](Finished done) {
    http::async_write(stream, message, [done = std::move(done)](ErrorCode error, std::size_t) mutable { done(error); });
  });
}

}  // namespace

asio::awaitable<ErrorCode> read_request(TlsStream& stream, HttpRequest& request) {
  return read_message(stream, request);
}
asio::awaitable<ErrorCode> write_request(TlsStream& stream, const HttpRequest& request) {
  return write_message(stream, request);
}
asio::awaitable<ErrorCode> read_response(TlsStream& stream, HttpResponse& response) {
  return read_message(stream, response);
}
asio::awaitable<ErrorCode> write_response(TlsStream& stream, const HttpResponse& response) {
  return write_message(stream, response);
}

HttpResponse json_response(const HttpRequest& request, http::status status, const Json& body) {
  HttpResponse response(status, request.version());
  response.set(http::field::content_type, "application/json");
  response.keep_alive(false);
  response.body() = to_text(body);
  response.prepare_payload();
  return response;
}

HttpResponse error_response(const HttpRequest& request, http::status status, const std::string& message) {
  return json_response(request, status, JsonObject{{"message", message}});
}

}  // namespace mesh::cluster
