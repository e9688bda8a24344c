// HTTP/1.1 over TLS, as the cluster port speaks it: one request and its answer on a connection.
#pragma once

#include <cstdint>
#include <string>

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/json.h"
#include "control/cluster/tls_stream.h"

namespace mesh::cluster {

namespace http = boost::beast::http;
using HttpRequest = http::request<http::string_body>;
using HttpResponse = http::response<http::string_body>;

// Larger ones of the peer are errors.
inline constexpr std::uint32_t kHttpHeaderBytesMax = 8U << 10U;
inline constexpr std::size_t kHttpBodyBytesMax = 64U << 10U;

// The time limit is stream.tcp()'s.
[[nodiscard]] asio::awaitable<ErrorCode> read_request(TlsStream& stream, HttpRequest& request);
[[nodiscard]] asio::awaitable<ErrorCode> write_request(TlsStream& stream, const HttpRequest& request);
[[nodiscard]] asio::awaitable<ErrorCode> read_response(TlsStream& stream, HttpResponse& response);
[[nodiscard]] asio::awaitable<ErrorCode> write_response(TlsStream& stream, const HttpResponse& response);

// The last answer of its connection.
[[nodiscard]] HttpResponse json_response(const HttpRequest& request, http::status status, const Json& body);
// {"message": message}
[[nodiscard]] HttpResponse error_response(const HttpRequest& request, http::status status, const std::string& message);

}  // namespace mesh::cluster
