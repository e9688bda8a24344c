#include "vxlan/plan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "vxlan/wanted.h"

namespace mesh::vxlan {
namespace {

constexpr std::size_t kInterfaceNameMax = 15;  // IFNAMSIZ - 1

class Planner {
 public:
  Planner(const Desired& desired, const Observed& observed) : desired_(desired), observed_(observed) {
    const std::vector<Refusal> refused = refusals(desired);
    for (const TaskLink& link : desired.links) {
      const std::string subject = "task " + link.task_id;
      if (std::ranges::none_of(refused, [&](const Refusal& r) { return r.subject == subject; }))
        links_.push_back(&link);
    }
    wanted_ = wanted_host(desired, links_, observed);
  }

  std::vector<Action> all() {
    remove_stale();
    sysctls("sysctl", "", wanted_, observed_.host);
    firewall();
    mesh_link();
    for (const TaskLink* link : links_) task(*link);
    return std::move(actions_);
  }

 private:
  void add(std::string subject, std::string netns, Operation operation) {
    actions_.push_back({std::move(subject), std::move(netns), std::move(operation)});
  }

  void remove_stale() {
    for (const auto& [name, link] : observed_.host.links) {
      // mesh1 goes with mesh0.
      if (!wanted_.links.contains(name) && name != kMeshPeerInterface) add("interface " + name, "", DeleteLink{name});
    }
    for (const auto& [path, state] : observed_.namespaces) {
      const bool used = std::ranges::any_of(desired_.links, [&](const TaskLink& l) { return l.netns_path == path; });
      if (!used) add("namespace " + path, path, DeleteNetns{});
    }
  }

  void firewall() {
    std::set<std::uint16_t> all, ours;
    std::ranges::set_difference(observed_.reserved_ports, observed_.reserved_by_us, std::inserter(all, all.end()));
    for (const std::uint16_t port : desired_.reserved_ports) {
      if (all.insert(port).second) ours.insert(port);
    }
    if (all != observed_.reserved_ports || ours != observed_.reserved_by_us) {
      add("reserved ports", "", SetReservedPorts{all, ours});
    }
    if (!observed_.firewall_known || !desired_.gateway) return;
    Firewall wanted = make_firewall(desired_);
    if (observed_.firewall != wanted.state) add("firewall", "", SetFirewall{std::move(wanted)});
  }

  void mesh_link() {
    if (!desired_.gateway) return;
    const Gateway& gateway = *desired_.gateway;
    NamespaceState have = observed_.host;
    const auto mesh0 = have.links.find(kMeshInterface);
    const auto mesh1 = have.links.find(kMeshPeerInterface);
    const bool paired =
        mesh0 != have.links.end() && mesh1 != have.links.end() && mesh0->second.peer_ifindex == mesh1->second.ifindex;
    if (!paired) {
      for (const char* name : {kMeshInterface, kMeshPeerInterface}) {
        if (have.links.contains(name)) add(kMeshInterface, "", DeleteLink{name});
        forget(have, name);
      }
      add(kMeshInterface, "",
          CreateVeth{kMeshInterface, gateway_mac(gateway), kMeshPeerInterface, mesh_mac(gateway), "", gateway.mtu});
      have.links[kMeshInterface] = created(gateway_mac(gateway), gateway.mtu);
      have.links[kMeshPeerInterface] = created(mesh_mac(gateway), gateway.mtu);
    }
    link(kMeshInterface, "", kMeshPeerInterface, wanted_, have);
    link(kMeshInterface, "", kMeshInterface, wanted_, have);
    belongings(kMeshInterface, "", kMeshInterface, wanted_, have);
  }

