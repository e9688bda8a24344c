// GET /metrics: this host, and on a manager the cluster, for Prometheus. On the API's socket, and on TCP if meshd is
// told so (metrics_server.h).
#pragma once

#include <functional>

#include "control/api/context.h"
#include "control/api/node_metrics.h"

namespace mesh::api {

// Samples of one family; what is beyond is counted in meshd_metrics_left_out. A thousand ports with a task each are
// within it.
inline constexpr std::size_t kMetricSamplesMax = 2000;

// Calls `done` once, later.
void collect_metrics(Context& context, std::function<void(Response)> done);
// The text for `node` and what `context` knows of the cluster.
[[nodiscard]] std::string metrics_text(Context& context, const NodeMetrics& node,
                                       std::size_t samples_max = kMetricSamplesMax);

}  // namespace mesh::api
