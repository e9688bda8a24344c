#include "control/agent/node_kernel.h"

#include <algorithm>
#include <chrono>
#include <malloc.h>
#include <map>

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "control/agent/host_walk.h"
#include "control/agent/inspection_json.h"
#include "dataplane/catcher.h"

namespace mesh::agent {
namespace {

// A failing part is named at most this often per version; more would only repeat themselves.
constexpr std::size_t kProblemsMax = 32;
constexpr auto kCatchLook = std::chrono::milliseconds(100);  // how soon one who waits notices that nobody wants it

void add_problem(std::vector<std::string>& problems, std::string text) {
  if (problems.size() < kProblemsMax) problems.push_back(std::move(text));
}

std::map<std::string, dataplane::Attachment> attachments_of(const vxlan::Report& wired) {
  std::map<std::string, dataplane::Attachment> attachments;
  for (const auto& [task_id, link] : wired.links) attachments[task_id] = {link.ifindex, link.netns_cookie};
  return attachments;
}

}  // namespace

NodeKernel::NodeKernel(NodeKernelOptions options)
    : options_(std::move(options)), uplinks_(options_.uplinks), dns_(options_.dns) {}

Result<std::unique_ptr<NodeKernel>> NodeKernel::open(NodeKernelOptions options) {
  std::unique_ptr<NodeKernel> kernel(new NodeKernel(std::move(options)));
  TRY(kernel->uplinks_.refresh({}));
  return kernel;
}

Status NodeKernel::open_parts() {
  if (!overlay_) overlay_ = TRY(vxlan::Overlay::open({options_.run_dir}));
  if (!dataplane_) dataplane_ = TRY(dataplane::Dataplane::open({options_.pin_dir}));
  return {};
}

std::vector<api::UplinkState> NodeKernel::uplinks() const {
  const std::lock_guard lock(mutex_);
  return uplinks_.states();
}

// How the other hosts are reached.
std::set<std::uint32_t> NodeKernel::add_routes(std::vector<std::string>& problems) {
  std::set<std::uint32_t> interfaces;
  std::vector<IpAddress> others;
  for (const model::NodeRow& row : held_.tables().nodes) {
    if (row.number != gateway_.node_number) others.push_back(row.address);
  }
  if (others.empty()) return interfaces;
  const auto hops = vxlan::resolve(others);
  if (!hops) {
    add_problem(problems, "routes to other hosts: " + hops.error().message);
    return interfaces;
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
    facts_.routes.push_back(node);
    if (hop.ifindex != 0) interfaces.insert(hop.ifindex);
  }
  return interfaces;
}

void NodeKernel::apply_names(dns::Desired names, KernelOutput& output) {
  if (gateway_.gateway_v4.is_unset()) return;
  names.version = names_.version;
  // Versions grow over restarts of meshd too: mesh-dns outlives it.
  if (names != names_ || names.version == 0) {
    const auto now = static_cast<std::uint64_t>(wall_now().time_since_epoch().count());
    names.version = std::max(names_.version + 1, now);
  }
  const auto fed = dns_.feed({gateway_.gateway_v4, kDnsPort}, names);
  if (!fed) {
    add_problem(output.problems, "names: " + fed.error().message);
    return;
  }
  names_pid_ = output.names_pid = fed->pid;
  names_ = std::move(names);
}

// Those of `networks` that somebody here can ask for.
void NodeKernel::change_names(const std::set<std::string>& networks, KernelOutput& output) {
  const auto touched = [&](const dns::Network& network) { return networks.contains(network.id); };
  if (std::ranges::none_of(names_.networks, touched)) return;
  dns::Desired names = names_;
  for (dns::Network& network : names.networks) {
    const auto row = std::ranges::find(held_.tables().networks, network.id, &model::NetworkRow::id);
    if (touched(network)) network = make_names(*row, held_.services_on(row->id));
  }
  apply_names(std::move(names), output);
}

// A host may get a route long after it joined: a VPN, another interface. It is named, the cluster goes on.
void NodeKernel::find_overlaps(bool read, KernelOutput& output) {
  if (read) {
    auto routes = vxlan::host_routes();
    if (!routes) {
      add_problem(output.problems, "routes of this host: " + routes.error().message);
    } else {
      routes_ = std::move(*routes);
    }
  }
  overlaps_.clear();
  const auto look = [&](const model::NetworkRow& network, const Cidr& subnet) {
    const std::string problem = vxlan::overlap_problem(subnet, routes_);
    if (!problem.empty()) add_problem(overlaps_, fmt::format("network {}: {}", network.name, problem));
  };
  for (const model::NetworkRow& network : held_.tables().networks) {
    look(network, network.subnet_v4);
    if (network.subnet_v6) look(network, *network.subnet_v6);
  }
}

Status NodeKernel::take_tables(KernelInput& input) {
  if (input.tables) held_.replace(std::move(*input.tables));
  for (const model::TableChange& change : input.changes) TRY(held_.merge(change));
  return {};
}

KernelOutput NodeKernel::apply(KernelInput input) {
  const std::lock_guard lock(mutex_);
  KernelOutput output;
  const bool all_new = input.tables.has_value();
  const Status taken = take_tables(input);
  if (!input.only_changes) {
    gateway_ = input.gateway;
    tasks_ = std::move(input.tasks);
  }
  output.version = held_.tables().version;
  const bool as_changes = taken && input.only_changes && !all_new && complete_;
  complete_ = false;
  if (!taken) add_problem(output.problems, taken.error().message);
  if (taken && !(as_changes && apply_changes(output))) apply_all(input, output);
  if (output.complete) applied_ = output.version;
  problems_ = output.problems;
  complete_ = output.complete && output.problems.empty();
  // The text that they came in, and its values, were larger than they are.
  if (all_new) malloc_trim(0);
  output.uplinks = uplinks_.states();
  output.uplink_problems = uplinks_.problems();
  output.overlaps = overlaps_;
  for (const vxlan::HostRoute& route : routes_) output.routes.push_back(route.prefix);
  return output;
}

void NodeKernel::note(const dataplane::Report& report, KernelOutput& output) {
  if (!report.recreated.empty()) spdlog::warn("data plane made anew reason=\"{}\"", report.recreated);
  if (!report.taken_over.empty()) spdlog::info("data plane taken over what=\"{}\"", report.taken_over);
  for (const dataplane::Problem& problem : report.problems) {
    add_problem(output.problems, fmt::format("{}: {}", problem.subject, problem.message));
  }
  output.linked_tasks = linked_tasks_;
  output.complete = true;
}

// Whether that is all that the overlay lacked.
bool NodeKernel::reserve(const std::vector<std::uint16_t>& ports) {
  vxlan::Desired wanted = *wired_;
  wanted.reserved_ports = ports;
  const auto wired = overlay_->reconcile(wanted);
  if (!wired || !wired->problems.empty() || attachments_of(*wired) != facts_.attachments) return false;
  if (wired->mesh_ifindex != facts_.mesh_ifindex || wired->mesh_peer_ifindex != facts_.mesh_peer_ifindex) return false;
  wired_ = std::move(wanted);
  return true;
}

// Links, routes and firewall stay as they are: they follow from nothing that these changes can change.
bool NodeKernel::apply_changes(KernelOutput& output) {
  const auto effect = held_.take_effect(view());
  if (!effect || (effect->reserved_ports && !reserve(*effect->reserved_ports))) return false;
  const auto programmed = dataplane_->change(effect->change);
  if (!programmed) {
    add_problem(output.problems, "data plane: " + programmed.error().message);
    return true;
  }
  for (const std::string& task : effect->change.endpoints_gone) linked_tasks_.erase(task);
  for (const dataplane::Endpoint& endpoint : effect->change.endpoints) {
    if (endpoint.attachment) linked_tasks_.insert(endpoint.task_id);
  }
  note(*programmed, output);
  output.names_pid = names_pid_;
  change_names(effect->networks, output);
  return true;
}

void NodeKernel::apply_all(const KernelInput& input, KernelOutput& output) {
  const bool full = input.pass == vxlan::Overlay::Pass::kFull;
  facts_ = {};
  const std::set<std::uint32_t> routed = add_routes(output.problems);
  if (Status refreshed = uplinks_.refresh(routed); !refreshed) add_problem(output.problems, refreshed.error().message);
  find_overlaps(input.network_changed || full, output);
  if (Status opened = open_parts(); !opened) {
    add_problem(output.problems, "kernel: " + opened.error().message);
    return;
  }

  facts_.uplinks = uplinks_.all();
  facts_.cgroup_root = options_.cgroup_hook_directory;
  facts_.netns_directory = options_.run_dir + "/netns";
  facts_.resolvers = dns::parse_resolv_conf(read_file(resolv_conf_path_).value_or(""));

  vxlan::Desired wanted = make_overlay(view());
  // What a full pass does where nothing new is wanted mends drift. (The first pass of this process finds what an
  // earlier one left, or nothing.)
  const bool mends_drift = wired_ == wanted && full;
  wired_ = std::move(wanted);
  const auto wired = overlay_->reconcile(*wired_, input.pass);
  if (!wired) {
    add_problem(output.problems, "overlay: " + wired.error().message);
    return;
  }
  for (const vxlan::Problem& problem : wired->problems) {
    add_problem(output.problems, fmt::format("overlay {}: {}", problem.subject, problem.message));
  }
  facts_.attachments = attachments_of(*wired);
  facts_.mesh_ifindex = wired->mesh_ifindex;
  facts_.mesh_peer_ifindex = wired->mesh_peer_ifindex;

  const dataplane::Desired desired = make_dataplane(view());
  using Pass = dataplane::Dataplane::Pass;
  const auto programmed = dataplane_->reconcile(desired, full ? Pass::kFull : Pass::kDirty);
  if (!programmed) {
    add_problem(output.problems, "data plane: " + programmed.error().message);
    return;
  }
  held_.settle(desired);
  linked_tasks_.clear();
  for (const dataplane::Endpoint& endpoint : desired.endpoints) {
    if (endpoint.attachment) linked_tasks_.insert(endpoint.task_id);
  }
  output.drift = programmed->drift + (mends_drift ? wired->actions : 0);
  note(*programmed, output);
  apply_names(make_names(view()), output);
}

model::EndpointTables NodeKernel::tables() const {
  const std::lock_guard lock(mutex_);
  return held_.tables();
}

std::vector<cluster::ForeignReport> NodeKernel::scan() {
  const std::lock_guard lock(mutex_);
  if (!dataplane_) return {};
  // Also when nothing is asked: the walk removes records of flows that are over.
  auto held = dataplane_->scan_foreign();
  if (!held) {
    spdlog::warn("flow records cannot be walked reason=\"{}\"", held.error().message);
    return {};
  }
  std::multimap<std::pair<std::string_view, std::uint16_t>, const std::string*> may_hold;  // services by port
  for (const model::ServiceRow& service : held_.tables().services) {
    for (const model::PortRow& port : service.ports) {
      const bool remembers = std::ranges::any_of(port.moved, [&](const model::RingSlot& slot) {
        return std::ranges::find(slot.foreign, gateway_.node_number) != slot.foreign.end();
      });
      if (remembers) may_hold.emplace(std::pair(std::string_view(port.protocol), port.published), &service.id);
    }
  }
  std::vector<cluster::ForeignReport> reports;
  for (const dataplane::ForeignHeld& one : *held) {
    const std::string_view protocol = dataplane::protocol_name(one.protocol);
    const auto [first, last] = may_hold.equal_range({protocol, one.port});
    for (auto entry = first; entry != last; ++entry) {
      reports.push_back({*entry->second, std::string(protocol), one.port, one.version, one.held});
    }
  }
  return reports;
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
  held_.replace({});
  gateway_ = {};
  facts_ = {};
  tasks_.clear();
  complete_ = false;
  linked_tasks_.clear();
  names_pid_ = 0;
  overlaps_.clear();
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
  problems.insert(problems.end(), uplinks_.problems().begin(), uplinks_.problems().end());
  problems.insert(problems.end(), overlaps_.begin(), overlaps_.end());
  status["Tables"] = encode(applied_);
  status["Uplinks"] = encode(uplinks_.states());
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

model::TraceAnswer NodeKernel::trace(const model::TraceQuestion& question) {
  const std::lock_guard lock(mutex_);
  if (dataplane_) return walk_host(*dataplane_, uplinks_.all(), held_.tables(), gateway_.node_number, question);
  model::TraceAnswer answer;
  answer.id = question.id;
  answer.error = "the data plane is not open";
  return answer;
}

Result<std::optional<dataplane::CaughtPacket>> NodeKernel::catch_packet(const model::TraceCatch& next,
                                                                        const PacketWait& wait) {
  const dataplane::CatchOrder order = TRY(catch_order(next));
  const auto attach = [&]() -> Result<dataplane::Catcher> {
    const std::lock_guard lock(mutex_);
    if (!dataplane_) return fail(ErrorKind::kUnavailable, "the data plane is not open");
    return dataplane_->catch_next(order);
  };
  std::optional<dataplane::Catcher> catcher = TRY(attach());
  const auto end = std::chrono::steady_clock::now() + next.timeout;
  Result<std::optional<dataplane::CaughtPacket>> caught = std::nullopt;
  while (caught && !*caught && !wait.is_over() && std::chrono::steady_clock::now() < end) {
    caught = catcher->wait(kCatchLook);
  }
  const bool given_up = caught && !*caught && wait.is_over();
  const std::lock_guard lock(mutex_);
  catcher.reset();  // what it puts back no pass may look at meanwhile
  if (given_up) return fail(ErrorKind::kUnavailable, "the manager asks for the packet no more; trace again");
  return caught;
}

model::TraceAnswer NodeKernel::trace_next(const model::TraceQuestion& question, const PacketWait& wait) {
  model::TraceAnswer answer;
  answer.id = question.id;
  const auto caught = catch_packet(*question.next, wait);
  if (!caught) {
    answer.error = caught.error().message;
  } else if (!*caught) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(question.next->timeout).count();
    answer.error = fmt::format(
        "no such packet came within {} s: wait longer with --timeout, ask for less (--src, --dst, --dport, --proto), "
        "or name the host that it comes to with --node",
        seconds);
  } else {
    const std::lock_guard lock(mutex_);
    if (dataplane_) {
      return walk_host(*dataplane_, uplinks_.all(), held_.tables(), gateway_.node_number, question, *caught);
    }
    answer.error = "the data plane was closed meanwhile";
  }
  return answer;
}

Result<api::NodeMetrics> NodeKernel::metrics() {
  const std::lock_guard lock(mutex_);
  if (!dataplane_) return api::NodeMetrics();
  api::NodeMetrics metrics = node_metrics(TRY(dataplane_->counters()), dataplane_->memory());
  metrics.tables = applied_;
  for (api::BackendMetrics& backend : metrics.backends) {
    if (const model::EndpointRow* row = held_.endpoint(backend.task)) backend.task = row->name;
  }
  return metrics;
}

}  // namespace mesh::agent
