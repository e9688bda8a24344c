#include "control/agent/oci_spec.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace mesh::agent {
namespace {

constexpr std::int64_t kCpuPeriodMicroseconds = 100'000;  // the kernel's default period, and Docker's
constexpr std::int64_t kSharedMemoryBytes = 64 << 20;     // Docker's /dev/shm
constexpr const char* kInitInContainer = "/sbin/docker-init";
constexpr const char* kResolver = "127.0.0.11";  // where docker's containers look for names

template <class... T>
JsonArray texts(const T&... text) {
  return JsonArray{Json(boost::json::string_view(text))...};
}

JsonObject mount(std::string_view target, std::string_view type, std::string_view source, JsonArray options) {
  JsonObject entry;
  entry["destination"] = target;
  entry["type"] = type;
  entry["source"] = source;
  entry["options"] = std::move(options);
  return entry;
}

// As the Docker engine sets them up (moby, oci/defaults.go).
JsonArray make_mounts(const ContainerConfig& config, const ContainerPlaces& places) {
  JsonArray mounts;
  const std::string shm_size = fmt::format("size={}", kSharedMemoryBytes);
  mounts.emplace_back(mount("/proc", "proc", "proc", texts("nosuid", "noexec", "nodev")));
  mounts.emplace_back(mount("/dev", "tmpfs", "tmpfs", texts("nosuid", "strictatime", "mode=755", "size=65536k")));
  mounts.emplace_back(mount("/dev/pts", "devpts", "devpts",
                            texts("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")));
  mounts.emplace_back(mount("/sys", "sysfs", "sysfs", texts("nosuid", "noexec", "nodev", "ro")));
  mounts.emplace_back(mount("/sys/fs/cgroup", "cgroup", "cgroup", texts("ro", "nosuid", "noexec", "nodev")));
  mounts.emplace_back(mount("/dev/mqueue", "mqueue", "mqueue", texts("nosuid", "noexec", "nodev")));
  mounts.emplace_back(mount("/dev/shm", "tmpfs", "shm", texts("nosuid", "noexec", "nodev", "mode=1777", shm_size)));
  for (const char* name : {"resolv.conf", "hostname", "hosts"}) {
    mounts.emplace_back(
        mount(fmt::format("/etc/{}", name), "bind", places.directory + "/" + name, texts("rbind", "rprivate")));
  }
  if (config.init) mounts.emplace_back(mount(kInitInContainer, "bind", places.init_path, texts("bind", "ro")));
  // Shorter targets first, so that a mount inside another stays visible.
  std::vector<ContainerMount> sorted = config.mounts;
  std::ranges::sort(sorted, {}, [](const ContainerMount& one) { return std::pair(one.target.size(), one.target); });
  for (const ContainerMount& one : sorted) {
    JsonArray options;
    for (const std::string& option : one.options) options.emplace_back(option);
    mounts.emplace_back(mount(one.target, one.type, one.source, std::move(options)));
  }
  return mounts;
}

JsonObject make_process(const ContainerConfig& config, const ContainerUser& user) {
  JsonObject process;
  process["terminal"] = config.tty;
  JsonObject identity;
  identity["uid"] = user.uid;
  identity["gid"] = user.gid;
  if (!user.additional_gids.empty()) identity["additionalGids"] = encode(user.additional_gids);
  process["user"] = std::move(identity);
  JsonArray args;
  if (config.init) args = texts(kInitInContainer, "--");
  for (const std::string& arg : config.argv) args.emplace_back(arg);
  process["args"] = std::move(args);
  std::vector<std::string> env = config.env;
  if (std::ranges::none_of(env, [](const std::string& entry) { return entry.starts_with("HOME="); })) {
    env.push_back("HOME=" + user.home);
  }
  process["env"] = encode(env);
  process["cwd"] = config.cwd;
  JsonObject capabilities;
  for (const char* set : {"bounding", "effective", "permitted"}) capabilities[set] = encode(config.capabilities);
  process["capabilities"] = std::move(capabilities);
  JsonArray rlimits;
  for (const model::Ulimit& limit : config.ulimits) {
    JsonObject entry;
    std::string name = limit.name;
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    entry["type"] = "RLIMIT_" + name;
    entry["hard"] = static_cast<std::uint64_t>(limit.hard);
    entry["soft"] = static_cast<std::uint64_t>(limit.soft);
    rlimits.emplace_back(std::move(entry));
  }
  if (!rlimits.empty()) process["rlimits"] = std::move(rlimits);
  process["noNewPrivileges"] = false;
  // Set even when 0: the monitor protects itself from the OOM killer, its child must not inherit that.
  process["oomScoreAdj"] = config.oom_score_adj;
  return process;
}

JsonObject device_rule(bool allow, const char* type, std::optional<std::int64_t> major,
                       std::optional<std::int64_t> minor, const char* access) {
  JsonObject rule;
  rule["allow"] = allow;
  if (type != nullptr) rule["type"] = type;
  if (major) rule["major"] = *major;
  if (minor) rule["minor"] = *minor;
  rule["access"] = access;
  return rule;
}

// Docker's list: everything denied; making nodes allowed; then null zero full random urandom, tty console, ptmx and
// pts.
JsonArray make_device_rules() {
  struct Row {
    std::int64_t major;
    std::optional<std::int64_t> minor;
  };
  static constexpr std::array kRows = {
      Row{1, 3}, Row{1, 5}, Row{1, 7}, Row{1, 8}, Row{1, 9}, Row{5, 0}, Row{5, 1}, Row{5, 2}, Row{136, std::nullopt}};
  JsonArray rules;
  rules.emplace_back(device_rule(false, nullptr, std::nullopt, std::nullopt, "rwm"));
  rules.emplace_back(device_rule(true, "c", std::nullopt, std::nullopt, "m"));
  rules.emplace_back(device_rule(true, "b", std::nullopt, std::nullopt, "m"));
  for (const Row& row : kRows) rules.emplace_back(device_rule(true, "c", row.major, row.minor, "rwm"));
  return rules;
}

JsonObject make_resources(const ContainerConfig& config) {
  JsonObject resources;
  resources["devices"] = make_device_rules();
  if (config.nano_cpus > 0) {
    JsonObject cpu;
    cpu["period"] = kCpuPeriodMicroseconds;
    // 1e9 nano CPUs are one period's worth; the kernel takes no quota below 1 ms.
    cpu["quota"] = std::max<std::int64_t>(config.nano_cpus / (1'000'000'000 / kCpuPeriodMicroseconds), 1000);
    resources["cpu"] = std::move(cpu);
  }
  if (config.memory_bytes > 0) {
    JsonObject memory;
    memory["limit"] = config.memory_bytes;
    resources["memory"] = std::move(memory);
  }
  if (config.pids > 0) {
    JsonObject pids;
    pids["limit"] = config.pids;
    resources["pids"] = std::move(pids);
  }
  return resources;
}

JsonArray make_namespaces(const ContainerPlaces& places) {
  JsonArray namespaces;
  for (const char* type : {"pid", "ipc", "uts", "mount"}) {
    JsonObject entry;
    entry["type"] = type;
    namespaces.emplace_back(std::move(entry));
  }
  JsonObject network;
  network["type"] = "network";
  if (!places.netns_path.empty()) network["path"] = places.netns_path;
  namespaces.emplace_back(std::move(network));
  if (places.cgroup_namespace) {
    JsonObject entry;
    entry["type"] = "cgroup";
    namespaces.emplace_back(std::move(entry));
  }
  return namespaces;
}

}  // namespace

Json make_oci_spec(const ContainerConfig& config, const ContainerUser& user, const Json& seccomp,
                   const ContainerPlaces& places) {
  JsonObject root;
  root["path"] = places.rootfs();
  root["readonly"] = config.read_only;

  JsonObject os;
  os["cgroupsPath"] = places.cgroup_path;
  os["namespaces"] = make_namespaces(places);
  os["resources"] = make_resources(config);
  os["sysctl"] = encode(config.sysctls);
  os["maskedPaths"] =
      texts("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap");
  os["readonlyPaths"] = texts("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger");
  os["rootfsPropagation"] = "private";
  if (!seccomp.is_null()) os["seccomp"] = seccomp;

  JsonObject spec;
  spec["ociVersion"] = "1.0.2";
  spec["process"] = make_process(config, user);
  spec["root"] = std::move(root);
  spec["hostname"] = config.hostname;
  spec["mounts"] = make_mounts(config, places);
  spec["linux"] = std::move(os);
  return Json(std::move(spec));
}

std::string make_hosts_file(const ContainerConfig& config) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "ff00::0\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const std::string& line : config.hosts) text += line + "\n";
  for (const IpAddress& address : {config.ingress_v4, config.ingress_v6}) {
    if (!address.is_unset()) text += fmt::format("{}\t{}\n", address.to_string(), config.hostname);
  }
  return text;
}

std::string make_resolv_conf(const ContainerConfig& config) {
  std::string text = fmt::format("nameserver {}\n", kResolver);
  if (!config.dns.search.empty()) text += fmt::format("search {}\n", fmt::join(config.dns.search, " "));
  text += "options ndots:0";
  for (const std::string& option : config.dns.options) text += " " + option;
  return text + "\n";
}

}  // namespace mesh::agent
