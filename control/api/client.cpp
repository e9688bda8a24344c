#include "control/api/client.h"

#include <array>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/text.h"

namespace mesh::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using LocalSocket = asio::local::stream_protocol::socket;

std::unexpected<Error> connect_error(const std::string& path, const boost::system::error_code& code) {
  const std::string what = "cannot connect to meshd at " + path + ": " + code.message();
  if (code == boost::system::errc::permission_denied) {
    return fail(ErrorKind::kForbidden, what + "; run as root, or as a member of the socket's group");
  }
  return fail(ErrorKind::kUnavailable,
              what + "; is meshd running? (systemctl status meshd, or --host for another socket)");
}

std::unexpected<Error> broken_error(const std::string& path, const boost::system::error_code& code) {
  return fail(ErrorKind::kUnavailable, "meshd at " + path + " ended the connection without a whole answer: " +
                                           code.message() + "; it may have been restarted, try again");
}

// Cuts a stream of bytes into lines.
class Lines {
 public:
  explicit Lines(const OnLine& on_line) : on_line_(on_line) {}

  bool take(std::string_view bytes) {
    rest_.append(bytes);
    std::size_t begin = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      if (!give(std::string_view(rest_).substr(begin, end - begin))) return false;
      begin = end + 1;
    }
    rest_.erase(0, begin);
    return true;
  }
  void finish() { give(rest_); }

 private:
  bool give(std::string_view line) {
    line = trim(line);
    return line.empty() || on_line_(line);
  }

  const OnLine& on_line_;
  std::string rest_;
};

// One request and its answer on a connection of its own.
class Exchange {
 public:
  explicit Exchange(const std::string& path) : path_(path), socket_(loop_) {}

  Status send(std::string_view method, std::string_view target, std::string_view body, const Client::Headers& headers) {
    boost::system::error_code code;
    socket_.connect(asio::local::stream_protocol::endpoint(path_), code);
    if (code) return connect_error(path_, code);

    http::request<http::string_body> request;
    request.method_string(method);
    request.target(target);
    request.version(11);
    request.set(http::field::host, "meshd");
    request.set(http::field::user_agent, "meshctl");
    request.set(http::field::connection, "close");
    if (!body.empty()) request.set(http::field::content_type, "application/json");
    for (const auto& [name, value] : headers) request.set(name, value);
    request.body() = body;
    request.prepare_payload();
    http::write(socket_, request, code);
    if (code) return broken_error(path_, code);
    return {};
  }

  // With `on_line`, a 2xx body goes there instead of into the answer.
  Result<Answer> receive(const OnLine* on_line) {
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    boost::system::error_code code;
    http::read_header(socket_, buffer_, parser, code);
    if (code) return broken_error(path_, code);

    Answer answer;
    answer.status = parser.get().result_int();
    for (const auto& field : parser.get()) {
      std::string name(field.name_string());
      for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      answer.headers[name] = std::string(field.value());
    }
    if (on_line != nullptr && answer.status / 100 == 2) {
      Lines lines(*on_line);
      TRY(read_body(parser, [&lines](std::string_view bytes) { return lines.take(bytes); }));
      lines.finish();
    } else {
      TRY(read_body(parser, [&answer](std::string_view bytes) {
        answer.body.append(bytes);
        return answer.body.size() <= kAnswerBytesMax;
      }));
      if (answer.body.size() > kAnswerBytesMax) {
        return fail(ErrorKind::kInternal, "the answer of meshd at " + path_ + " is larger than 64 MiB");
      }
    }
    return answer;
  }

 private:
  template <class Take>
  Status read_body(http::response_parser<http::buffer_body>& parser, const Take& take) {
    std::array<char, 16 * 1024> bytes;
    while (!parser.is_done()) {
      parser.get().body().data = bytes.data();
      parser.get().body().size = bytes.size();
      parser.get().body().more = true;
      boost::system::error_code code;
      http::read_some(socket_, buffer_, parser, code);
      if (code && code != http::error::need_buffer) return broken_error(path_, code);
      if (!take(std::string_view(bytes.data(), bytes.size() - parser.get().body().size))) break;
    }
    return {};
  }

  const std::string& path_;
  asio::io_context loop_;
  LocalSocket socket_;
  beast::flat_buffer buffer_;
};

ErrorKind kind_of(unsigned status) {
  switch (status) {
    case 400:
      return ErrorKind::kInvalid;
    case 401:
      return ErrorKind::kUnauthorized;
    case 403:
      return ErrorKind::kForbidden;
    case 404:
      return ErrorKind::kNotFound;
    case 409:
      return ErrorKind::kConflict;
    case 501:
      return ErrorKind::kUnsupported;
    case 503:
      return ErrorKind::kUnavailable;
    default:
      return ErrorKind::kInternal;
  }
}

Result<Json> json_of(const Result<Answer>& answer) {
  if (!answer) return std::unexpected(answer.error());
  if (answer->status >= 300) return std::unexpected(error_of(*answer));
  if (trim(answer->body).empty()) return Json();
  return TRY_IN("answer of meshd", parse_json(answer->body, kAnswerBytesMax));
}

}  // namespace

Result<Client> Client::open(std::string_view host) {
  constexpr std::string_view kScheme = "unix://";
  if (!host.starts_with(kScheme) || host.size() <= kScheme.size() || host[kScheme.size()] != '/') {
    return fail(ErrorKind::kInvalid, "host \"" + std::string(host) +
                                         "\": expected unix:// and an absolute path, for example " +
                                         std::string(kDefaultHost));
  }
  return Client(std::string(host.substr(kScheme.size())));
}

Result<Answer> Client::request(std::string_view method, std::string_view target, std::string_view body,
                               const Headers& headers) const {
  Exchange exchange(socket_path_);
  TRY(exchange.send(method, target, body, headers));
  return exchange.receive(nullptr);
}

Result<Answer> Client::stream(std::string_view method, std::string_view target, std::string_view body,
                              const Headers& headers, const OnLine& on_line) const {
  Exchange exchange(socket_path_);
  TRY(exchange.send(method, target, body, headers));
  return exchange.receive(&on_line);
}

Result<Json> Client::get(std::string_view target) const { return json_of(request("GET", target)); }

Result<Json> Client::post(std::string_view target, const Json& body) const {
  return json_of(request("POST", target, to_text(body)));
}

Result<Json> Client::post(std::string_view target) const { return json_of(request("POST", target)); }

Result<Json> Client::del(std::string_view target) const { return json_of(request("DELETE", target)); }

Error error_of(const Answer& answer) {
  Error error{kind_of(answer.status), {}};
  if (const auto json = parse_json(answer.body); json && json->is_object()) {
    const Json* message = json->as_object().if_contains("message");
    if (message != nullptr && message->is_string()) error.message = std::string(message->as_string());
  }
  if (error.message.empty()) {
    error.message = "meshd answered with status " + std::to_string(answer.status);
    if (const auto text = trim(answer.body); !text.empty()) error.message += ": " + std::string(text.substr(0, 200));
  }
  return error;
}

std::string encode_query(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace mesh::api
