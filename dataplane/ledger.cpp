#include "dataplane/ledger.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "dataplane/wanted.h"

namespace mesh::dataplane {
namespace {

constexpr std::array<MapId, 5> kEndpointMaps = {MapId::kEndpoints, MapId::kEndpoints4, MapId::kSources,
                                                MapId::kNamespaces, MapId::kMembers};

std::string name_of(const IpAddress& address) { return bytes_of(to_abi(address)); }
std::string name_of(const VirtualIp& vip) { return name_of(vip.address); }
std::uint32_t name_of(const PublishedPort& port) { return service_index(port.protocol, port.port); }
std::uint16_t name_of(const Binding& binding) { return binding.index; }
const std::string& name_of(const Endpoint& endpoint) { return endpoint.task_id; }

// Whether every name is there once.
template <class Row, class Index>
bool index_rows(const std::vector<Row>& rows, Index& index) {
  index.clear();
  index.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) index.emplace(name_of(rows[i]), i);
  return index.size() == rows.size();
}

template <class Row, class Index>
void put(std::vector<Row>& rows, Index& index, const Row& row) {
  const auto [place, is_new] = index.emplace(name_of(row), rows.size());
  if (is_new) {
    rows.push_back(row);
  } else {
    rows[place->second] = row;
  }
}

// The last one takes its place: the order of pieces means nothing.
template <class Row, class Index, class Name>
void remove(std::vector<Row>& rows, Index& index, const Name& name) {
  const auto found = index.find(name);
  if (found == index.end()) return;
  const std::size_t at = found->second;
  index.erase(found);
  if (at + 1 != rows.size()) {
    rows[at] = std::move(rows.back());
    index[name_of(rows[at])] = at;
  }
  rows.pop_back();
}

template <class Row, class Index, class Name>
const Row* find_in(const std::vector<Row>& rows, const Index& index, const Name& name) {
  const auto found = index.find(name);
  return found == index.end() ? nullptr : &rows[found->second];
}

// Rows that are new to these pieces, but there: another piece's.
bool collides(const Observed& before, const Observed& wanted, const Observed& kernel) {
  for (const MapId map : kEndpointMaps) {
    for (const auto& [key, value] : wanted[map]) {
      if (!before[map].contains(key) && kernel[map].contains(key)) return true;
    }
  }
  return std::ranges::any_of(wanted.hooks, [&](const auto& entry) {
    return !before.hooks.contains(entry.first) && kernel.hooks.contains(entry.first);
  });
}

// Of the endpoints that come: what is still known of their addresses from earlier ones.
void add_formers(Observed& before, const Observed& wanted, const Observed& kernel) {
  if (kernel[MapId::kFormers].empty()) return;
  for (const MapId map : {MapId::kEndpoints, MapId::kEndpoints4}) {
    for (const auto& [key, value] : wanted[map]) {
      const auto former = kernel[MapId::kFormers].find(former_key_of(map, key));
      if (former != kernel[MapId::kFormers].end()) before[MapId::kFormers].insert(*former);
    }
  }
}

// Rows that are new or different, and the names of those that went. False: a name is there twice.
template <class Row, class Index, class Name>
bool differ(const std::vector<Row>& before, const Index& index, const std::vector<Row>& after, std::vector<Row>& put,
            std::vector<Name>& gone, Name (*told)(const Row&)) {
  bool in_place = before.size() == after.size();
  for (std::size_t i = 0; i < after.size(); ++i) {
    // Mostly it is where it was.
    const bool same_name = i < before.size() && name_of(before[i]) == name_of(after[i]);
    in_place = in_place && same_name;
    const Row* is = same_name ? &before[i] : find_in(before, index, name_of(after[i]));
    if (is == nullptr || *is != after[i]) put.push_back(after[i]);
  }
  if (in_place) return true;
  std::unordered_map<typename Index::key_type, std::size_t> names;
  if (!index_rows(after, names)) return false;
  for (const Row& row : before) {
    if (!names.contains(name_of(row))) gone.push_back(told(row));
  }
  return true;
}

// Everything but the pieces.
bool same_frame(const Desired& a, const Desired& b) {
  const auto frame = [](const Desired& d) {
    return std::tie(d.self, d.uplinks, d.nodes, d.networks, d.gateway_v4, d.gateway_v6, d.mesh_v4, d.mesh_v6,
                    d.mesh_ifindex, d.mesh_peer_ifindex, d.dns_port, d.cgroup_root);
  };
  return frame(a) == frame(b);
}

// How many rows of kEndpoints and kEndpoints4 the endpoints would have if each were one's alone; the local ones by
// their attachment.
struct Claims {
  std::size_t addresses = 0;
  std::size_t attachments = 0;
  std::set<std::uint32_t> interfaces;
};
Claims claims_of(const Desired& desired) {
  Claims claims;
  for (const Endpoint& endpoint : desired.endpoints) {
    if (endpoint.attachment) {
      ++claims.attachments;
      claims.interfaces.insert(endpoint.attachment->ifindex);
    }
    const bool unwired = endpoint.node == desired.self && (!endpoint.attachment || endpoint.attachment->ifindex == 0);
    if (endpoint.state != EndpointState::kGone && !unwired) claims.addresses += endpoint.addresses.size();
  }
  return claims;
}

}  // namespace

