// What `meshctl doctor` says of this host and of the cluster that it knows: what is well, what is not, and what to try.
// Pure.
#pragma once

#include <optional>
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
// programmed; `services`: empty on a worker; `direct`: of GET /mesh/direct-answers, absent if it was not asked.
[[nodiscard]] Result<Diagnosis> diagnose(const Json& status, const Result<Json>& dataplane,
                                         const std::vector<model::Service>& services,
                                         const std::optional<Result<Json>>& direct = std::nullopt);
// Whether GET /mesh/direct-answers has something to say: on a manager of several nodes.
[[nodiscard]] bool may_answer_directly(const Json& status);

}  // namespace mesh::meshctl
