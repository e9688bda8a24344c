#pragma once
// The gallery's answers as text, from plain values.

#include <string>

#include "examples/http/client.h"
#include "examples/http/server.h"
#include "examples/place.h"

namespace mesh::examples {

// `image`: the answer of iotd to GET /image; `report`: that of accesslog to the report. Either may have failed: the
// page then says so in its place.
std::string gallery_page(const Exchange& exchange, const Place& place, const Fetched& image, const Fetched& report);

// Who answered and whom: for programs that look at the gallery.
std::string whoami_json(const Exchange& exchange, const Place& place);

// The report to accesslog.
std::string access_json(const Exchange& exchange, const Place& place);

}  // namespace mesh::examples