Ledger::Ledger(Desired desired) : desired_(std::move(desired)) {}

void Ledger::index_all() {
  divisible_ = index_rows(desired_.endpoints, endpoints_);
  divisible_ = index_rows(desired_.ports, ports_) && divisible_;
  divisible_ = index_rows(desired_.bindings, bindings_) && divisible_;
  divisible_ = index_rows(desired_.virtual_ips, virtual_ips_) && divisible_;
  bindings_of_.clear();
  for (const Binding& binding : desired_.bindings) bindings_of_.emplace(binding.task_id, binding.index);
}

void Ledger::settle(Room room, const Observed& kernel) {
  room_ = std::move(room);
  index_all();
  // Attachments by interface stand for those by namespace: one of each per task.
  const Claims claims = claims_of(desired_);
  const std::size_t addresses = kernel[MapId::kEndpoints].size() + kernel[MapId::kEndpoints4].size();
  divisible_ = divisible_ && claims.addresses == addresses && claims.interfaces.size() == claims.attachments;
}

const PublishedPort* Ledger::find(Protocol protocol, std::uint16_t port) const {
  return find_in(desired_.ports, ports_, service_index(protocol, port));
}

Ledger::Touched Ledger::touch(const Change& change) const {
  Touched touched;
  touched.endpoints.insert(change.endpoints_gone.begin(), change.endpoints_gone.end());
  for (const Endpoint& endpoint : change.endpoints) touched.endpoints.insert(endpoint.task_id);
  for (const auto& [protocol, port] : change.ports_gone) touched.ports.insert(service_index(protocol, port));
  for (const PublishedPort& port : change.ports) touched.ports.insert(name_of(port));
  touched.bindings.insert(change.bindings_gone.begin(), change.bindings_gone.end());
  for (const Binding& binding : change.bindings) touched.bindings.insert(binding.index);
  touched.virtual_ips.insert(change.virtual_ips_gone.begin(), change.virtual_ips_gone.end());
  for (const VirtualIp& vip : change.virtual_ips) touched.virtual_ips.insert(vip.address);
  // A binding's row says where its task is.
  for (const std::string& task : touched.endpoints) {
    const auto [first, last] = bindings_of_.equal_range(task);
    for (auto binding = first; binding != last; ++binding) touched.bindings.insert(binding->second);
  }
  return touched;
}

Pieces Ledger::select(const Touched& touched) const {
  Pieces pieces;
  for (const std::string& task : touched.endpoints) {
    if (const auto* endpoint = find_in(desired_.endpoints, endpoints_, task)) pieces.endpoints.push_back(endpoint);
  }
  for (const std::uint16_t index : touched.bindings) {
    const auto* binding = find_in(desired_.bindings, bindings_, index);
    const auto* task = binding == nullptr ? nullptr : find_in(desired_.endpoints, endpoints_, binding->task_id);
    if (task != nullptr) pieces.bindings.push_back({binding, task});
  }
  for (const std::uint32_t index : touched.ports) {
    if (const auto* port = find_in(desired_.ports, ports_, index)) pieces.ports.push_back(port);
  }
  for (const IpAddress& address : touched.virtual_ips) {
    if (const auto* vip = find_in(desired_.virtual_ips, virtual_ips_, name_of(address))) {
      pieces.virtual_ips.push_back(vip);
    }
  }
  return pieces;
}

