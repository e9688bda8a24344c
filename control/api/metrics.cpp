#include "control/api/metrics.h"

#include <array>
#include <filesystem>
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/file.h"
#include "base/text.h"
#include "control/api/exposition.h"
#include "control/api/router.h"

namespace mesh::api {
namespace {

using enum MetricType;

void add_ports(Exposition& out, const std::vector<PortMetrics>& ports) {
  const auto family = [&](std::string_view name, std::string_view help, std::uint64_t TrafficMetrics::* value) {
    out.family(name, kCounter, help);
    for (const PortMetrics& port : ports) {
      out.sample({{"service", port.service}, {"protocol", port.protocol}, {"port", std::to_string(port.port)}},
                 port.entry.*value);
    }
  };
  family("meshd_service_entry_packets_total", "Packets of clients that entered the mesh on this host.",
         &TrafficMetrics::packets);
  family("meshd_service_entry_bytes_total", "Bytes of clients' IP packets that entered the mesh on this host.",
         &TrafficMetrics::bytes);
}

void add_backends(Exposition& out, const std::vector<BackendMetrics>& backends) {
  const auto family = [&](std::string_view name, MetricType type, std::string_view help, auto value) {
    out.family(name, type, help);
    for (const BackendMetrics& one : backends) {
      out.sample({{"service", one.service},
                  {"task", one.task},
                  {"protocol", one.protocol},
                  {"port", std::to_string(one.port)}},
                 std::uint64_t{value(one)});
    }
  };
  using B = BackendMetrics;
  family("meshd_backend_in_packets_total", kCounter, "Packets of clients that were delivered to a task of this host.",
         [](const B& b) { return b.in.packets; });
  family("meshd_backend_in_bytes_total", kCounter, "Bytes of clients' IP packets that were delivered to a task.",
         [](const B& b) { return b.in.bytes; });
  family("meshd_backend_out_packets_total", kCounter, "Packets that a task of this host answered.",
         [](const B& b) { return b.out.packets; });
  family("meshd_backend_out_bytes_total", kCounter, "Bytes of IP packets that a task of this host answered.",
         [](const B& b) { return b.out.bytes; });
  family("meshd_backend_connections_total", kCounter, "Flows that began: TCP connections, UDP client ports.",
         [](const B& b) { return b.connections; });
  family("meshd_backend_client_resets_total", kCounter, "TCP resets of clients.",
         [](const B& b) { return b.resets_in; });
  family("meshd_backend_resets_total", kCounter, "TCP resets of a task.", [](const B& b) { return b.resets_out; });
  family("meshd_backend_flows", kGauge, "Flow records held now.", [](const B& b) { return b.flows; });
}

void add_counts(Exposition& out, std::string_view name, MetricType type, std::string_view help, std::string_view label,
                const std::vector<NamedCount>& counts) {
  out.family(name, type, help);
  for (const NamedCount& one : counts) out.sample({{label, one.name}}, one.count);
}

void add_kernel(Exposition& out, const NodeMetrics& node) {
  if (!node.in_kernel) return;
  add_ports(out, node.ports);
  add_backends(out, node.backends);
  add_counts(out, "meshd_drops_total", kCounter, "Packets dropped, by reason (meshctl dataplane drops explains them).",
             "reason", node.drops);
  add_counts(out, "meshd_events_total", kCounter, "What else happened to packets and flows.", "event", node.events);
  out.single("meshd_flow_records", kGauge, "Records in the flow table.", node.flow_records);
  out.single("meshd_flow_records_max", kGauge, "Records that the flow table has room for.", node.flow_records_max);
  add_counts(out, "meshd_map_memory_bytes", kGauge, "Memory of a BPF map as the kernel accounts it.", "map", node.maps);
  out.single("meshd_tables_epoch", kGauge, "Epoch of the tables in this kernel.", node.tables.epoch);
  out.single("meshd_tables_version", kGauge, "Version of the tables in this kernel, within the epoch.",
             node.tables.version);
  out.single("meshd_drift_total", kCounter, "Parts of the kernel that another hand had changed, mended.", node.drift);
  out.single("meshd_problems", kGauge, "What could not be programmed (meshctl doctor names it).", node.problems);
}

template <class E>
void add_states(Exposition& out, std::string_view name, std::string_view help,
                const std::map<E, std::uint64_t>& counts) {
  out.family(name, kGauge, help);
  for (const auto& state : json_names(static_cast<const E*>(nullptr))) {
    const auto found = counts.find(state.value);
    out.sample({{"state", state.name}}, found == counts.end() ? std::uint64_t{0} : found->second);
  }
}

void add_cluster(Exposition& out, Context& context) {
  const SwarmInfo info = context.swarm.info();
  out.single("meshd_session_up", kGauge, "1: this host has a session with a manager, or is one.",
             std::uint64_t{info.session_up});
  const manager::Manager* manager = context.swarm.manager();
  out.single("meshd_is_manager", kGauge, "1: this node is a manager.", std::uint64_t{manager != nullptr});
  if (manager == nullptr) return;
  out.single("meshd_manager_sessions", kGauge, "Nodes with a session, this one included.",
             std::uint64_t{context.swarm.acknowledged().size()});
  out.single("meshd_manager_tables_version", kGauge, "Version of the newest tables, within the epoch.",
             manager->tables().version.version);
  std::uint64_t behind = 0;
  for (const auto& [id, version] : context.swarm.acknowledged()) behind += version < manager->tables().version ? 1 : 0;
  out.single("meshd_manager_nodes_behind", kGauge, "Nodes with a session whose kernel holds older tables.", behind);
  out.single("meshd_manager_services", kGauge, "Services.", std::uint64_t{manager->view().services().size()});
  std::map<model::TaskState, std::uint64_t> tasks;
  for (const auto& [id, task] : manager->view().tasks()) ++tasks[task->status.state];
  add_states(out, "meshd_manager_tasks", "Tasks by observed state.", tasks);
  std::map<model::NodeState, std::uint64_t> nodes;
  for (const auto& [id, node] : manager->view().nodes()) ++nodes[node->status.state];
  add_states(out, "meshd_manager_nodes", "Nodes by state.", nodes);
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void add_process(Exposition& out) {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    out.single("meshd_process_cpu_seconds_total", kCounter, "CPU time of meshd, user and system.",
               seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  }
  // "size resident …" in pages (proc(5)).
  const std::string pages = read_file("/proc/self/statm").value_or("");
  const std::vector<std::string_view> parts = split(pages, ' ');
  const auto resident = parts.size() > 1 ? parse_number<std::uint64_t>(parts[1]) : std::nullopt;
  if (resident) {
    out.single("meshd_process_resident_memory_bytes", kGauge, "Resident memory of meshd.",
               *resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  }
  std::error_code error;
  std::uint64_t open = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end; !error && entry != end;
       entry.increment(error)) {
    ++open;
  }
  if (!error) out.single("meshd_process_open_fds", kGauge, "Open file descriptors of meshd.", open);
}

void metrics(Context& context, const Request&, const ResponderPtr& responder) {
  collect_metrics(context, [responder](Response response) { responder->send(std::move(response)); });
}

constexpr std::array kRoutes{Route{"GET", "/metrics", nullptr, &metrics}};

}  // namespace

std::string metrics_text(Context& context, const NodeMetrics& node, std::size_t samples_max) {
  Exposition out(samples_max);
  const std::string hostname = context.description ? context.description().hostname : "";
  const std::string id = context.swarm.info().node_id;
  out.family("meshd_info", kGauge, "1, with what this node is.");
  out.sample({{"version", context.engine.version},
              {"node", hostname},
              {"node_id", id},
              {"number", std::to_string(node.number)}},
             std::uint64_t{1});
  add_kernel(out, node);
  add_cluster(out, context);
  add_process(out);
  out.single("meshd_metrics_left_out", kGauge, "Samples of this answer that were over the limit of their family.",
             std::uint64_t{out.left_out()});
  return out.take();
}

void collect_metrics(Context& context, std::function<void(Response)> done) {
  context.node.metrics([&context, done = std::move(done)](const Result<NodeMetrics>& node) {
    if (!node) return done(error_response(node.error()));
    done({200, {{"Content-Type", std::string(kExpositionType)}}, metrics_text(context, *node)});
  });
}

std::span<const Route> metric_routes() { return kRoutes; }

}  // namespace mesh::api
