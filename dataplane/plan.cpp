#include "dataplane/plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "bpf/lib/address.h"
#include "dataplane/layout.h"
#include "dataplane/wanted.h"

namespace mesh::dataplane {
namespace {

// The steps from some rows and hooks to others, in order.
class Steps {
 public:
  Steps(const Observed& wanted, const Observed& observed, const std::vector<RowRange>& fresh_backends)
      : observed_(observed), wanted_(wanted), fresh_backends_(fresh_backends) {}

  std::vector<Action> all() {
    formers();
    for (const MapId map :
         {MapId::kVnis, MapId::kConfig, MapId::kNetworks, MapId::kAddresses, MapId::kNodes, MapId::kEndpoints,
          MapId::kEndpoints4, MapId::kSources, MapId::kNamespaces, MapId::kMembers}) {
      write(map);
    }
    bindings();
    for (const MapId map : {MapId::kVipBackends, MapId::kVips, MapId::kRows, MapId::kRings}) write(map);
    for (const RowRange& range : fresh_backends_) {
      actions_.emplace_back(ResetTraffic{ResetTraffic::Of::kBackends, range.first, range.count});
    }
    write(MapId::kBackends);
    for (const MapId map : {MapId::kBound, MapId::kAllowed, MapId::kLocals}) write(map);
    services();
    attach();
    // From what points to what is pointed at.
    for (const MapId map : {MapId::kServices, MapId::kBound, MapId::kAllowed, MapId::kLocals, MapId::kVips})
      remove(map);
    remove_bindings();
    for (const MapId map :
         {MapId::kBackends, MapId::kRows, MapId::kMembers, MapId::kNamespaces, MapId::kSources, MapId::kEndpoints,
          MapId::kEndpoints4, MapId::kNodes, MapId::kAddresses, MapId::kNetworks, MapId::kVnis}) {
      remove(map);
    }
    detach();
    return std::move(actions_);
  }

 private:
  void write(MapId map) {
    for (const auto& [key, value] : wanted_[map]) {
      const auto row = observed_[map].find(key);
      if (row == observed_[map].end() || row->second != value) actions_.emplace_back(WriteRow{map, key, value});
    }
  }

  void remove(MapId map) {
    for (const auto& [key, value] : observed_[map]) {
      if (!wanted_[map].contains(key)) actions_.emplace_back(DeleteRow{map, key});
    }
  }

  // Who left a virtual IP, before its endpoint goes: what sockets send there is led on by this. Of an endpoint that
  // comes, nothing that was known of its address is true.
  void formers() {
    for (const auto& [key, value] : observed_[MapId::kVips]) {
      const auto row = wanted_[MapId::kVips].find(key);
      if (row == wanted_[MapId::kVips].end()) continue;
      const auto before = value_of<mesh_vip>(value);
      const auto after = value_of<mesh_vip>(row->second);
      if (before.service != after.service || before.vni != after.vni) continue;
      const std::set<std::string> backends = vip_backends(wanted_, after);
      const mesh_former former{.vip = value_of<mesh_address>(key), .service = after.service};
      for (const std::string& address : vip_backends(observed_, before)) {
        if (backends.contains(address)) continue;
        const mesh_former_key former_key{.vni = after.vni, .address = value_of<mesh_address>(address)};
        actions_.emplace_back(WriteRow{MapId::kFormers, bytes_of(former_key), bytes_of(former)});
      }
    }
    for (const MapId map : {MapId::kEndpoints, MapId::kEndpoints4}) {
      // In a table that is anew (a whole plan's, not that of some pieces) who comes and who stays cannot be told.
      if (observed_[map].empty() && !observed_[MapId::kConfig].empty()) continue;
      for (const auto& [key, value] : wanted_[map]) {
        if (observed_[map].contains(key)) continue;
        const std::string former = former_key_of(map, key);
        if (observed_[MapId::kFormers].contains(former)) actions_.emplace_back(DeleteRow{MapId::kFormers, former});
      }
    }
  }

