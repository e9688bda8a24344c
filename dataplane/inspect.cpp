#include "dataplane/inspect.h"

#include <algorithm>
#include <array>
#include <map>
#include <net/if.h>
#include <set>

#include <fmt/format.h>

#include "dataplane/layout.h"
#include "dataplane/plan.h"
#include "dataplane/wanted.h"

namespace mesh::dataplane {
namespace {

// The CPUs' values of one row, added up word by word.
template <class T>
T sum_of(const std::string& values) {
  constexpr std::size_t kWordBytes = 8;
  static_assert(sizeof(T) % kWordBytes == 0);
  constexpr std::size_t kWords = sizeof(T) / kWordBytes;
  std::array<std::uint64_t, kWords> sum{};
  for (std::size_t at = 0; at + sizeof(T) <= values.size(); at += sizeof(T)) {
    std::array<std::uint64_t, kWords> one{};
    std::memcpy(one.data(), values.data() + at, sizeof(T));
    for (std::size_t i = 0; i < kWords; ++i) sum[i] += one[i];
  }
  T result;
  std::memcpy(&result, sum.data(), sizeof(T));
  return result;
}

Result<std::vector<DropCounter>> named_counters(const Kernel& kernel, bool drops) {
  struct Row {
    std::uint32_t index;
    const char* name;
    const char* text;
  };
#define MESH_X(NAME, name, text) Row{MESH_COUNT_##NAME, name, text},
  static const std::vector<Row> kDrops = {MESH_DROP_REASONS(MESH_X)};
  static const std::vector<Row> kEvents = {MESH_EVENTS(MESH_X)};
#undef MESH_X
  std::vector<DropCounter> counters;
  for (const Row& row : drops ? kDrops : kEvents) {
    const std::string values = TRY(kernel.read("mesh_counters", bytes_of(row.index)));
    counters.push_back({row.name, row.text, sum_of<std::uint64_t>(values)});
  }
  return counters;
}

Traffic traffic_of(const mesh_traffic& traffic) { return {traffic.packets, traffic.bytes}; }

}  // namespace

Result<Counters> read_counters(const Kernel& kernel, const Desired& desired, const Observed& picture) {
  Counters counters;
  for (const PublishedPort& port : desired.ports) {
    const auto row = picture[MapId::kServices].find(bytes_of(service_index(port.protocol, port.port)));
    if (row == picture[MapId::kServices].end()) continue;
    PortCounters one{.protocol = port.protocol, .port = port.port, .service_name = port.service_name};
    const auto service = value_of<mesh_service>(row->second);
    for (std::uint32_t i = 0; i < port.backends.size(); ++i) {
      const mesh_traffic traffic = kernel.traffic_of(service.backends + i);
      one.entry.packets += traffic.packets;
      one.entry.bytes += traffic.bytes;
      const Backend& backend = port.backends[i];
      if (backend.node != 0) one.backends.push_back({backend.node, backend.binding, traffic_of(traffic)});
    }
    counters.ports.push_back(std::move(one));
  }
  std::map<std::pair<Protocol, std::uint16_t>, std::string> names;
  for (const PublishedPort& port : desired.ports) names[{port.protocol, port.port}] = port.service_name;
  std::map<std::uint16_t, std::uint64_t> flows;
  counters.flow_records_max = (std::uint64_t{kernel.facts().flow_mask} + 1) * MESH_FLOW_WAYS;
  TRY(kernel.for_each_flow([&](const FlowEntry& flow) {
    ++counters.flow_records;
    if ((flow.record.kind & MESH_FLOW_FORWARD) != 0) ++flows[flow.record.binding];
  }));
  for (const Binding& binding : desired.bindings) {
    const auto values = TRY(kernel.read("mesh_binding_counters", bytes_of(std::uint32_t{binding.index})));
    const auto traffic = sum_of<mesh_binding_traffic>(values);
    counters.bindings.push_back({.binding = binding.index,
                                 .task_id = binding.task_id,
                                 .protocol = binding.protocol,
                                 .port = binding.published_port,
                                 .service_name = names[{binding.protocol, binding.published_port}],
                                 .in = traffic_of(traffic.in),
                                 .out = traffic_of(traffic.out),
                                 .connections = traffic.connections,
                                 .resets_in = traffic.resets_in,
                                 .resets_out = traffic.resets_out,
                                 .flows = flows[binding.index]});
  }
  std::ranges::sort(counters.ports, {}, [](const PortCounters& p) { return std::pair(p.protocol, p.port); });
  std::ranges::sort(counters.bindings, {}, &BindingCounters::binding);
  counters.drops = TRY(named_counters(kernel, true));
  counters.events = TRY(named_counters(kernel, false));
  return counters;
}

namespace {

std::string hook_name(const Hook& hook) {
  std::array<char, IF_NAMESIZE> buffer{};
  const std::string interface = if_indextoname(hook.ifindex, buffer.data()) != nullptr
                                    ? std::string(buffer.data())
                                    : fmt::format("interface {}", hook.ifindex);
  switch (hook.kind) {
    case Hook::Kind::kUplinkXdp:
      return fmt::format("uplink {} xdp", interface);
    case Hook::Kind::kUplinkTc:
      return fmt::format("uplink {} tc", interface);
    case Hook::Kind::kEndpointTc:
      return fmt::format("endpoint {} tc", interface);
    case Hook::Kind::kEntryTc:
      return fmt::format("mesh entry {} tc", interface);
    case Hook::Kind::kCgroup:
      break;
  }
  for (const CgroupProgram& cgroup : cgroup_programs()) {
    if (hook.program == cgroup.program) return fmt::format("cgroup {}", cgroup.hook);
  }
  return hook.program;
}

std::vector<InspectedHook> inspect_hooks(const std::map<Hook, Attached>& wanted, const Observed& observed) {
  std::vector<InspectedHook> hooks;
  for (const auto& [hook, attached] : wanted) {
    const auto is = observed.hooks.find(hook);
    hooks.push_back({.name = hook_name(hook),
                     .desired = true,
                     .attached = is != observed.hooks.end() && is->second == attached,
                     .program_id = is != observed.hooks.end() ? is->second.program_id : 0});
  }
  for (const auto& [hook, attached] : observed.hooks) {
    if (!wanted.contains(hook)) hooks.push_back({hook_name(hook), false, true, attached.program_id});
  }
  return hooks;
}

// `end`: the first row of the next port's backends.
InspectedPort inspect_port(std::uint32_t index, const Observed& observed, std::uint32_t end) {
  InspectedPort port{.protocol = service_protocol(index), .port = service_port(index)};
  const auto row = observed[MapId::kServices].find(bytes_of(index));
  if (row == observed[MapId::kServices].end()) return port;
  const auto service = value_of<mesh_service>(row->second);
  const std::string slots = ring_slots(observed, service.ring);
  port.ring_version = MESH_RING_VERSION(service.ring);
  std::map<std::uint8_t, InspectedPort::Backend> backends;
  for (const char c : slots) {
    const auto byte = static_cast<std::uint8_t>(c);
    const auto owner = static_cast<std::uint8_t>(byte & MESH_SLOT_OWNER);
    if (owner == MESH_SLOT_NONE) continue;
    ++port.slots;
    ++backends[owner].slots;
    if ((byte & MESH_SLOT_MOVED) != 0) ++backends[owner].moved;
  }
  // Draining backends own no slot any more.
  for (std::uint32_t i = 0; i < MESH_SERVICE_BACKENDS_MAX && service.backends + i < end; ++i) {
    const auto found = observed[MapId::kBackends].find(bytes_of(service.backends + i));
    if (found == observed[MapId::kBackends].end()) continue;
    const auto backend = value_of<mesh_backend>(found->second);
    InspectedPort::Backend& entry = backends[static_cast<std::uint8_t>(i)];
    entry.node = backend.node;
    entry.binding = backend.binding;
    entry.state = static_cast<EndpointState>(std::min<std::uint8_t>(backend.state, MESH_STATE_GONE));
  }
  for (auto& [owner, entry] : backends) {
    entry.index = owner;
    port.backends.push_back(entry);
  }
  return port;
}

bool same_backends(const std::vector<InspectedPort::Backend>& is, const std::vector<Backend>& wanted) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].node == 0 || wanted[i].state == EndpointState::kGone) continue;
    ++count;
    const auto found = std::ranges::find(is, i, [](const InspectedPort::Backend& b) { return std::size_t{b.index}; });
    if (found == is.end() || found->node != wanted[i].node || found->binding != wanted[i].binding ||
        found->state != wanted[i].state) {
      return false;
    }
  }
  return count == is.size();
}

