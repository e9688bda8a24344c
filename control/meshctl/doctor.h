// What `meshctl doctor` says of this host and of the cluster that it knows: what is well, what is not, and what to try.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "control/model/service.h"

namespace mesh::meshctl {

struct Diagnosis {
  std::string text;  // lines "[ok]", "[problem]", "[advice]"
  std::size_t problems = 0;
};

// `status`: the answer of GET /mesh/status; `dataplane`: of GET /mesh/dataplane/status, which fails where nothing is
// programmed; `services`: empty on a worker.
[[nodiscard]] Result<Diagnosis> diagnose(const Json& status, const Result<Json>& dataplane,
                                         const std::vector<model::Service>& services);

}  // namespace mesh::meshctl
