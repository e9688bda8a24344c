#include "control/meshctl/doctor.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "control/meshctl/status_answer.h"
#include "control/model/mesh_options.h"

namespace mesh::meshctl {
namespace {

// The parts of GET /mesh/dataplane/status that are looked at.
struct DoctorHook {
  std::string name;
  bool desired = false, attached = false;
};
template <class Visit>
constexpr bool json_fields(const DoctorHook*, Visit&& visit) {
  using H = DoctorHook;
  return visit("Name", &H::name) && visit("Desired", &H::desired) && visit("Attached", &H::attached);
}

struct DoctorKernel {
  std::vector<UplinkAnswer> uplinks;
  std::vector<DoctorHook> hooks;
  std::vector<std::string> problems, differences;
};
template <class Visit>
constexpr bool json_fields(const DoctorKernel*, Visit&& visit) {
  using K = DoctorKernel;
  return visit("Uplinks", &K::uplinks) && visit("Hooks", &K::hooks) && visit("Problems", &K::problems) &&
         visit("Differences", &K::differences);
}

// The answer of GET /mesh/direct-answers.
struct DirectWay {
  std::string from, as, to;
};
template <class Visit>
constexpr bool json_fields(const DirectWay*, Visit&& visit) {
  return visit("From", &DirectWay::from) && visit("As", &DirectWay::as) && visit("To", &DirectWay::to);
}

struct DirectProbing {
  std::uint64_t hosts = 0, pairs = 0;
  std::vector<DirectWay> dropped, silent;
  std::vector<std::string> errors;
};
template <class Visit>
constexpr bool json_fields(const DirectProbing*, Visit&& visit) {
  using P = DirectProbing;
  return visit("Hosts", &P::hosts) && visit("Pairs", &P::pairs) && visit("Dropped", &P::dropped) &&
         visit("Silent", &P::silent) && visit("Errors", &P::errors);
}

class Findings {
 public:
  void ok(std::string_view text) { line("[ok]", text); }
  void advice(std::string_view text) { line("[advice]", text); }
  void problem(std::string_view text) {
    line("[problem]", text);
    ++found_.problems;
  }
  [[nodiscard]] std::size_t problems() const { return found_.problems; }
  Diagnosis take() { return std::move(found_); }

