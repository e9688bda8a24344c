#include "control/manager/backend_limit.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/manager/rings.h"

namespace mesh::manager {

std::vector<std::string> backend_limit_warnings(const store::View& view, const model::ServiceSpec& spec) {
  std::vector<std::string> warnings;
  const std::uint64_t wanted = model::is_global(spec) ? view.nodes().size() : model::replicas_of(spec);
  if (!spec.endpoint_spec || wanted <= dataplane::kBackendsMax) return warnings;
  for (const model::PortConfig& port : spec.endpoint_spec->ports) {
    const std::string name = model::protocol_name(model::protocol_of(port));
    warnings.push_back(
        fmt::format("published port {} leads to at most {} tasks, and service {} asks for {}: the other {} run, but "
                    "get none of its "
                    "connections; use fewer replicas, or several services with a port each",
                    port.published_port == 0 ? name : fmt::format("{}/{}", port.published_port, name),
                    dataplane::kBackendsMax, spec.name, wanted, wanted - dataplane::kBackendsMax));
  }
  return warnings;
}

std::size_t left_out(const store::View& view, const model::PortState& port) {
  const auto& backends = port.row.backends;
  const bool full = backends.size() >= dataplane::kBackendsMax &&
                    std::ranges::find(backends, std::string{}, &model::BackendRow::task_id) == backends.end();
  if (!full) return 0;
  std::size_t count = 0;
  for (const model::Task* task : view.tasks_of_service(port.service_id)) {
    const bool listed = std::ranges::find(backends, task->id, &model::BackendRow::task_id) != backends.end();
    if (may_serve(view, *task) && !listed) ++count;
  }
  return count;
}

std::vector<std::string> backend_limit_problems(const store::View& view) {
  std::vector<std::string> problems;
  for (const auto& [id, port] : view.ports()) {
    const std::size_t count = left_out(view, *port);
    const model::Service* service = view.service(port->service_id);
    if (count == 0 || service == nullptr) continue;
    problems.push_back(
        fmt::format("{}/{}: {} running tasks of service {} get no connections: a published port leads to at most {}; "
                    "use fewer replicas, or several services with a port each",
                    port->row.published, port->row.protocol, count, service->spec.name, dataplane::kBackendsMax));
  }
  return problems;
}

}  // namespace mesh::manager
