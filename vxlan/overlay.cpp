#include "vxlan/overlay.h"

#include <algorithm>
#include <map>
#include <net/if.h>
#include <set>

#include <fmt/format.h>
#include <linux/neighbour.h>

#include "base/file.h"
#include "vxlan/apply.h"
#include "vxlan/firewall.h"
#include "vxlan/netns.h"
#include "vxlan/notes.h"
#include "vxlan/observe.h"
#include "vxlan/plan.h"
#include "vxlan/wanted.h"

namespace mesh::vxlan {

namespace {

bool same(const Gateway& a, const Gateway& b) { return a.gateway_v4 == b.gateway_v4 && a.gateway_v6 == b.gateway_v6; }

std::string netns_directory(const std::string& run_dir) { return run_dir + "/netns"; }

// Paths of the task namespaces that exist.
std::vector<std::string> existing_namespaces(const std::string& run_dir) {
  std::vector<std::string> paths;
  const Result<std::vector<std::string>> names = list_directory(netns_directory(run_dir));
  if (!names) return paths;
  for (const std::string& name : *names) {
    std::string path = netns_directory(run_dir);
    path.append("/").append(name);
    if (is_netns(path)) paths.push_back(std::move(path));
  }
  return paths;
}

Status remove_our_links(NetlinkSocket& socket) {
  const NamespaceState host = TRY(observe_namespace(socket, false, false));
  for (const auto& [name, link] : host.links) {
    if (if_nametoindex(name.c_str()) == 0) continue;  // went with its peer
    Message message(RTM_DELLINK, 0);
    message.header<ifinfomsg>().ifi_index = static_cast<int>(link.ifindex);
    TRY(socket.request(message, "delete interface " + name));
  }
  return {};
}

// Entries that resolve() asked the kernel to keep.
Status remove_our_neighbours(NetlinkSocket& socket) {
  struct Entry {
    int ifindex;
    std::uint8_t family;
    IpAddress address;
  };
  std::vector<Entry> ours;
  Message list(RTM_GETNEIGH, NLM_F_DUMP);
  list.header<ndmsg>();
  TRY(socket.query(list, "list neighbours", [&](const nlmsghdr* message) {
    const auto* info = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(message));
    const Attributes attributes(message, sizeof(ndmsg));
    if (attributes.u8(NDA_PROTOCOL) == kRouteProtocol) {
      ours.push_back({info->ndm_ifindex, info->ndm_family, attributes.address(NDA_DST)});
    }
  }));
  for (const Entry& entry : ours) {
    Message message(RTM_DELNEIGH, 0);
    auto& header = message.header<ndmsg>();
    header.ndm_family = entry.family;
    header.ndm_ifindex = entry.ifindex;
    message.put(NDA_DST, entry.address);
    const Status status = socket.request(message, "delete neighbour " + entry.address.to_string());
    if (!status && status.error().kind != ErrorKind::kNotFound) return status;
  }
  return {};
}

// A value that someone changed since is left alone.
Status restore_sysctls(Notes& notes) {
  for (const Note& note : notes.sysctls()) {
    const auto now = read_sysctls({note.path});
    if (!now.contains(note.path) || now.at(note.path) != note.ours) continue;
    TRY(write_kernel_file("/proc/sys/" + note.path, note.before));
  }
  if (!notes.reserved_ports().empty()) {
    const auto now = read_sysctls({kReservedPortsPath});
    if (now.contains(kReservedPortsPath)) {
      std::set<std::uint16_t> left = parse_ports(now.at(kReservedPortsPath));
      for (const std::uint16_t port : notes.reserved_ports()) left.erase(port);
      TRY(write_kernel_file(std::string("/proc/sys/") + kReservedPortsPath, format_ports(left) + "\n"));
    }
  }
  return notes.remove();
}

}  // namespace

struct Overlay::State {
  Options options;
  Notes notes;
  bool ipv6 = true;

