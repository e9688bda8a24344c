#include "control/agent/node_kernel.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "control/agent/host_walk.h"
#include "control/agent/inspection_json.h"

namespace mesh::agent {
namespace {

// A failing part is named at most this often per version; more would only repeat themselves.
constexpr std::size_t kProblemsMax = 32;

void add_problem(std::vector<std::string>& problems, std::string text) {
  if (problems.size() < kProblemsMax) problems.push_back(std::move(text));
}

dataplane::Uplink to_uplink(const vxlan::UplinkInfo& info, dataplane::UplinkMode mode) {
  return {info.name, info.ifindex, info.mac, mode, info.addresses, info.mtu};
}

}  // namespace

NodeKernel::NodeKernel(NodeKernelOptions options) : options_(std::move(options)), dns_(options_.dns) {}

Result<std::unique_ptr<NodeKernel>> NodeKernel::open(NodeKernelOptions options) {
  std::unique_ptr<NodeKernel> kernel(new NodeKernel(std::move(options)));
  TRY(kernel->refresh_uplink());
  return kernel;
}

Status NodeKernel::open_parts() {
  if (!overlay_) overlay_ = TRY(vxlan::Overlay::open({options_.run_dir}));
  if (!dataplane_) dataplane_ = TRY(dataplane::Dataplane::open({options_.pin_dir}));
  return {};
}

Status NodeKernel::refresh_uplink() {
  uplink_ = TRY(vxlan::find_uplink(options_.uplink));
  const dataplane::UplinkMode mode =
      TRY(dataplane::choose_mode(options_.mode, uplink_.name, uplink_.driver, uplink_.native_xdp));
  desired_uplink_ = to_uplink(uplink_, mode);
  return {};
}

vxlan::UplinkInfo NodeKernel::uplink() const {
  const std::lock_guard lock(mutex_);
  return uplink_;
}

void NodeKernel::add_routes(HostFacts& facts, const model::EndpointTables& tables, std::uint16_t self,
                            std::vector<std::string>& problems) const {
  std::vector<IpAddress> others;
  for (const model::NodeRow& row : tables.nodes) {
    if (row.number != self) others.push_back(row.address);
  }
  if (others.empty()) return;
  const auto hops = vxlan::resolve(others);
  if (!hops) {
    add_problem(problems, "routes to other hosts: " + hops.error().message);
    return;
  }
  for (const vxlan::NextHop& hop : *hops) {
    dataplane::Node node;
    node.address = hop.destination;
    // An unresolved neighbour is left out until the event that resolves it: a zero MAC would send into nothing.
    node.ifindex = hop.resolved ? hop.ifindex : 0;
    node.source = hop.source;
    node.next_hop = hop.next_hop;
    node.egress_mac = hop.egress;
    node.mtu = hop.mtu;
    facts.routes.push_back(node);
  }
}

void NodeKernel::apply_names(const View& view, KernelOutput& output) {
  if (view.gateway.gateway_v4.is_unset()) return;
  dns::Desired names = make_names(view);
  names.version = names_.version;
  // Versions grow over restarts of meshd too: mesh-dns outlives it.
  if (names != names_ || names.version == 0) {
    const auto now = static_cast<std::uint64_t>(wall_now().time_since_epoch().count());
    names.version = std::max(names_.version + 1, now);
  }
  const auto fed = dns_.feed({view.gateway.gateway_v4, kDnsPort}, names);
  if (!fed) {
    add_problem(output.problems, "names: " + fed.error().message);
    return;
  }
  output.names_pid = fed->pid;
  names_ = std::move(names);
}

// A host may get a route long after it joined: a VPN, another interface. It is named, the cluster goes on.
void NodeKernel::find_overlaps(const KernelInput& input, KernelOutput& output) {
  const bool read = input.network_changed || input.pass == vxlan::Overlay::Pass::kFull;
  if (read) {
    auto routes = vxlan::host_routes();
    if (!routes) {
      add_problem(output.problems, "routes of this host: " + routes.error().message);
    } else {
      routes_ = std::move(*routes);
    }
  }
  if (read || overlaps_of_ != input.tables->version) {
    overlaps_of_ = input.tables->version;
    overlaps_.clear();
    const auto look = [&](const model::NetworkRow& network, const Cidr& subnet) {
      const std::string problem = vxlan::overlap_problem(subnet, routes_);
      if (!problem.empty()) add_problem(overlaps_, fmt::format("network {}: {}", network.name, problem));
    };
    for (const model::NetworkRow& network : input.tables->networks) {
      look(network, network.subnet_v4);
      if (network.subnet_v6) look(network, *network.subnet_v6);
    }
  }
  output.overlaps = overlaps_;
  for (const vxlan::HostRoute& route : routes_) output.routes.push_back(route.prefix);
}

KernelOutput NodeKernel::apply(const KernelInput& input) {
  const std::lock_guard lock(mutex_);
  KernelOutput output;
  output.version = input.tables->version;
  if (Status refreshed = refresh_uplink(); !refreshed)
    add_problem(output.problems, "uplink: " + refreshed.error().message);
  output.addresses = uplink_.addresses;
  find_overlaps(input, output);
  if (Status opened = open_parts(); !opened) {
    add_problem(output.problems, "kernel: " + opened.error().message);
    problems_ = output.problems;
    return output;
  }

  HostFacts facts;
  facts.uplink = desired_uplink_;
  facts.cgroup_root = options_.cgroup_hook_directory;
  facts.netns_directory = options_.run_dir + "/netns";
  facts.resolvers = dns::parse_resolv_conf(read_file(resolv_conf_path_).value_or(""));
  add_routes(facts, *input.tables, input.gateway.node_number, output.problems);
  const View view{*input.tables, input.gateway, facts, input.tasks};

  vxlan::Desired wanted = make_overlay(view);
  // What a full pass does where nothing new is wanted mends drift. (The first pass of this process finds what an
  // earlier one left, or nothing.)
  const bool mends_drift = wired_ == wanted && input.pass == vxlan::Overlay::Pass::kFull;
  wired_ = std::move(wanted);
  const auto wired = overlay_->reconcile(*wired_, input.pass);
  if (!wired) {
    add_problem(output.problems, "overlay: " + wired.error().message);
    problems_ = output.problems;
    return output;
  }
  for (const vxlan::Problem& problem : wired->problems) {
    add_problem(output.problems, fmt::format("overlay {}: {}", problem.subject, problem.message));
  }
  for (const auto& [task_id, link] : wired->links) facts.attachments[task_id] = {link.ifindex, link.netns_cookie};
  facts.mesh_ifindex = wired->mesh_ifindex;
  facts.mesh_peer_ifindex = wired->mesh_peer_ifindex;

  const dataplane::Desired desired = make_dataplane(view);
  using Pass = dataplane::Dataplane::Pass;
  const auto programmed =
      dataplane_->reconcile(desired, input.pass == vxlan::Overlay::Pass::kFull ? Pass::kFull : Pass::kDirty);
  if (!programmed) {
    add_problem(output.problems, "data plane: " + programmed.error().message);
    problems_ = output.problems;
    return output;
  }
  if (!programmed->recreated.empty()) spdlog::warn("data plane made anew reason=\"{}\"", programmed->recreated);
  if (!programmed->taken_over.empty()) spdlog::info("data plane taken over what=\"{}\"", programmed->taken_over);
  for (const dataplane::Problem& problem : programmed->problems) {
    add_problem(output.problems, fmt::format("{}: {}", problem.subject, problem.message));
  }
  output.drift = programmed->drift + (mends_drift ? wired->actions : 0);
  for (const dataplane::Endpoint& endpoint : desired.endpoints) {
    if (endpoint.attachment) output.linked_tasks.insert(endpoint.task_id);
  }
  apply_names(view, output);
  output.complete = true;
  applied_ = output.version;
  problems_ = output.problems;
  return output;
}

std::vector<dataplane::ForeignHeld> NodeKernel::scan(const model::EndpointTables& tables, std::uint16_t self) {
  const std::lock_guard lock(mutex_);
  if (!dataplane_) return {};
  // Also when nothing is asked: the walk removes records of flows that are over.
  auto held = dataplane_->scan_foreign();
  if (!held) {
    spdlog::warn("flow records cannot be walked reason=\"{}\"", held.error().message);
    return {};
  }
  std::set<std::pair<std::string_view, std::uint16_t>> may_hold;
  for (const model::ServiceRow& service : tables.services) {
    for (const model::PortRow& port : service.ports) {
      const bool remembers = std::ranges::any_of(port.moved, [&](const model::RingSlot& slot) {
        return std::ranges::find(slot.foreign, self) != slot.foreign.end();
      });
      if (remembers) may_hold.emplace(port.protocol, port.published);
    }
  }
  std::erase_if(*held, [&](const dataplane::ForeignHeld& one) {
    return !may_hold.contains({dataplane::protocol_name(one.protocol), one.port});
  });
  return std::move(*held);
}

Status NodeKernel::clear() {
  const std::lock_guard lock(mutex_);
  Status first = dns_.stop();
  const auto note = [&](Status status) {
    if (!status && first) first = std::move(status);
  };
  note(remove_tree(options_.dns.state_path));
  dataplane_.reset();
  overlay_.reset();
  wired_.reset();
  overlaps_.clear();
  overlaps_of_ = {};
  note(dataplane::Dataplane::cleanup({options_.pin_dir}));
  note(vxlan::Overlay::cleanup({options_.run_dir}));
  names_ = {};
  applied_ = {};
  problems_.clear();
  return first;
}

Result<Json> NodeKernel::inspect_status() const {
  dataplane::Inspection found = TRY(dataplane_->inspect());
  if (overlay_ && wired_) {
    for (const std::string& text : TRY(overlay_->differences(*wired_))) found.differences.push_back("overlay: " + text);
  }
  JsonObject status = inspection_status(found);
  std::vector<std::string> problems = problems_;
  problems.insert(problems.end(), overlaps_.begin(), overlaps_.end());
  status["Tables"] = encode(applied_);
  status["Uplink"] = uplink_json(desired_uplink_, mode_reason(options_.mode, uplink_.driver, uplink_.native_xdp));
  status["Problems"] = encode(problems);
  if (const auto names = dns_.state()) {
    status["Names"] = encode(*names);
  } else {
    status["Names"] = nullptr;
  }
  return Json(std::move(status));
}

Result<Json> NodeKernel::inspect(api::DataplanePart part) const {
  const std::lock_guard lock(mutex_);
  if (!dataplane_) {
    return fail(ErrorKind::kUnavailable, problems_.empty() ? "this host is in no cluster: its kernel holds nothing"
                                                           : "the data plane is not open: " + problems_.front());
  }
  switch (part) {
    case api::DataplanePart::kStatus:
      return inspect_status();
    case api::DataplanePart::kServices:
      return Json(inspection_services(TRY(dataplane_->inspect()), TRY(dataplane_->counters())));
    case api::DataplanePart::kBackends:
      return Json(inspection_backends(TRY(dataplane_->inspect()), TRY(dataplane_->counters())));
    case api::DataplanePart::kFlows: {
      std::uint64_t cursor = 0;
      const auto flows = TRY(dataplane_->flows(cursor, kInspectedFlowsMax));
      return Json(inspection_flows(flows, cursor != 0));
    }
    case api::DataplanePart::kDrops:
      break;
  }
  return Json(inspection_drops(TRY(dataplane_->counters())));
}

model::TraceAnswer NodeKernel::trace(const model::EndpointTables& tables, std::uint16_t self,
                                     const model::TraceQuestion& question) {
  const std::lock_guard lock(mutex_);
  if (dataplane_) return walk_host(*dataplane_, desired_uplink_, tables, self, question);
  model::TraceAnswer answer;
  answer.id = question.id;
  answer.error = "the data plane is not open";
  return answer;
}

Result<api::NodeMetrics> NodeKernel::metrics() const {
  const std::lock_guard lock(mutex_);
  if (!dataplane_) return api::NodeMetrics();
  api::NodeMetrics metrics = node_metrics(TRY(dataplane_->counters()), dataplane_->memory());
  metrics.tables = applied_;
  return metrics;
}

}  // namespace mesh::agent
