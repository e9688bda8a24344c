#include "dataplane/dataplane.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "bpf/lib/packet.h"
#include "dataplane/catcher.h"
#include "dataplane/flow_scan.h"
#include "dataplane/inspect.h"
#include "dataplane/kernel.h"
#include "dataplane/ledger.h"
#include "dataplane/plan.h"
#include "dataplane/port_holder.h"
#include "dataplane/trace.h"
#include "dataplane/tracer.h"

namespace mesh::dataplane {
namespace {

// After the last packet of a trace its programs and tables stay for the next one; a pass comes every 30 s.
constexpr auto kTracerKept = std::chrono::seconds(30);

std::uint32_t ifindex_of(const Action& action) {
  if (const auto* attach = std::get_if<Attach>(&action)) return attach->hook.ifindex;
  if (const auto* detach = std::get_if<Detach>(&action)) return detach->hook.ifindex;
  return 0;
}

// Whom a failed action concerns.
Problem problem_of(const Action& action, const Desired& desired, const Error& error) {
  Problem problem{.kind = Problem::Kind::kKernel, .subject = to_string(action), .message = error.message};
  if (error.kind == ErrorKind::kExhausted) problem.kind = Problem::Kind::kLimit;
  const std::uint32_t ifindex = ifindex_of(action);
  for (const Uplink& uplink : desired.uplinks) {
    if (ifindex == 0 || uplink.ifindex != ifindex) continue;
    problem.kind = Problem::Kind::kUplink;
    problem.subject = "uplink " + uplink.name;
  }
  for (const Endpoint& endpoint : desired.endpoints) {
    if (ifindex == 0 || !endpoint.attachment || endpoint.attachment->ifindex != ifindex) continue;
    problem.kind = Problem::Kind::kEndpoint;
    problem.subject = "task " + endpoint.task_id;
  }
  const auto* attach = std::get_if<Attach>(&action);
  if (attach != nullptr && attach->hook.kind == Hook::Kind::kCgroup) problem.kind = Problem::Kind::kCgroup;
  return problem;
}

// On other addresses, or on other hosts, the port is anybody's.
bool needs_holder(const PublishedPort& port) { return port.entry && port.addresses.empty(); }

}  // namespace

struct Dataplane::State {
  Options options;
  Kernel kernel;
  PortHolder ports;
  std::string recreated;            // not reported yet
  std::optional<Observed> picture;  // what the kernel holds, as far as this object knows
  Ledger ledger;                    // of the last call
  std::optional<Desired> admitted;  // the same without what was refused, if anything was
  bool exact = false;               // the kernel holds what was planned: nothing failed, nothing was left out
  std::string cgroup_root;          // in use
  Status cgroup_status;
  struct Tracing {
    Tracer tracer;
    std::string trace;  // whose packets its tables know
    std::chrono::steady_clock::time_point used_at;
  };
  std::optional<Tracing> tracing;