  void task(const TaskLink& task_link) {
    const std::string subject = "task " + task_link.task_id;
    const std::string& netns = task_link.netns_path;
    const std::string& name = task_link.host_name;
    const NamespaceState wanted = wanted_task(*desired_.gateway, task_link, observed_.ipv6);
    NamespaceState host = observed_.host;
    NamespaceState inside;
    const auto found = observed_.namespaces.find(netns);
    if (found == observed_.namespaces.end()) {
      add(subject, netns, CreateNetns{});
    } else {
      inside = found->second;
    }
    const auto outer = host.links.find(name);
    const auto inner = inside.links.find(kTaskInterface);
    const bool paired = outer != host.links.end() && inner != inside.links.end() &&
                        outer->second.peer_ifindex == inner->second.ifindex &&
                        inner->second.peer_ifindex == outer->second.ifindex;
    if (!paired) {
      if (outer != host.links.end()) add(subject, "", DeleteLink{name});
      if (inner != inside.links.end()) add(subject, netns, DeleteLink{kTaskInterface});
      forget(host, name);
      forget(inside, kTaskInterface);
      const MacAddress mac = MacAddress::of_endpoint(task_link.ingress_v4);
      add(subject, "", CreateVeth{name, {}, kTaskInterface, mac, netns, task_link.mtu});
      host.links[name] = created({}, task_link.mtu);
      inside.links[kTaskInterface] = created(mac, task_link.mtu);
    }
    link(subject, "", name, wanted_, host);
    link(subject, netns, kTaskInterface, wanted, inside);
    sysctls(subject, netns, wanted, inside);
    belongings(subject, netns, kTaskInterface, wanted, inside);
    belongings(subject, "", name, wanted_, host);
  }

  [[nodiscard]] Link created(const MacAddress& mac, std::uint16_t mtu) const {
    return {.mac = mac, .mtu = mtu, .link_local = observed_.ipv6};
  }

  static void forget(NamespaceState& state, const std::string& name) {
    state.links.erase(name);
    const auto on_it = [&](const auto& row) { return row.interface == name; };
    std::erase_if(state.addresses, on_it);
    std::erase_if(state.routes, on_it);
    std::erase_if(state.neighbours, on_it);
    std::erase_if(state.sysctls,
                  [&](const auto& entry) { return entry.first.find("/conf/" + name + "/") != std::string::npos; });
  }

  void link(const std::string& subject, const std::string& netns, const std::string& name, const NamespaceState& wanted,
            const NamespaceState& have) {
    const Link& want = wanted.links.at(name);
    const Link& is = have.links.at(name);
    if (want.mac != MacAddress{} && want.mac != is.mac) add(subject, netns, SetMac{name, want.mac});
    if (want.mtu != is.mtu) add(subject, netns, SetMtu{name, want.mtu});
    if (is.link_local) add(subject, netns, StopLinkLocal{name});
    if (!is.up) add(subject, netns, SetUp{name});
    // After it is up: only then veth tells its other end that it takes redirected packets.
    if (want.gro && (!is.gro || !is.up)) add(subject, netns, SetGro{name});
  }

  // Addresses first: routes name them as their source. What is not wanted goes before what is.
  void belongings(const std::string& subject, const std::string& netns, const std::string& name,
                  const NamespaceState& wanted, const NamespaceState& have) {
    const auto difference = [&](const auto& from, const auto& without, auto make) {
      for (const auto& row : from) {
        if (row.interface == name && !without.contains(row)) add(subject, netns, make(row));
      }
    };
    difference(have.neighbours, wanted.neighbours, [](const Neighbour& row) { return DeleteNeighbour{row}; });
    difference(have.routes, wanted.routes, [](const Route& row) { return DeleteRoute{row}; });
    difference(have.addresses, wanted.addresses, [](const Address& row) { return DeleteAddress{row}; });
    difference(wanted.addresses, have.addresses, [](const Address& row) { return AddAddress{row}; });
    // Routes on the link itself before those through a gateway.
    for (const bool direct : {true, false}) {
      for (const Route& row : wanted.routes) {
        if (row.interface == name && row.gateway.is_unset() == direct && !have.routes.contains(row)) {
          add(subject, netns, AddRoute{row});
        }
      }
    }
    difference(wanted.neighbours, have.neighbours, [](const Neighbour& row) { return AddNeighbour{row}; });
  }

  void sysctls(const std::string& subject, const std::string& netns, const NamespaceState& wanted,
               const NamespaceState& have) {
    for (const auto& [path, value] : wanted.sysctls) {
      const auto is = have.sysctls.find(path);
      if (is == have.sysctls.end() || is->second != value) add(subject, netns, SetSysctl{path, value});
    }
  }