std::vector<InspectedPort> inspect_ports(const Desired& desired, const Observed& observed) {
  std::map<std::uint32_t, InspectedPort> ports;
  std::set<std::uint32_t> blocks;
  for (const auto& [key, value] : observed[MapId::kServices]) blocks.insert(value_of<mesh_service>(value).backends);
  for (const auto& [key, value] : observed[MapId::kServices]) {
    const auto index = value_of<std::uint32_t>(key);
    const auto next = blocks.upper_bound(value_of<mesh_service>(value).backends);
    ports[index] = inspect_port(index, observed, next == blocks.end() ? MESH_BACKENDS_MAX : *next);
  }
  for (const PublishedPort& wanted : desired.ports) {
    const std::uint32_t index = service_index(wanted.protocol, wanted.port);
    const bool present = ports.contains(index);
    InspectedPort& port =
        ports.try_emplace(index, InspectedPort{.protocol = wanted.protocol, .port = wanted.port}).first->second;
    port.service_name = wanted.service_name;
    port.ring_version_desired = wanted.ring.version;
    port.slots_desired = static_cast<std::size_t>(
        std::ranges::count_if(wanted.ring.owners, [](std::uint8_t owner) { return owner != kNoBackend; }));
    port.as_desired = present && port.ring_version == port.ring_version_desired && port.slots == port.slots_desired &&
                      same_backends(port.backends, wanted.backends);
  }
  std::vector<InspectedPort> result;
  for (auto& [index, port] : ports) result.push_back(std::move(port));
  return result;
}

