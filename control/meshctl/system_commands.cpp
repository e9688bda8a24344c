// meshctl version, info
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/meshctl/calls.h"
#include "control/meshctl/cli.h"
#include "control/meshctl/listing.h"
#include "control/meshctl/status_answer.h"
#include "control/meshctl/template.h"
#include "control/meshctl/version.h"
#include "control/meshctl/wording.h"

namespace mesh::meshctl {
namespace {

struct FormatFlag {
  std::string format;
};

struct VersionAnswer {
  std::string version, api_version, os, arch, kernel_version, git_commit;
};
template <class Visit>
constexpr bool json_fields(const VersionAnswer*, Visit&& visit) {
  using S = VersionAnswer;
  return visit("Version", &S::version) && visit("ApiVersion", &S::api_version) && visit("Os", &S::os) &&
         visit("Arch", &S::arch) && visit("KernelVersion", &S::kernel_version) && visit("GitCommit", &S::git_commit);
}

struct InfoAnswer {
  std::string name, server_version, operating_system, kernel_version, architecture;
  std::int64_t containers_running = 0, images = 0, cpus = 0, memory_bytes = 0;
  std::vector<UplinkAnswer> uplinks;
  std::vector<std::string> warnings;
};
template <class Visit>
constexpr bool json_fields(const InfoAnswer*, Visit&& visit) {
  using S = InfoAnswer;
  return visit("Name", &S::name) && visit("ServerVersion", &S::server_version) &&
         visit("OperatingSystem", &S::operating_system) && visit("KernelVersion", &S::kernel_version) &&
         visit("Architecture", &S::architecture) && visit("ContainersRunning", &S::containers_running) &&
         visit("Images", &S::images) && visit("NCPU", &S::cpus) && visit("MemTotal", &S::memory_bytes) &&
         visit("Uplinks", &S::uplinks) && visit("Warnings", &S::warnings);
}

Status print_formatted(std::string_view format, const Json& value) {
  fmt::print("{}", TRY(render_inspect(format, JsonArray{value})));
  return {};
}

Status version(const Client& client, const FormatFlag& flags) {
  const auto answer = client.get(path("/version"));
  if (!flags.format.empty()) {
    return print_formatted(flags.format,
                           JsonObject{{"Client", JsonObject{{"Version", kVersion}}}, {"Server", TRY(answer)}});
  }
  fmt::print("Client:\n Version:          {}\n", kVersion);
  std::fflush(stdout);
  const auto server = TRY_IN("answer of meshd", decode<VersionAnswer>(TRY(answer)));
  fmt::print(
      "\nServer:\n Version:          {}\n API version:      {}\n OS/Arch:          {}/{}\n Kernel:           {}\n",
      server.version, server.api_version, server.os, server.arch, server.kernel_version);
  return {};
}

void print_swarm(const SwarmInfo& swarm) {
  fmt::print(" Swarm: {}\n", swarm.local_node_state);
  if (swarm.local_node_state == "inactive" || swarm.local_node_state == "locked") return;
  fmt::print("  NodeID: {}\n", swarm.node_id);
  if (!swarm.error.empty()) fmt::print("  Error: {}\n", swarm.error);
  fmt::print("  Is Manager: {}\n", swarm.control_available);
  if (swarm.control_available) fmt::print("  Managers: {}\n  Nodes: {}\n", swarm.managers, swarm.nodes);
  fmt::print("  Node Address: {}\n  Manager Addresses:\n", swarm.node_addr);
  for (const auto& manager : swarm.remote_managers) fmt::print("   {}\n", manager.addr);
}

Status info(const Client& client, const FormatFlag& flags) {
  const Json answer = TRY(client.get(path("/info")));
  if (!flags.format.empty()) return print_formatted(flags.format, answer);
  const auto host = TRY_IN("answer of meshd", decode<InfoAnswer>(answer));
  fmt::print("Server:\n Name: {}\n Server Version: {}\n Containers running: {}\n Images: {}\n", host.name,
             host.server_version, host.containers_running, host.images);
  print_swarm(TRY(swarm_info(client)));
  fmt::print(" Kernel Version: {}\n Operating System: {}\n Architecture: {}\n CPUs: {}\n Total Memory: {}\n",
             host.kernel_version, host.operating_system, host.architecture, host.cpus,
             format_memory(host.memory_bytes));
  if (!host.uplinks.empty()) fmt::print(" Uplinks:\n");
  for (const UplinkAnswer& uplink : host.uplinks) fmt::print("  {}: {}, {}\n", uplink.name, uplink.mode, uplink.why);
  std::fflush(stdout);
  for (const std::string& warning : host.warnings) fmt::print(stderr, "{}\n", warning);
  return {};
}

}  // namespace

void add_system_commands(CLI::App& app, Cli& cli) {
  auto version_flags = std::make_shared<FormatFlag>();
  CLI::App* command = app.add_subcommand("version", "Versions of meshctl and of meshd");
  command->add_option("-f,--format", version_flags->format, "json or a Go template");
  set_action(*command, cli, [version_flags](const Client& client) { return version(client, *version_flags); });

  auto info_flags = std::make_shared<FormatFlag>();
  command = app.add_subcommand("info", "This host and its part in the cluster");
  command->add_option("-f,--format", info_flags->format, "json or a Go template");
  set_action(*command, cli, [info_flags](const Client& client) { return info(client, *info_flags); });
}

}  // namespace mesh::meshctl