  const Desired& desired_;
  const Observed& observed_;
  std::vector<const TaskLink*> links_;
  NamespaceState wanted_;
  std::vector<Action> actions_;
};

}  // namespace

std::vector<Action> plan(const Desired& desired, const Observed& observed) { return Planner(desired, observed).all(); }

std::vector<Refusal> refusals(const Desired& desired) {
  std::vector<Refusal> refused;
  std::map<std::string, std::string> owner;  // of an interface name or path
  for (const TaskLink& link : desired.links) {
    const auto refuse = [&](std::string message) { refused.push_back({"task " + link.task_id, std::move(message)}); };
    const auto [name, name_free] = owner.try_emplace(link.host_name, link.task_id);
    const auto [path, path_free] = owner.try_emplace(link.netns_path, link.task_id);
    if (!desired.gateway) {
      refuse("no gateway addresses are known yet, so its network cannot be wired; they come with the first table");
    } else if (link.ingress_v4.is_unset() || !link.ingress_v4.is_v4()) {
      refuse("it has no IPv4 address on the ingress network");
    } else if (link.host_name.empty() || link.host_name.size() > kInterfaceNameMax) {
      refuse(fmt::format("interface name \"{}\" must have 1 to {} characters", link.host_name, kInterfaceNameMax));
    } else if (link.netns_path.empty()) {
      refuse("it has no path for its network namespace");
    } else if (!name_free) {
      refuse(fmt::format("interface name {} belongs to task {}", link.host_name, name->second));
    } else if (!path_free) {
      refuse(fmt::format("network namespace {} belongs to task {}", link.netns_path, path->second));
    }
  }
  return refused;
}

namespace {

std::string text(const Route& route) {
  std::string result = fmt::format("route {} dev {}", route.destination.to_string(), route.interface);
  if (!route.gateway.is_unset()) result += " via " + route.gateway.to_string();
  if (!route.source.is_unset()) result += " src " + route.source.to_string();
  return result;
}
std::string text(const Address& address) {
  return fmt::format("address {} dev {}", address.ip.to_string(), address.interface);
}
std::string text(const Neighbour& neighbour) {
  return fmt::format("neighbour {} {} dev {}", neighbour.ip.to_string(), neighbour.mac.to_string(),
                     neighbour.interface);
}

std::string text(const CreateNetns&) { return "create its network namespace"; }
std::string text(const DeleteNetns&) { return "delete its network namespace"; }
std::string text(const CreateVeth& a) { return fmt::format("create veth pair {} and {}", a.name, a.peer); }
std::string text(const DeleteLink& a) { return "delete interface " + a.name; }
std::string text(const SetMac& a) { return fmt::format("set MAC {} on {}", a.mac.to_string(), a.name); }
std::string text(const SetMtu& a) { return fmt::format("set MTU {} on {}", a.mtu, a.name); }
std::string text(const SetGro& a) { return "switch generic receive offload on for " + a.name; }
std::string text(const StopLinkLocal& a) { return "switch link-local addresses off for " + a.name; }
std::string text(const SetUp& a) { return "bring up " + a.name; }
std::string text(const AddAddress& a) { return "add " + text(a.address); }
std::string text(const DeleteAddress& a) { return "delete " + text(a.address); }
std::string text(const AddRoute& a) { return "add " + text(a.route); }
std::string text(const DeleteRoute& a) { return "delete " + text(a.route); }
std::string text(const AddNeighbour& a) { return "add " + text(a.neighbour); }
std::string text(const DeleteNeighbour& a) { return "delete " + text(a.neighbour); }
std::string text(const SetSysctl& a) { return fmt::format("set {} to {}", a.path, a.value); }
std::string text(const SetReservedPorts& a) { return fmt::format("reserve {} published ports", a.ours.size()); }
std::string text(const SetFirewall&) { return "write the firewall table"; }

}  // namespace

std::string to_string(const Action& action) {
  return action.subject + ": " + std::visit([](const auto& operation) { return text(operation); }, action.operation);
}

}  // namespace mesh::vxlan