 private:
  void line(std::string_view kind, std::string_view text) { found_.text += fmt::format("{:<10}{}\n", kind, text); }
  Diagnosis found_;
};

Status look_at_kernel(Findings& findings, const Json& answer) {
  const auto kernel = TRY_IN("data plane", decode<DoctorKernel>(answer));
  for (const UplinkAnswer& uplink : kernel.uplinks) {
    findings.ok(fmt::format("uplink {}: programs run as {}, {}", uplink.name, uplink.mode, uplink.why));
  }
  const std::size_t before = findings.problems();
  for (const std::string& problem : kernel.problems) findings.problem("kernel of this host: " + problem);
  for (const DoctorHook& hook : kernel.hooks) {
    if (hook.desired == hook.attached) continue;
    findings.problem(
        fmt::format("kernel of this host: the program of {} is {}; meshd repairs it within 30 seconds, its "
                    "log says why if it cannot",
                    hook.name, hook.attached ? "attached and should not be" : "not attached"));
  }
  for (const std::string& difference : kernel.differences) {
    findings.problem(
        fmt::format("kernel of this host differs from the tables: {}; meshd repairs it within 30 seconds", difference));
  }
  if (findings.problems() == before) findings.ok("kernel of this host: holds what it should");
  return {};
}

void look_at_nodes(Findings& findings, StatusAnswer& answer) {
  std::ranges::sort(answer.nodes, [](const auto& a, const auto& b) { return natural_less(a.hostname, b.hostname); });
  const std::size_t before = findings.problems();
  for (const StatusNode& node : answer.nodes) {
    if (!node.session) {
      findings.problem(
          fmt::format("{} has no session with the manager and goes on with the tables that it has: is meshd "
                      "running there, and can it reach the manager's cluster port?",
                      node.hostname));
    } else if (!is_current(node, answer.tables)) {
      const std::string held = node.acknowledged ? version_text(*node.acknowledged) : "none";
      findings.problem(
          fmt::format("{} has not acknowledged the newest tables (it holds {}, {} is the newest): ask again; "
                      "if it stays so, see the log of meshd there",
                      node.hostname, held, answer.tables ? version_text(*answer.tables) : "none"));
    }
    if (node.id == answer.swarm.node_id) continue;  // its own kernel said it
    for (const std::string& problem : node.problems) findings.problem(fmt::format("{}: {}", node.hostname, problem));
  }
  for (const std::string& problem : answer.problems) findings.problem(problem);
  if (findings.problems() == before) {
    findings.ok(answer.nodes.size() == 1 ? "1 node: it holds the newest tables"
                                         : fmt::format("{} nodes: all hold the newest tables", answer.nodes.size()));
  }
}

// Names of the services whose answers go directly.
std::vector<std::string> direct_services(std::vector<model::Service> services) {
  std::ranges::sort(services, [](const auto& a, const auto& b) { return natural_less(a.spec.name, b.spec.name); });
  std::vector<std::string> direct;
  for (const model::Service& service : services) {
    const auto options = model::parse_mesh_options(service.spec.labels);
    const bool published = std::ranges::any_of(service.endpoint.ports, model::is_ingress);
    if (options && published && options->return_mode == model::ReturnMode::kDsr) direct.push_back(service.spec.name);
  }
  return direct;
}

// What hosts found out in each other's name. Where no service answers directly, nothing is lost yet.
Status look_at_probes(Findings& findings, const Result<Json>& answer, bool needed) {
  if (!answer) {
    findings.advice("direct answers (mesh.return=dsr) were not probed: " + answer.error().message);
    return {};
  }
  const auto probing = TRY_IN("direct answers", decode<DirectProbing>(*answer));
  for (const std::string& error : probing.errors) findings.advice("direct answers were not probed: " + error);
  for (const auto& [from, as, to] : probing.silent) {
    findings.advice(
        fmt::format("direct answers of {} were not probed: not even its own packets to port 4789/udp of {} "
                    "arrive there; do hosts let them in from each other?",
                    from, to));
  }
  for (const auto& [from, as, to] : probing.dropped) {
    const std::string text = fmt::format(
        "the underlay drops direct answers from {}: its packets with the address of {} do not reach {}; use "
        "--mesh-return tunnel, or switch off what checks source addresses there",
        from, as, to);
    needed ? findings.problem(text) : findings.advice(text);
  }
  if (probing.pairs != 0 && probing.dropped.empty()) {
    findings.ok(fmt::format(
        "direct answers (mesh.return=dsr): the underlay between hosts carries them, {} pairs probed", probing.pairs));
  }
  return {};
}

// The way to clients outside cannot be probed: the packet would have to be seen there.
void advise_on_direct_answers(Findings& findings, const std::vector<std::string>& direct) {
  if (direct.empty()) return;
  findings.advice(
      fmt::format("{} (mesh.return=dsr): a task's host answers clients with the address of the host that they asked. "
                  "An underlay that checks source addresses drops such answers: routers with rp_filter=1 or uRPF, a "
                  "cloud's source/destination check, address checks of a hypervisor's or a switch's port. Where "
                  "connections hang unless the task runs on the host that was asked, switch that check off, or use "
                  "--mesh-return tunnel (rp_filter of the hosts themselves does not matter)",
                  fmt::join(direct, ", ")));
}

}  // namespace

bool may_answer_directly(const Json& status) {
  const auto answer = decode<StatusAnswer>(status);
  return answer && answer->swarm.manager && answer->nodes.size() > 1;
}

Result<Diagnosis> diagnose(const Json& status, const Result<Json>& dataplane,
                           const std::vector<model::Service>& services, const std::optional<Result<Json>>& direct) {
  auto answer = TRY_IN("status", decode<StatusAnswer>(status));
  Findings findings;
  if (answer.swarm.state == "inactive") {
    findings.ok("this host is in no cluster: its kernel holds nothing; 'meshctl swarm init' or 'join' changes that");
    return findings.take();
  }
  if (!answer.swarm.error.empty()) findings.problem("cluster: " + answer.swarm.error);
  if (dataplane) {
    TRY(look_at_kernel(findings, *dataplane));
  } else {
    findings.problem("kernel of this host: " + dataplane.error().message);
  }
  if (answer.swarm.manager) {
    look_at_nodes(findings, answer);
    const std::vector<std::string> answering = direct_services(services);
    if (direct) TRY(look_at_probes(findings, *direct, !answering.empty()));
    advise_on_direct_answers(findings, answering);
  } else if (answer.swarm.session) {
    findings.ok("session with the manager; 'meshctl doctor' there looks at all nodes and at services");
  } else {
    findings.problem(
        "no session with the manager: this host goes on with the tables that it has; is the manager running, "
        "and can its cluster port be reached from here?");
  }
  return findings.take();
}

}  // namespace mesh::meshctl
