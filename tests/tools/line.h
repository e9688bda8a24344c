// The line protocol between mesh-load and mesh-echo, over TCP (one line each way) and UDP (one datagram each way).
//
//   request   "<connection id> <sequence number>\n"
//   answer    "<instance> <address the server sees> <port it sees> <id> <sequence> <more|last>\n"
//
// The id is unlike any other of the run, so that an answer on the wrong connection is noticed; the instance names one
// run of one server, so that a connection that changes its backend is noticed; "last" tells that the server closes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mesh::tools {

inline constexpr size_t kLineBytesMax = 256;

struct Request {
  uint64_t id = 0;
  uint64_t sequence = 0;
  bool operator==(const Request&) const = default;
};

struct Answer {
  std::string instance;
  std::string address;  // numeric; IPv4 plain, also when it came as v4-mapped
  uint16_t port = 0;
  Request request;
  bool last = false;
};

std::string encode(const Request& request);
std::string encode(const Answer& answer);
// One line without its newline.
std::optional<Request> parse_request(std::string_view line);
std::optional<Answer> parse_answer(std::string_view line);

}  // namespace mesh::tools
