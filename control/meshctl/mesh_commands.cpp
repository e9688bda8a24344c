// meshctl publish, unpublish, status, doctor, dataplane, trace: what docker has no command for.
#include <algorithm>
#include <cstdio>
#include <map>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/meshctl/calls.h"
#include "control/meshctl/cli.h"
#include "control/meshctl/doctor.h"
#include "control/meshctl/listing.h"
#include "control/meshctl/parse.h"
#include "control/meshctl/publish_options.h"
#include "control/meshctl/report.h"
#include "control/meshctl/service_flags.h"
#include "control/meshctl/status.h"
#include "control/meshctl/trace.h"
#include "control/meshctl/wait_notice.h"

namespace mesh::meshctl {
namespace {

constexpr std::string_view kWaitDefault = "30s";
constexpr auto kPollPeriod = std::chrono::milliseconds(100);
// Another change of the same service came between reading and writing: read again, a few times.
constexpr int kAttemptsMax = 5;

struct PublishFlags {
  std::string port, service, timeout{kWaitDefault};
  PublishOptions options;
  bool detach = false;
};

struct StatusFlags {
  std::string format;
};

struct DataplaneFlags {
  std::string format;
};

struct ReadyAnswer {
  std::uint64_t hosts = 0;
  std::map<std::string, std::uint64_t> answering;  // hosts, by port: "8010/tcp"
  std::vector<std::string> no_session, problems;
};
template <class Visit>
constexpr bool json_fields(const ReadyAnswer*, Visit&& visit) {
  using R = ReadyAnswer;
  return visit("Hosts", &R::hosts) && visit("Answering", &R::answering) && visit("NoSession", &R::no_session) &&
         visit("Problems", &R::problems);
}

using Change = std::function<Status(model::ServiceSpec&)>;

// Changes the service's spec with optimistic locking; the service as it was.
Result<model::Service> change_service(const Client& client, const std::string& name, const Change& change) {
  for (int attempt = 1;; ++attempt) {
    auto service = TRY(get_service(client, name));
    auto spec = service.spec;
    TRY(change(spec));
    if (spec == service.spec) return service;
    const Status updated = update_service(client, service, spec);
    if (updated) return service;
    const bool outdated = updated.error().message.find("out of sequence") != std::string::npos;
    if (!outdated || attempt == kAttemptsMax) return std::unexpected(updated.error());
  }
}

std::string port_text(const model::PortConfig& port) { return model::port_name(model::published_port(port)); }

std::string hosts_text(const ReadyAnswer& ready, const std::string& port) {
  const auto found = ready.answering.find(port);
  const std::uint64_t hosts = found == ready.answering.end() ? ready.hosts : found->second;
  return hosts == 1 ? "1 host answers" : fmt::format("{} hosts answer", hosts);
}

// Waits until every host with a session has the port. Those without are named on standard error.
Result<ReadyAnswer> wait_published(const Client& client, const std::string& id, const std::string& timeout) {
  const auto target = path("/mesh/services/" + id + "/ready?timeout=" + api::encode_query(timeout));
  const Json answer = TRY_IN("published, but not answering everywhere yet", client.get(target));
  auto ready = TRY(decode<ReadyAnswer>(answer));
  if (!ready.problems.empty()) {
    return fail(ErrorKind::kConflict,
                fmt::format("published, but not on every host: {}", fmt::join(ready.problems, "; ")));
  }
  if (!ready.no_session.empty()) {
    fmt::print(stderr, "no session with {}: what has none answers once it is back\n",
               fmt::join(ready.no_session, ", "));
  }
  return ready;
}

Status publish(const Client& client, const PublishFlags& flags) {
  const auto wanted_ports = TRY(parse_publish(flags.port)).ports;
  TRY(parse_duration(flags.timeout));
  const WaitNotice notice(flags.detach ? "the hosts to agree to the port" : "every host to answer on the port");
  const auto service = TRY(change_service(client, flags.service, [&](model::ServiceSpec& spec) -> Status {
    return publish_ports(spec, "publish", {flags.port}, flags.options);
  }));
  std::optional<ReadyAnswer> ready;
  if (!flags.detach) ready = TRY(wait_published(client, service.id, flags.timeout));
  // The port may have been left to the cluster.
  const auto now = TRY(get_service(client, service.id));
  for (const auto& wanted : wanted_ports) {
    const auto same = [&](const model::PortConfig& port) {
      return port.target_port == wanted.target_port && model::protocol_of(port) == model::protocol_of(wanted) &&
             (wanted.published_port == 0 || port.published_port == wanted.published_port);
    };
    const auto found = std::ranges::find_if(now.endpoint.ports, same);
    const std::string port = port_text(found == now.endpoint.ports.end() ? wanted : *found);
    fmt::print("{} published{}\n", port,
               !ready ? ""
                      : fmt::format(": {} for {} (port {} of its tasks)", hosts_text(*ready, port), now.spec.name,
                                    wanted.target_port));
  }
  return {};
}

// Waits until every kernel holds tables that were made after the port had gone from the service.
Status wait_unpublished(const Client& client, const std::string& id, const model::PortConfig& port, Duration timeout) {
  const auto is_port = [&](const model::PortConfig& other) {
    return other.published_port == port.published_port && model::protocol_of(other) == model::protocol_of(port);
  };
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto service = TRY(get_service(client, id));
    std::vector<std::string> behind{"the manager"};
    if (std::ranges::none_of(service.endpoint.ports, is_port)) {
      behind = TRY(nodes_behind(TRY(client.get(path("/mesh/status")))));
    }
    if (behind.empty()) return {};
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorKind::kTimeout, fmt::format("{} is unpublished, but still in the tables of {}", port_text(port),
                                                   fmt::join(behind, ", ")));
    }
    std::this_thread::sleep_for(kPollPeriod);
  }
}