  [[nodiscard]] const Desired& desired() const { return admitted ? *admitted : ledger.desired(); }
  [[nodiscard]] Result<Tracer*> tracer_for(const std::string& trace);
  [[nodiscard]] std::optional<TracedSlot> slot_of(const TracedPacket& packet) const;
  [[nodiscard]] std::uint32_t endpoint_behind(const TracedFrame& frame) const;
  void admit(Report& report);
  Status look(Report& report);
  Report plan_all(Report report);
  bool make_room(const std::vector<Action>& actions, Report& report);
  void carry_out(const Plan& todo, Report& report);
  [[nodiscard]] bool hold_ports(const Change& change);
  [[nodiscard]] std::string task_of(std::uint16_t binding) const;
  [[nodiscard]] FlowRecord describe(const FlowEntry& entry, std::uint32_t now) const;
  Status rebuild_rewritten_filter();
  [[nodiscard]] Result<std::vector<std::uint64_t>> needed_rewritten_bits() const;
};

Dataplane::Dataplane(std::unique_ptr<State> state) : state_(std::move(state)) {}
Dataplane::Dataplane(Dataplane&&) noexcept = default;
Dataplane& Dataplane::operator=(Dataplane&&) noexcept = default;
Dataplane::~Dataplane() = default;

Result<Dataplane> Dataplane::open(Options options) {
  std::string recreated;
  Kernel kernel = TRY(Kernel::open(options, {}, recreated));
  auto state = std::make_unique<State>(State{.options = std::move(options), .kernel = std::move(kernel)});
  state->recreated = std::move(recreated);
  return Dataplane(std::move(state));
}

// Leaves out the ports that the host itself uses; and settles the cgroup hooks' place.
void Dataplane::State::admit(Report& report) {
  const Desired& wanted = ledger.desired();
  admitted.reset();
  std::set<PortKey> keys;
  for (const PublishedPort& port : wanted.ports) {
    if (needs_holder(port)) keys.insert({port.protocol, port.port});
  }
  for (const PortHolder::Refused& refused : ports.hold(keys)) {
    const auto [protocol, port] = refused.port;
    report.problems.push_back({.kind = Problem::Kind::kPort,
                               .subject = fmt::format("{}/{}", port, protocol_name(protocol)),
                               .message = refused.message,
                               .protocol = protocol,
                               .port = port});
    if (!admitted) admitted = wanted;
    std::erase_if(admitted->ports, [&](const PublishedPort& p) { return p.protocol == protocol && p.port == port; });
  }
  if (cgroup_root != wanted.cgroup_root || !cgroup_status) {
    cgroup_root = wanted.cgroup_root;
    cgroup_status = kernel.use_cgroup(cgroup_root);
  }
  if (!cgroup_status) {
    report.problems.push_back(
        {.kind = Problem::Kind::kCgroup, .subject = "cgroup root", .message = cgroup_status.error().message});
  }
}

// Reads the kernel and counts what another hand has changed. `desired()` is still what was wanted before.
Status Dataplane::State::look(Report& report) {
  Observed observed = TRY(kernel.observe());
  if (picture) report.drift = plan(desired(), kernel.facts(), observed).actions.size();
  picture = std::move(observed);
  exact = exact && report.drift == 0;
  return {};
}

void Dataplane::State::carry_out(const Plan& todo, Report& report) {
  std::ranges::copy(todo.problems, std::back_inserter(report.problems));
  kernel.apply(todo.actions, [&](const Action& action, const Status& status) {
    if (status) {
      track(*picture, action);
      ++report.actions;
    } else {
      report.problems.push_back(problem_of(action, desired(), status.error()));
    }
  });
  exact = report.problems.empty();
}

// Whether tables were made anew with more rows: what was planned is to be planned again. Programs and tables that are
// there stay until that is done (Kernel::finish_takeover).
bool Dataplane::State::make_room(const std::vector<Action>& actions, Report& report) {
  const std::optional<Sizes> larger = sizes_for(actions, *picture, kernel.sizes());
  if (!larger) return false;
  const auto enlarge = [&]() -> Status {
    std::string lost;
    Kernel next = TRY(Kernel::open(options, *larger, lost));
    if (!cgroup_root.empty()) cgroup_status = next.use_cgroup(cgroup_root);
    picture = TRY(next.observe());
    kernel = std::move(next);
    tracing.reset();
    return {};
  };
  const Status done = enlarge();
  if (done) return true;
  report.problems.push_back({.kind = Problem::Kind::kLimit,
                             .subject = "kernel tables",
                             .message = "the tables are too small and cannot be made larger: " + done.error().message});
  return false;
}

Report Dataplane::State::plan_all(Report report) {
  exact = false;
  admit(report);
  Room room;
  // Rings that are replaced leave their room to those that wait for it.
  for (std::size_t waiting = SIZE_MAX; waiting > 0;) {
    Plan todo = plan(desired(), kernel.facts(), *picture, room);
    if (make_room(todo.actions, report)) todo = plan(desired(), kernel.facts(), *picture, room);
    const bool goes_on = !todo.waiting.empty() && todo.waiting.size() < waiting;
    waiting = goes_on ? todo.waiting.size() : 0;
    if (!goes_on) std::ranges::move(todo.waiting, std::back_inserter(todo.problems));
    if (goes_on) todo.problems.clear();
    carry_out(todo, report);
  }
  if (exact) ledger.settle(std::move(room), *picture);
  if (Result<std::string> taken = kernel.finish_takeover(); taken) {
    report.taken_over = std::move(*taken);
  } else {
    exact = false;
    report.problems.push_back(
        {.kind = Problem::Kind::kKernel, .subject = "tables of an earlier meshd", .message = taken.error().message});
  }
  return report;
}

Result<Report> Dataplane::reconcile(const Desired& desired, Pass pass) {
  State& state = *state_;
  Report report;
  report.recreated = std::exchange(state.recreated, {});
  if (pass == Pass::kFull || !state.picture) TRY(state.look(report));
  if (state.tracing && std::chrono::steady_clock::now() - state.tracing->used_at > kTracerKept) state.tracing.reset();
  if (state.exact) {
    if (const auto some = state.ledger.difference(desired)) return change(*some);
  }
  state.ledger = Ledger(desired);
  return state.plan_all(std::move(report));
}

// Whether the sockets of the ports that change could be changed.
bool Dataplane::State::hold_ports(const Change& change) {
  const auto release = [&](PortKey key) {
    const PublishedPort* before = ledger.find(key.first, key.second);
    if (before != nullptr && needs_holder(*before)) ports.release(key);
  };
  for (const PortKey& key : change.ports_gone) release(key);
  for (const PublishedPort& port : change.ports) {
    const PortKey key{port.protocol, port.port};
    if (!needs_holder(port)) release(key);
    if (needs_holder(port) && !ports.take(key)) return false;
  }
  return true;
}

Result<Report> Dataplane::change(const Change& change) {
  State& state = *state_;
  if (!state.picture) return fail(ErrorKind::kInternal, "data plane: a change came before anything was desired");
  Report report;
  std::optional<Plan> todo;
  if (std::exchange(state.exact, false) && state.hold_ports(change)) {
    todo = state.ledger.plan(change, state.kernel.facts(), *state.picture);
  } else {
    state.ledger.apply(change);
  }
  if (!todo || sizes_for(todo->actions, *state.picture, state.kernel.sizes())) {
    return state.plan_all(std::move(report));
  }
  state.carry_out(*todo, report);
  return report;
}

std::string Dataplane::State::task_of(std::uint16_t binding) const {
  const auto found = std::ranges::find(desired().bindings, binding, &Binding::index);
  return found == desired().bindings.end() ? std::string() : found->task_id;
}

Result<Counters> Dataplane::counters() const {
  return read_counters(state_->kernel, state_->desired(), state_->picture ? *state_->picture : Observed());
}

FlowRecord Dataplane::State::describe(const FlowEntry& entry, std::uint32_t now) const {
  const mesh_flow& record = entry.record;
  FlowRecord flow{.protocol = static_cast<Protocol>(record.protocol),
                  .client = {from_abi(record.client), ntohs(record.client_port)},
                  .destination = {from_abi(record.original), ntohs(record.original_port)},
                  .backend = {{}, ntohs(record.local_port)},
                  .binding = record.binding,
                  .task_id = task_of(record.binding),
                  .entry = record.entry,
                  .state = flow_state(entry),
                  .idle_seconds = seconds_since(entry.mark, now, kernel.facts().tick_shift)};
  if (!picture) return flow;
  const auto row = (*picture)[MapId::kBindings].find(bytes_of(std::uint32_t{record.binding}));
  if (row == (*picture)[MapId::kBindings].end()) return flow;
  const auto binding = value_of<mesh_binding>(row->second);
  flow.backend.ip = flow.client.ip.is_v4() ? IpAddress::v4(ntohl(binding.v4)) : from_abi(binding.v6);
  return flow;
}

Result<std::vector<FlowRecord>> Dataplane::flows(std::uint64_t& cursor, std::size_t limit) const {
  const std::uint64_t sets = std::uint64_t{state_->kernel.facts().flow_mask} + 1;
  const std::uint32_t now = TRY(state_->kernel.now());
  std::vector<FlowRecord> flows;
  while (cursor < sets && flows.size() < limit) {
    const std::string rows =
        TRY(state_->kernel.read_rows("mesh_flows", static_cast<std::uint32_t>(cursor), Kernel::kSetsPerRead));
    for (std::size_t at = 0; at < rows.size() && flows.size() < limit; at += sizeof(mesh_flow_set), ++cursor) {
      Kernel::visit_flows(rows.substr(at, sizeof(mesh_flow_set)), [&](const FlowEntry& flow) {
        if ((flow.record.kind & MESH_FLOW_FORWARD) != 0) flows.push_back(state_->describe(flow, now));
      });
    }
    if (rows.empty()) break;
  }
  if (cursor >= sets) cursor = 0;
  return flows;
}

Result<std::vector<ForeignHeld>> Dataplane::scan_foreign() {
  State& state = *state_;
  if (!state.picture) return std::vector<ForeignHeld>();
  TRY(state.kernel.sweep_flows());
  state.kernel.clear_trusted();
  ForeignSlots foreign(*state.picture, state.desired().self);
  TRY(state.kernel.for_each_flow([&](const FlowEntry& flow) { foreign.add(flow.record); }));
  TRY(state.rebuild_rewritten_filter());
  return foreign.result();
}

Result<std::vector<std::uint64_t>> Dataplane::State::needed_rewritten_bits() const {
  std::vector<std::uint64_t> needed(MESH_FILTER_WORDS, 0);
  TRY(kernel.for_each_flow([&](const FlowEntry& flow) {
    if (flow.record.kind != MESH_FLOW_FORWARD) return;
    const std::uint32_t bit = MESH_FILTER_BIT(flow.tag);
    needed[bit / 64] |= 1ULL << (bit % 64);
  }));
  return needed;
}

// Bits of flows that are over are cleared. A flow may have come while we looked, so the table is looked at again.
Status Dataplane::State::rebuild_rewritten_filter() {
  bool any = false;
  for (std::uint32_t word = 0; word < MESH_FILTER_WORDS && !any; ++word) any = kernel.rewritten_word(word) != 0;
  if (!any) return {};
  std::vector<std::uint64_t> needed = TRY(needed_rewritten_bits());
  for (std::uint32_t word = 0; word < MESH_FILTER_WORDS; ++word) kernel.clear_rewritten(word, ~needed[word]);
  needed = TRY(needed_rewritten_bits());
  for (std::uint32_t word = 0; word < MESH_FILTER_WORDS; ++word) {
    if (needed[word] != 0) kernel.set_rewritten(word, needed[word]);
  }
  return {};
}

Result<Inspection> Dataplane::inspect() const {
  Inspection inspection = TRY(inspect_kernel(state_->kernel, state_->desired()));
  inspection.pin_dir = state_->options.pin_dir;
  for (InspectedPort& port : inspection.ports) port.port_held = state_->ports.holds({port.protocol, port.port});
  return inspection;
}

std::vector<MapMemory> Dataplane::memory() const {
  std::vector<MapMemory> maps;
  for (const Kernel::MapDescription& map : state_->kernel.maps()) {
    maps.push_back({map.name, state_->kernel.memory_of(map.name)});
  }
  return maps;
}

Result<Tracer*> Dataplane::State::tracer_for(const std::string& trace) {
  if (!tracing) tracing = Tracing{TRY(Tracer::load(options.pin_dir, kernel.sizes())), {}, {}};
  tracing->used_at = std::chrono::steady_clock::now();
  if (tracing->trace != trace) {
    tracing->trace.clear();
    TRY(tracing->tracer.copy_tables(kernel));
    tracing->trace = trace;
  }
  return &tracing->tracer;
}

std::optional<TracedSlot> Dataplane::State::slot_of(const TracedPacket& packet) const {
  const auto protocol = static_cast<Protocol>(packet.protocol);
  if (!picture || !mesh_has_flows(packet.protocol)) return std::nullopt;
  const auto row = (*picture)[MapId::kServices].find(bytes_of(service_index(protocol, packet.destination.port)));
  if (row == (*picture)[MapId::kServices].end()) return std::nullopt;
  const auto service = value_of<mesh_service>(row->second);
  const std::string slots = ring_slots(*picture, service.ring);
  if (slots.empty()) return std::nullopt;
  TracedSlot found{.version = MESH_RING_VERSION(service.ring), .slots = static_cast<std::uint32_t>(slots.size())};
  found.slot = ring_slot_of(packet, service);
  const auto byte = static_cast<std::uint8_t>(slots.at(found.slot));
  found.moved = (byte & MESH_SLOT_MOVED) != 0;
  const std::uint32_t owner = byte & MESH_SLOT_OWNER;
  const auto backend = (*picture)[MapId::kBackends].find(bytes_of(service.backends + owner));
  if (owner == MESH_SLOT_NONE || backend == (*picture)[MapId::kBackends].end()) return found;
  found.node = value_of<mesh_backend>(backend->second).node;
  found.binding = value_of<mesh_backend>(backend->second).binding;
  return found;
}

// Of this host's endpoints the one that a delivered frame is for; 0: none.
std::uint32_t Dataplane::State::endpoint_behind(const TracedFrame& frame) const {
  if (!picture || !frame.packet || frame.tunnel) return 0;
  const mesh_address address = to_abi(frame.packet->destination.ip);
  for (const auto& [key, value] : (*picture)[MapId::kEndpoints]) {
    const auto endpoint = value_of<mesh_endpoint>(value);
    const auto row = value_of<mesh_endpoint_key>(key);
    if (endpoint.ifindex == 0 || std::memcmp(&row.address, &address, sizeof address) != 0) continue;
    if (std::equal(frame.to.bytes.begin(), frame.to.bytes.end(), endpoint.mac)) return endpoint.ifindex;
  }
  if (!frame.packet->destination.ip.is_v4()) return 0;
  for (const auto& [key, value] : (*picture)[MapId::kEndpoints4]) {
    const auto [place, ingress] = value_of<mesh_endpoint4_place>(value);
    if (value_of<mesh_endpoint4_key>(key).address != address.word[3] || (place & MESH_ENDPOINT_FAR) != 0) continue;
    if (frame.to == MacAddress::of_endpoint(IpAddress::v4(ntohl(ingress)))) return place;
  }
  return 0;
}

std::uint32_t Dataplane::ifindex_of(const std::string& task_id) const {
  const auto found = std::ranges::find(state_->desired().endpoints, task_id, &Endpoint::task_id);
  return found == state_->desired().endpoints.end() || !found->attachment ? 0 : found->attachment->ifindex;
}

Result<Catcher> Dataplane::catch_next(const CatchOrder& order) {
  CatchPlaces places;
  for (const Uplink& uplink : state_->desired().uplinks) {
    (uplink.mode == UplinkMode::kXdp ? places.xdp_uplinks : places.tc_uplinks).push_back(uplink.ifindex);
  }
  for (const Endpoint& endpoint : state_->desired().endpoints) {
    if (endpoint.attachment) places.endpoints.push_back(endpoint.attachment->ifindex);
  }
  return Catcher::attach(state_->kernel, state_->options.pin_dir, places, order);
}

Result<TraceRun> Dataplane::trace(const TraceOrder& order) {
  State& state = *state_;
  Tracer& tracer = *TRY(state.tracer_for(order.trace));
  if (order.met) TRY(tracer.put_back(*order.met));
  const TracedFrame before = read_frame(order.frame);
  const bool by_endpoint = order.program == "mesh_endpoint_tc";
  std::optional<FlowEntry> flow;
  if (before.packet) {
    flow = TRY(tracer.find_flow(*before.packet, by_endpoint ? order.ifindex : 0, state.kernel.facts()));
  }
  TraceRun run = TRY(tracer.run(order));
  if (flow) run.flow = state.describe(*flow, TRY(state.kernel.now()));
  if (before.packet && !(by_endpoint && flow)) run.slot = state.slot_of(*before.packet);
  if (run.verdict == TraceRun::Verdict::kRedirect) run.endpoint_ifindex = state.endpoint_behind(read_frame(run.frame));
  return run;
}

Status Dataplane::cleanup(const Options& options) { return Kernel::cleanup(options); }

}  // namespace mesh::dataplane