  static std::set<std::string> vip_backends(const Observed& rows, const mesh_vip& vip) {
    std::set<std::string> addresses;
    for (std::uint32_t i = 0; i < vip.count; ++i) {
      const auto row = rows[MapId::kVipBackends].find(bytes_of(vip.first + i));
      if (row != rows[MapId::kVipBackends].end()) addresses.insert(row->second);
    }
    return addresses;
  }

  // An index that passes to another container: nothing is delivered, its records go, then it is the new one's.
  void bindings() {
    RemoveFlows gone;
    for (const auto& [key, value] : wanted_[MapId::kBindings]) {
      const auto index = value_of<std::uint32_t>(key);
      const auto row = observed_[MapId::kBindings].find(key);
      if (row == observed_[MapId::kBindings].end()) {
        actions_.emplace_back(ResetTraffic{ResetTraffic::Of::kBindings, index, 1});
      } else if (!same_container(value_of<mesh_binding>(row->second), value_of<mesh_binding>(value))) {
        actions_.emplace_back(DeleteRow{MapId::kBindings, key});
        actions_.emplace_back(ResetTraffic{ResetTraffic::Of::kBindings, index, 1});
        ++gone.bindings;
      }
    }
    if (gone.bindings > 0) actions_.emplace_back(gone);
    write(MapId::kBindings);
  }

  static bool same_container(const mesh_binding& a, const mesh_binding& b) {
    return a.v4 == b.v4 && a.ifindex == b.ifindex && a.protocol == b.protocol && a.published_port == b.published_port;
  }

  void remove_bindings() {
    RemoveFlows gone;
    for (const auto& [key, value] : observed_[MapId::kBindings]) {
      if (wanted_[MapId::kBindings].contains(key)) continue;
      actions_.emplace_back(DeleteRow{MapId::kBindings, key});
      ++gone.bindings;
    }
    if (gone.bindings > 0) actions_.emplace_back(gone);
  }

  // When ring and backends move at once, the old ring meets the new backends first: every index it knows is there.
  void services() {
    for (const auto& [key, value] : wanted_[MapId::kServices]) {
      const auto row = observed_[MapId::kServices].find(key);
      if (row != observed_[MapId::kServices].end()) {
        auto between = value_of<mesh_service>(row->second);
        const auto next = value_of<mesh_service>(value);
        if (between.ring != next.ring && between.backends != next.backends) {
          between.backends = next.backends;
          actions_.emplace_back(WriteRow{MapId::kServices, key, bytes_of(between)});
        }
        if (row->second == value) continue;
      }
      actions_.emplace_back(WriteRow{MapId::kServices, key, value});
    }
  }

  void attach() {
    for (const auto& [hook, attached] : wanted_.hooks) {
      const auto is = observed_.hooks.find(hook);
      if (is == observed_.hooks.end() || is->second != attached) actions_.emplace_back(Attach{hook, attached});
    }
  }

  void detach() {
    for (const auto& [hook, attached] : observed_.hooks) {
      if (!wanted_.hooks.contains(hook) && !replaced(hook)) actions_.emplace_back(Detach{hook});
    }
  }

  // A tc hook holds one filter of ours: another program wanted there has taken this one's place.
  [[nodiscard]] bool replaced(const Hook& hook) const {
    return is_tc(hook.kind) && std::ranges::any_of(wanted_.hooks, [&](const auto& wanted) {
             return is_tc(wanted.first.kind) && wanted.first.ifindex == hook.ifindex;
           });
  }