Status unpublish(const Client& client, const PublishFlags& flags) {
  const auto port = TRY(parse_published(flags.port));
  const WaitNotice notice("every host to give the port back");
  const auto service = TRY(change_service(client, flags.service, [&](model::ServiceSpec& spec) -> Status {
    const auto is_port = [&](const model::PortConfig& other) {
      return other.published_port == port.published_port && model::protocol_of(other) == model::protocol_of(port);
    };
    if (withdraw_ports(spec, is_port) == 0) {
      return fail(ErrorKind::kNotFound,
                  fmt::format("service {} does not publish {}; 'meshctl service ls' shows what is", flags.service,
                              port_text(port)));
    }
    return {};
  }));
  if (!flags.detach) TRY(wait_unpublished(client, service.id, port, TRY(parse_duration(flags.timeout))));
  fmt::print("{} unpublished\n", port_text(port));
  return {};
}

Status status(const Client& client, const StatusFlags& flags) {
  const Json answer = TRY(client.get(path("/mesh/status")));
  if (!flags.format.empty()) {
    fmt::print("{}", TRY(render_inspect(flags.format, JsonArray{answer})));
    return {};
  }
  std::vector<model::Service> services;
  // Only a manager knows them.
  if (auto listed = list_services(client); listed) services = std::move(*listed);
  fmt::print("{}", TRY(render_status(answer, services)));
  return {};
}

Status doctor(const Client& client) {
  const Json answer = TRY(client.get(path("/mesh/status")));
  const auto kernel = client.get(path("/mesh/dataplane/status"));
  std::vector<model::Service> services;
  // Only a manager knows them.
  if (auto listed = list_services(client); listed) services = std::move(*listed);
  std::optional<Result<Json>> direct;
  if (may_answer_directly(answer)) direct = client.get(path("/mesh/direct-answers"));
  const Diagnosis found = TRY(diagnose(answer, kernel, services, direct));
  fmt::print("{}", found.text);
  if (found.problems == 0) return {};
  return fail(ErrorKind::kConflict, found.problems == 1 ? "1 problem" : fmt::format("{} problems", found.problems));
}

Status dataplane(const Client& client, const std::string& part, const DataplaneFlags& flags) {
  const Json answer = TRY(client.get(path("/mesh/dataplane/" + part)));
  if (flags.format.empty()) {
    fmt::print("{}", render_report(answer));
    return {};
  }
  fmt::print("{}", TRY(render_inspect(flags.format, JsonArray{answer})));
  return {};
}

CLI::App* add_publish(CLI::App& app, Cli& cli, const std::string& name, const std::string& what,
                      const std::string& port, const std::string& such_as, const std::shared_ptr<PublishFlags>& flags,
                      Status (*action)(const Client&, const PublishFlags&)) {
  CLI::App* command = app.add_subcommand(name, what);
  command->add_option(port, flags->port, such_as)->required();
  command->add_option("SERVICE", flags->service, "name or id")->required();
  command->add_flag("-d,--detach", flags->detach, "do not wait until every host has acknowledged");
  command->add_option("--timeout", flags->timeout, "how long to wait")->capture_default_str();
  set_action(*command, cli, [flags, action](const Client& client) { return action(client, *flags); });
  return command;
}

}  // namespace

void add_mesh_commands(CLI::App& app, Cli& cli) {
  auto published = std::make_shared<PublishFlags>();
  CLI::App* command = add_publish(
      app, cli, "publish", "Publish a port of a service, on every host unless told where; replaces no task",
      "PORT:TARGET",
      "such as 8010:80, 53:53/udp, 10.0.0.5:8010:80 for one address of a host, or eth1:8010:80 for an uplink",
      published, &publish);
  add_list(*command, "--allow", published->options.allow,
           "only these clients, such as 192.0.2.0/24; may be repeated; '': everybody");
  add_list(*command, "--on", published->options.on,
           "only nodes that meet it, such as node.labels.edge==true; may be repeated; '': every node");
  add_publish(app, cli, "unpublish", "Withdraw a published port and its options; replaces no task", "PORT",
              "such as 8010 or 53/udp", std::make_shared<PublishFlags>(), &unpublish);

  auto shown = std::make_shared<StatusFlags>();
  command = app.add_subcommand("status", "The cluster at a glance: nodes, tables in their kernels, services");
  command->add_option("-f,--format", shown->format, "json or a Go template");
  set_action(*command, cli, [shown](const Client& client) { return status(client, *shown); });

  command = app.add_subcommand("doctor", "What is wrong here, and what to try; status 1 if something is");
  set_action(*command, cli, doctor);

  add_trace(app, cli);

  CLI::App* group = add_group(app, "dataplane", "What this host's kernel really holds, next to what it should");
  for (const auto& [part, what] :
       {std::pair{"status", "Programs, uplinks, versions"},
        std::pair{"services", "Published ports and virtual addresses"}, std::pair{"backends", "Where their packets go"},
        std::pair{"flows", "Flow records of this host's tasks"}, std::pair{"drops", "Dropped packets by reason"}}) {
    auto flags = std::make_shared<DataplaneFlags>();
    command = group->add_subcommand(part, what);
    command->add_option("-f,--format", flags->format, "json or a Go template");
    set_action(*command, cli,
               [flags, name = std::string(part)](const Client& client) { return dataplane(client, name, *flags); });
  }
}

}  // namespace mesh::meshctl