  // Task links found complete, as they were desired then.
  struct Complete {
    TaskLink link;
    LinkState state;
  };
  std::map<std::string, Complete> complete;
  std::optional<Gateway> gateway;    // of the last pass
  std::optional<Firewall> firewall;  // in the kernel, as far as this object knows

  [[nodiscard]] bool trusted(const TaskLink& link) const {
    const auto known = complete.find(link.task_id);
    return known != complete.end() && known->second.link == link;
  }
  Result<Observed> observe(const Desired& desired, Pass pass, const Firewall& wanted);
  Result<Report> report(const Desired& desired, const std::vector<Problem>& problems,
                        const std::set<std::string>& touched);
};

Overlay::Overlay(std::unique_ptr<State> state) : state_(std::move(state)) {}
Overlay::Overlay(Overlay&&) noexcept = default;
Overlay& Overlay::operator=(Overlay&&) noexcept = default;
Overlay::~Overlay() = default;

Result<Overlay> Overlay::open(Options options) {
  TRY(make_directories(options.run_dir));
  auto state = std::make_unique<State>();
  state->notes = TRY(Notes::load(options.run_dir));
  state->ipv6 = has_ipv6();
  state->options = std::move(options);
  return Overlay(std::move(state));
}

Result<Observed> Overlay::State::observe(const Desired& desired, Pass pass, const Firewall& wanted) {
  Observed observed;
  observed.ipv6 = ipv6;
  NetlinkSocket socket = TRY(NetlinkSocket::open());
  observed.host = TRY(observe_namespace(socket, false, ipv6));
  observed.host.sysctls = read_sysctls({"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"});
  // Once the host forwards, advertisements are ignored already where it matters.
  const auto forwarding = observed.host.sysctls.find("net/ipv6/conf/all/forwarding");
  if (forwarding != observed.host.sysctls.end() && forwarding->second == "0") {
    observed.accept_ra_interfaces = accept_ra_interfaces();
  }
  const auto ports = read_sysctls({kReservedPortsPath});
  if (ports.contains(kReservedPortsPath)) observed.reserved_ports = parse_ports(ports.at(kReservedPortsPath));
  std::ranges::set_intersection(observed.reserved_ports, notes.reserved_ports(),
                                std::inserter(observed.reserved_by_us, observed.reserved_by_us.end()));
  const bool same_gateway = gateway && desired.gateway && same(*gateway, *desired.gateway);
  for (const std::string& path : existing_namespaces(options.run_dir)) {
    const auto link = std::ranges::find(desired.links, path, &TaskLink::netns_path);
    const bool trust = pass == Pass::kDirty && same_gateway && link != desired.links.end() && trusted(*link);
    if (link == desired.links.end()) {
      observed.namespaces[path] = {};  // to be deleted, whatever is in it
    } else if (trust) {
      NamespaceState inside = wanted_task(*desired.gateway, *link, ipv6);
      Link& eth0 = inside.links[kTaskInterface];
      const auto outer = observed.host.links.find(link->host_name);
      if (outer != observed.host.links.end()) {
        eth0.ifindex = outer->second.peer_ifindex;
        eth0.peer_ifindex = outer->second.ifindex;
      }
      observed.namespaces[path] = std::move(inside);
    } else {
      observed.namespaces[path] = TRY(observe_task(path, ipv6));
    }
  }
  observed.firewall_known = pass == Pass::kFull || !firewall || firewall->ruleset != wanted.ruleset;
  if (observed.firewall_known && desired.gateway) {
    // Without the program the other parts still work; writing the table will say what is missing.
    if (Result<std::optional<FirewallState>> state = observe_firewall()) observed.firewall = *state;
  }
  return observed;
}