// What the kernel holds of pieces that were planned; nothing if it holds some of them not at all.
std::optional<Observed> Ledger::rows_of(const Pieces& pieces, const HostFacts& facts, const Observed& kernel) const {
  Observed rows = wanted_rows(desired_, facts, pieces);
  for (const PublishedPort* port : pieces.ports) {
    const auto row = kernel[MapId::kServices].find(bytes_of(name_of(*port)));
    if (row == kernel[MapId::kServices].end()) return std::nullopt;
    add_rows(rows, desired_.self, *port, value_of<mesh_service>(row->second));
  }
  for (const VirtualIp* vip : pieces.virtual_ips) {
    const auto row = kernel[MapId::kVips].find(name_of(*vip));
    if (row == kernel[MapId::kVips].end()) return std::nullopt;
    add_rows(rows, *vip, value_of<mesh_vip>(row->second));
  }
  return rows;
}

void Ledger::apply(const Change& change) {
  const auto forget = [&](std::uint16_t index) {
    const auto* binding = find_in(desired_.bindings, bindings_, index);
    if (binding == nullptr) return;
    const auto [first, last] = bindings_of_.equal_range(binding->task_id);
    const auto entry = std::find_if(first, last, [&](const auto& one) { return one.second == index; });
    if (entry != last) bindings_of_.erase(entry);
  };
  for (const std::string& task : change.endpoints_gone) remove(desired_.endpoints, endpoints_, task);
  for (const auto& [protocol, port] : change.ports_gone) remove(desired_.ports, ports_, service_index(protocol, port));
  for (const std::uint16_t index : change.bindings_gone) {
    forget(index);
    remove(desired_.bindings, bindings_, index);
  }
  for (const IpAddress& address : change.virtual_ips_gone) {
    remove(desired_.virtual_ips, virtual_ips_, name_of(address));
  }
  for (const Endpoint& endpoint : change.endpoints) put(desired_.endpoints, endpoints_, endpoint);
  for (const PublishedPort& port : change.ports) put(desired_.ports, ports_, port);
  for (const Binding& binding : change.bindings) {
    forget(binding.index);
    put(desired_.bindings, bindings_, binding);
    bindings_of_.emplace(binding.task_id, binding.index);
  }
  for (const VirtualIp& vip : change.virtual_ips) put(desired_.virtual_ips, virtual_ips_, vip);
}

std::optional<Change> Ledger::difference(const Desired& wanted) const {
  if (!divisible_ || !same_frame(desired_, wanted)) return std::nullopt;
  Change change;
  const bool plain =
      differ<Endpoint, Index<std::string>, std::string>(desired_.endpoints, endpoints_, wanted.endpoints,
                                                        change.endpoints, change.endpoints_gone,
                                                        [](const Endpoint& one) { return one.task_id; }) &&
      differ<PublishedPort, Index<std::uint32_t>, std::pair<Protocol, std::uint16_t>>(
          desired_.ports, ports_, wanted.ports, change.ports, change.ports_gone,
          [](const PublishedPort& one) { return std::pair(one.protocol, one.port); }) &&
      differ<Binding, Index<std::uint16_t>, std::uint16_t>(desired_.bindings, bindings_, wanted.bindings,
                                                           change.bindings, change.bindings_gone,
                                                           [](const Binding& one) { return one.index; }) &&
      differ<VirtualIp, Index<std::string>, IpAddress>(desired_.virtual_ips, virtual_ips_, wanted.virtual_ips,
                                                       change.virtual_ips, change.virtual_ips_gone,
                                                       [](const VirtualIp& one) { return one.address; });
  return plain ? std::optional(std::move(change)) : std::nullopt;
}

std::optional<Plan> Ledger::plan(const Change& change, const HostFacts& facts, const Observed& kernel) {
  const Touched touched = touch(change);
  std::optional<Observed> before = divisible_ ? rows_of(select(touched), facts, kernel) : std::nullopt;
  apply(change);
  if (!before) return std::nullopt;
  const Pieces pieces = select(touched);
  Observed wanted = wanted_rows(desired_, facts, pieces);
  if (collides(*before, wanted, kernel)) return std::nullopt;
  add_formers(*before, wanted, kernel);
  Layout layout = lay_out(desired_.self, pieces, *before, room_);
  if (!layout.waiting.empty()) return std::nullopt;
  vacate(room_, *before, layout);
  Plan plan{.actions = {}, .problems = std::move(layout.problems)};
  const std::vector<RowRange> fresh_backends = layout.fresh_backends;
  take_tables(wanted, std::move(layout));
  plan.actions = steps(wanted, *before, fresh_backends);
  return plan;
}

}  // namespace mesh::dataplane