std::vector<InspectedVip> inspect_vips(const Desired& desired, const Observed& observed) {
  std::map<IpAddress, InspectedVip> vips;
  for (const auto& [key, value] : observed[MapId::kVips]) {
    const auto vip = value_of<mesh_vip>(value);
    InspectedVip one{.address = from_abi(value_of<mesh_address>(key)), .vni = vip.vni};
    for (std::uint32_t i = 0; i < vip.count; ++i) {
      const auto row = observed[MapId::kVipBackends].find(bytes_of(vip.first + i));
      if (row != observed[MapId::kVipBackends].end()) {
        one.backends.push_back(from_abi(value_of<mesh_address>(row->second)));
      }
    }
    vips[one.address] = std::move(one);
  }
  for (const VirtualIp& wanted : desired.virtual_ips) {
    InspectedVip& vip = vips.try_emplace(wanted.address, InspectedVip{.address = wanted.address}).first->second;
    vip.as_desired = vip.vni == wanted.vni && vip.backends == wanted.backends;
  }
  std::vector<InspectedVip> result;
  for (auto& [address, vip] : vips) result.push_back(std::move(vip));
  return result;
}

std::vector<InspectedMap> inspect_maps(const Kernel& kernel, const Observed& observed) {
  std::vector<InspectedMap> maps;
  for (const Kernel::MapDescription& description : kernel.maps()) {
    InspectedMap map{
        .name = description.name, .entries_max = description.rows_max, .bytes = kernel.memory_of(description.name)};
    for (std::size_t i = 0; i < kMapCount; ++i) {
      if (map_info(static_cast<MapId>(i)).name == description.name) map.entries = observed.tables[i].size();
    }
    if (description.name == map_info(MapId::kEndpoints4).name) map.entries_max *= MESH_ENDPOINTS_OF_LINE;
    for (const char* name : {"mesh_origins", "mesh_leads", kSctpServices}) {
      if (description.name == name) map.entries = kernel.count_rows(description.name);
    }
    maps.push_back(std::move(map));
  }
  return maps;
}

// "write 3 rows of mesh_endpoints": what a full pass would do, counted by kind.
std::vector<std::string> differences(const Plan& plan) {
  std::map<std::string, std::size_t> counts;
  for (const Action& action : plan.actions) {
    // Counters and records follow from the rows that are listed anyway.
    if (std::holds_alternative<ResetTraffic>(action) || std::holds_alternative<RemoveFlows>(action)) continue;
    ++counts[to_string(action)];
  }
  std::vector<std::string> lines;
  for (const auto& [text, count] : counts)
    lines.push_back(count == 1 ? text : fmt::format("{} ({} rows)", text, count));
  return lines;
}

}  // namespace

Result<Inspection> inspect_kernel(const Kernel& kernel, const Desired& desired) {
  const Observed observed = TRY(kernel.observe());
  const Observed wanted = wanted_tables(desired, kernel.facts());
  Inspection inspection;
  const auto config = observed[MapId::kConfig].find(bytes_of(std::uint32_t{0}));
  if (config != observed[MapId::kConfig].end()) inspection.abi_version = value_of<mesh_config>(config->second).abi;
  inspection.hooks = inspect_hooks(wanted_hooks(desired, kernel.facts()), observed);
  inspection.ports = inspect_ports(desired, observed);
  inspection.virtual_ips = inspect_vips(desired, observed);
  inspection.maps = inspect_maps(kernel, observed);
  inspection.nodes = observed[MapId::kNodes].size();
  inspection.nodes_desired = wanted[MapId::kNodes].size();
  inspection.endpoints = observed[MapId::kEndpoints].size() + observed[MapId::kEndpoints4].size();
  inspection.endpoints_desired = wanted[MapId::kEndpoints].size() + wanted[MapId::kEndpoints4].size();
  inspection.bindings = observed[MapId::kBindings].size();
  inspection.bindings_desired = wanted[MapId::kBindings].size();
  inspection.differences = differences(plan(desired, kernel.facts(), observed));
  return inspection;
}

}  // namespace mesh::dataplane