// `touched`: subjects with actions in this pass, whose interface or namespace may be new.
Result<Report> Overlay::State::report(const Desired& desired, const std::vector<Problem>& problems,
                                      const std::set<std::string>& touched) {
  Report result;
  result.problems = problems;
  result.mesh_ifindex = if_nametoindex(kMeshInterface);
  result.mesh_peer_ifindex = if_nametoindex(kMeshPeerInterface);
  for (const TaskLink& link : desired.links) {
    const std::string subject = "task " + link.task_id;
    if (std::ranges::any_of(problems, [&](const Problem& p) { return p.subject == subject; })) {
      complete.erase(link.task_id);
      continue;
    }
    const auto known = complete.find(link.task_id);
    if (known == complete.end() || touched.contains(subject)) {
      LinkState state{.ifindex = if_nametoindex(link.host_name.c_str())};
      const Status status = in_netns(link.netns_path, [&]() -> Status {
        state.netns_cookie = TRY(netns_cookie());
        return {};
      });
      if (!status || state.ifindex == 0) {
        result.problems.push_back({subject, status ? link.host_name + " went away meanwhile" : status.error().message});
        complete.erase(link.task_id);
        continue;
      }
      complete[link.task_id] = {link, state};
    } else {
      known->second.link = link;
    }
    result.links[link.task_id] = complete[link.task_id].state;
  }
  std::erase_if(complete, [&](const auto& entry) { return !result.links.contains(entry.first); });
  return result;
}

Result<Report> Overlay::reconcile(const Desired& desired, Pass pass) {
  const Firewall firewall = make_firewall(desired);
  const Observed observed = TRY(state_->observe(desired, pass, firewall));
  const std::vector<Action> actions = plan(desired, observed);
  const Applied applied = apply(actions, state_->notes);

  std::vector<Problem> problems;
  for (const Refusal& refusal : refusals(desired)) problems.push_back({refusal.subject, refusal.message});
  problems.insert(problems.end(), applied.problems.begin(), applied.problems.end());
  std::set<std::string> touched;
  for (const Action& action : actions) touched.insert(action.subject);

  state_->gateway = desired.gateway;
  const bool firewall_failed =
      std::ranges::any_of(applied.problems, [](const Problem& p) { return p.subject == "firewall"; });
  if (firewall_failed || !desired.gateway) {
    state_->firewall.reset();
  } else {
    state_->firewall = firewall;
  }
  Report report = TRY(state_->report(desired, problems, touched));
  report.actions = applied.actions;
  return report;
}

Result<std::vector<std::string>> Overlay::differences(const Desired& desired) const {
  const Observed observed = TRY(state_->observe(desired, Pass::kFull, make_firewall(desired)));
  std::vector<std::string> texts;
  for (const Action& action : plan(desired, observed)) texts.push_back(to_string(action));
  return texts;
}

Status Overlay::cleanup(const Options& options) {
  std::string problems;
  const auto note = [&](const Status& status) {
    if (!status) problems.append(problems.empty() ? "" : "; ").append(status.error().message);
  };
  if (Result<NetlinkSocket> socket = NetlinkSocket::open()) {
    note(remove_our_links(*socket));
    note(remove_our_neighbours(*socket));
  } else {
    note(std::unexpected(socket.error()));
  }
  for (const std::string& path : existing_namespaces(options.run_dir)) note(delete_netns(path));
  note(remove_tree(netns_directory(options.run_dir)));
  const Result<std::optional<FirewallState>> firewall = observe_firewall();
  // Without nft there is no table of ours.
  if (firewall && firewall->has_value()) note(delete_firewall());
  Result<Notes> notes = Notes::load(options.run_dir);
  note(notes ? restore_sysctls(*notes) : std::unexpected(notes.error()));
  if (problems.empty()) return {};
  return fail(ErrorKind::kInternal, "cleanup: " + problems);
}

std::string host_interface_name(const std::string& task_id) {
  std::uint32_t hash = 0x811c9dc5U;  // FNV-1a, 32 bit
  for (const char c : task_id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193U;
  return fmt::format("mv{:08x}", hash);
}

std::string netns_path(const Options& options, const std::string& task_id) {
  return netns_directory(options.run_dir) + "/" + task_id;
}

}  // namespace mesh::vxlan