  const Observed& observed_;
  const Observed& wanted_;
  const std::vector<RowRange>& fresh_backends_;
  std::vector<Action> actions_;
};

void apply_to(Observed& observed, const WriteRow& action) { observed[action.map][action.key] = action.value; }
void apply_to(Observed& observed, const DeleteRow& action) { observed[action.map].erase(action.key); }
void apply_to(Observed&, const ResetTraffic&) {}
void apply_to(Observed&, const RemoveFlows&) {}
void apply_to(Observed& observed, const Attach& action) {
  if (is_tc(action.hook.kind)) {
    std::erase_if(observed.hooks, [&](const auto& entry) {
      return is_tc(entry.first.kind) && entry.first.ifindex == action.hook.ifindex;
    });
  }
  observed.hooks[action.hook] = action.attached;
}
void apply_to(Observed& observed, const Detach& action) { observed.hooks.erase(action.hook); }

std::string text(const WriteRow& action) { return fmt::format("write {}", map_info(action.map).name); }
std::string text(const DeleteRow& action) { return fmt::format("delete from {}", map_info(action.map).name); }
std::string text(const ResetTraffic& action) {
  return fmt::format("reset counters of {} {} from {}", action.count,
                     action.of == ResetTraffic::Of::kBackends ? "backends" : "bindings", action.first);
}
std::string text(const RemoveFlows& action) {
  return fmt::format("remove flow records of {} bindings", action.bindings);
}
std::string text(const Attach& action) { return "attach " + to_string(action.hook); }
std::string text(const Detach& action) { return "detach " + to_string(action.hook); }

}  // namespace

void take_tables(Observed& wanted, Layout&& layout) {
  for (const MapId map : {MapId::kServices, MapId::kRings, MapId::kRows, MapId::kBackends, MapId::kVips,
                          MapId::kVipBackends, MapId::kBound, MapId::kAllowed, MapId::kLocals}) {
    wanted[map] = std::move(layout.tables[map]);
  }
}

std::string former_key_of(MapId map, const std::string& endpoint_key) {
  if (map == MapId::kEndpoints4) {
    const auto endpoint = value_of<mesh_endpoint4_key>(endpoint_key);
    return bytes_of(mesh_former_key{.vni = endpoint.vni, .address = mesh_address_v4(endpoint.address)});
  }
  const auto endpoint = value_of<mesh_endpoint_key>(endpoint_key);
  return bytes_of(mesh_former_key{.vni = endpoint.vni, .address = endpoint.address});
}

std::vector<Action> steps(const Observed& wanted, const Observed& observed,
                          const std::vector<RowRange>& fresh_backends) {
  return Steps(wanted, observed, fresh_backends).all();
}

Plan plan(const Desired& desired, const HostFacts& facts, const Observed& observed, Room& room) {
  const Pieces pieces = pieces_of(desired);
  room = room_of(observed);
  Layout layout = lay_out(desired.self, pieces, observed, room);
  room = settled(room, layout.tables);
  Observed wanted = wanted_tables(desired, facts, pieces);
  wanted.hooks = wanted_hooks(desired, facts);
  Plan plan;
  plan.problems = limit_problems(desired);
  std::ranges::move(layout.problems, std::back_inserter(plan.problems));
  plan.waiting = std::move(layout.waiting);
  const std::vector<RowRange> fresh_backends = layout.fresh_backends;
  take_tables(wanted, std::move(layout));
  plan.actions = steps(wanted, observed, fresh_backends);
  return plan;
}

Plan plan(const Desired& desired, const HostFacts& facts, const Observed& observed) {
  Room room;
  return plan(desired, facts, observed, room);
}

void track(Observed& observed, const Action& action) {
  std::visit([&](const auto& one) { apply_to(observed, one); }, action);
}

std::string to_string(const Hook& hook) {
  switch (hook.kind) {
    case Hook::Kind::kUplinkXdp:
      return fmt::format("uplink xdp on interface {}", hook.ifindex);
    case Hook::Kind::kUplinkTc:
      return fmt::format("uplink tc on interface {}", hook.ifindex);
    case Hook::Kind::kEndpointTc:
      return fmt::format("endpoint tc on interface {}", hook.ifindex);
    case Hook::Kind::kEntryTc:
      return fmt::format("mesh entry tc on interface {}", hook.ifindex);
    case Hook::Kind::kCgroup:
      return fmt::format("cgroup {}", hook.program);
  }
  return "?";
}

std::string to_string(const Action& action) {
  return std::visit([](const auto& one) { return text(one); }, action);
}

}  // namespace mesh::dataplane
