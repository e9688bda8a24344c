#pragma once
// One HTTP request to another service, by name, with a bound on the whole of it: name, connection, answer.

#include <chrono>
#include <string>
#include <string_view>

#include "examples/http/message.h"

namespace mesh::examples {

struct Fetched {
  bool ok = false;  // a whole answer with a 2xx status came
  Response response;
  std::string error;  // for the reader of the page, when not ok: what failed and why
};

// `url` as parse_url() takes it. Tries every address of the name in the resolver's order. When `within` has passed, it
// gives up, whatever it waits for.
Fetched fetch(std::string_view method, std::string_view url, std::string_view body, std::chrono::milliseconds within);

}  // namespace mesh::examples
