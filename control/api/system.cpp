// /_ping, /version, /info: what this meshd is.
#include <algorithm>
#include <array>
#include <sys/utsname.h>

#include <fmt/format.h>

#include "base/file.h"
#include "base/text.h"
#include "control/api/router.h"

namespace mesh::api {
namespace {

utsname kernel() {
  utsname name{};
  ::uname(&name);
  return name;
}

// Docker's /version names processors as Go does.
std::string go_architecture(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

std::string api_version(int minor) { return fmt::format("1.{}", minor); }

// PRETTY_NAME of /etc/os-release.
std::string operating_system() {
  const Result<std::string> text = read_file("/etc/os-release");
  if (!text) return "Linux";
  for (const std::string_view line : split(*text, '\n')) {
    constexpr std::string_view kKey = "PRETTY_NAME=";
    if (!line.starts_with(kKey)) continue;
    std::string_view value = line.substr(kKey.size());
    if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return "Linux";
}

bool kernel_says_yes(const std::string& path) {
  const Result<std::string> text = read_file(path, 16);
  return text && trim(*text) == "1";
}

Result<Response> ping(Context& context, const Request&) {
  Response response = text_response("OK");
  response.headers["Cache-Control"] = "no-cache, no-store, must-revalidate";
  response.headers["Pragma"] = "no-cache";
  const SwarmInfo swarm = context.swarm.info();
  std::string state(std::string_view(encode(swarm.state).as_string()));
  if (swarm.state == SwarmState::kActive) state += context.swarm.manager() != nullptr ? "/manager" : "/worker";
  response.headers["Swarm"] = state;
  return response;
}

Result<Response> version(Context& context, const Request&) {
  const utsname host = kernel();
  const JsonObject details{{"ApiVersion", api_version(kApiVersionMax)},
                           {"MinAPIVersion", api_version(kApiVersionMin)},
                           {"Arch", go_architecture(host.machine)},
                           {"BuildTime", context.engine.build_time},
                           {"GitCommit", context.engine.git_commit},
                           {"Experimental", "false"},
                           {"KernelVersion", host.release},
                           {"Os", "linux"}};
  JsonObject body = details;
  body["Platform"] = JsonObject{{"Name", "meshd"}};
  body["Components"] =
      JsonArray{JsonObject{{"Name", "Engine"}, {"Version", context.engine.version}, {"Details", details}}};
  body["Experimental"] = false;
  body["Version"] = context.engine.version;
  body["GoVersion"] = "";  // the CLI prints the key
  return json_response(body);
}

JsonObject swarm_part(Context& context) {
  const SwarmInfo info = context.swarm.info();
  manager::Manager* manager = context.swarm.manager();
  JsonObject swarm{{"NodeID", info.node_id},
                   {"NodeAddr", info.node_addr},
                   {"LocalNodeState", encode(info.state)},
                   {"ControlAvailable", manager != nullptr},
                   {"Error", info.error},
                   {"RemoteManagers", info.managers.empty() ? Json(nullptr) : encode(info.managers)}};
  if (manager == nullptr || manager->view().cluster() == nullptr) return swarm;
  const auto& nodes = manager->view().nodes();
  swarm["Nodes"] = nodes.size();
  swarm["Managers"] = std::ranges::count_if(
      nodes, [](const auto& entry) { return entry.second->spec.role == model::NodeRole::kManager; });
  Json cluster = to_api(*manager->view().cluster());
  cluster.as_object().erase("JoinTokens");
  swarm["Cluster"] = std::move(cluster);
  return swarm;
}

Json plugin_names(const model::NodeDescription& host, std::string_view type) {
  JsonArray names;
  for (const model::EnginePlugin& plugin : host.engine.plugins) {
    if (plugin.type == type) names.emplace_back(plugin.name);
  }
  return names;
}

Json warnings_of(const LimitSupport& limits) {
  JsonArray warnings;
  for (const std::string& warning : limit_warnings(limits)) warnings.emplace_back("WARNING: " + warning);
  return warnings.empty() ? Json(nullptr) : Json(std::move(warnings));
}

Result<Response> info(Context& context, const Request&) {
  const model::NodeDescription host = context.description();
  const ContainerCounts containers = context.node.container_counts();
  const LimitSupport limits = context.node.limits();
  const utsname name = kernel();
  JsonObject body{{"ID", context.swarm.info().node_id},
                  {"Name", host.hostname},
                  {"ServerVersion", context.engine.version},
                  {"Containers", containers.running + containers.paused + containers.stopped},
                  {"ContainersRunning", containers.running},
                  {"ContainersPaused", containers.paused},
                  {"ContainersStopped", containers.stopped},
                  {"Images", context.node.images().size()},
                  {"Driver", "overlayfs"},
                  {"DriverStatus", nullptr},
                  {"DockerRootDir", context.engine.data_dir},
                  {"Plugins", JsonObject{{"Volume", plugin_names(host, "Volume")},
                                         {"Network", plugin_names(host, "Network")},
                                         {"Authorization", nullptr},
                                         {"Log", plugin_names(host, "Log")}}},
                  {"MemoryLimit", limits.memory},
                  {"SwapLimit", false},  // kernels have it, services of ours do not use it yet
                  {"OomKillDisable", false},
                  {"CpuCfsPeriod", limits.cpu},
                  {"CpuCfsQuota", limits.cpu},
                  {"CPUShares", limits.cpu},
                  {"CPUSet", true},
                  {"PidsLimit", limits.pids},
                  {"IPv4Forwarding", true},
                  {"BridgeNfIptables", kernel_says_yes("/proc/sys/net/bridge/bridge-nf-call-iptables")},
                  {"BridgeNfIp6tables", kernel_says_yes("/proc/sys/net/bridge/bridge-nf-call-ip6tables")},
                  {"NCPU", host.resources.nano_cpus / 1'000'000'000},
                  {"MemTotal", host.resources.memory_bytes},
                  {"OperatingSystem", operating_system()},
                  {"OSType", "linux"},
                  {"Architecture", host.platform.architecture},
                  {"KernelVersion", name.release},
                  {"SystemTime", format_time(context.now())},
                  {"LoggingDriver", "k8s-file"},
                  {"CgroupDriver", "cgroupfs"},
                  {"CgroupVersion", read_file("/sys/fs/cgroup/cgroup.controllers") ? "2" : "1"},
                  {"Labels", JsonArray{}},
                  {"ExperimentalBuild", false},
                  {"LiveRestoreEnabled", true},
                  {"SecurityOptions", JsonArray{"name=seccomp,profile=default"}},
                  {"Uplinks", encode(context.node.uplinks())},  // not docker's
                  {"Warnings", warnings_of(limits)}};
  for (const auto& [key, value] : host.engine.labels) body["Labels"].as_array().emplace_back(key + "=" + value);
  body["Swarm"] = swarm_part(context);
  return json_response(body);
}

constexpr std::array kRoutes{
    Route{"GET", "/_ping", &ping},
    Route{"GET", "/version", &version},
    Route{"GET", "/info", &info},
};

}  // namespace

std::span<const Route> system_routes() { return kRoutes; }

}  // namespace mesh::api
