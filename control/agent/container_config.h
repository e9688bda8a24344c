// Everything that decides how one container runs, resolved from its task and its image. Pure values; kept as JSON
// beside the container, so that a restarted meshd knows what it adopts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "control/agent/image_store.h"
#include "control/model/task.h"

namespace mesh::agent {

// A health check with every default filled in (spec over image over Docker's defaults).
struct HealthPlan {
  std::vector<std::string> argv;
  Duration interval = std::chrono::seconds(30);
  Duration timeout = std::chrono::seconds(30);
  Duration start_period{};
  Duration start_interval = std::chrono::seconds(5);
  std::int64_t retries = 3;
  bool operator==(const HealthPlan&) const = default;
};
template <class Visit>
constexpr bool json_fields(const HealthPlan*, Visit&& visit) {
  using S = HealthPlan;
  return visit("Argv", &S::argv) && visit("Interval", &S::interval) && visit("Timeout", &S::timeout) &&
         visit("StartPeriod", &S::start_period) && visit("StartInterval", &S::start_interval) &&
         visit("Retries", &S::retries);
}

struct ContainerMount {
  std::string type;  // "bind" or "tmpfs"
  std::string source;
  std::string target;
  std::vector<std::string> options;
};
template <class Visit>
constexpr bool json_fields(const ContainerMount*, Visit&& visit) {
  using S = ContainerMount;
  return visit("Type", &S::type) && visit("Source", &S::source) && visit("Target", &S::target) &&
         visit("Options", &S::options);
}

struct ContainerConfig {
  std::string id;  // 64 hexadecimal digits, made from the task id: the same on every look
  std::string task_id;
  std::string name;   // "image-gallery.1.<task id>"
  std::string image;  // as the spec names it
  std::string image_id;
  std::vector<std::string> layers;  // diff ids, lowest first

  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd = "/";
  std::string user;                 // "name", "uid", "name:group"; empty: root
  std::vector<std::string> groups;  // additional, names or numbers
  std::string hostname;
  bool tty = false;
  bool open_stdin = false;
  bool init = false;
  bool read_only = false;
  int stop_signal = 15;
  Duration stop_grace = std::chrono::seconds(10);

  std::int64_t nano_cpus = 0;  // 0: no limit
  std::int64_t memory_bytes = 0;
  std::int64_t pids = 0;
  std::int64_t oom_score_adj = 0;
  std::vector<std::string> capabilities;  // "CAP_CHOWN", sorted
  std::map<std::string, std::string> sysctls;
  std::vector<model::Ulimit> ulimits;

  std::vector<ContainerMount> mounts;
  std::vector<std::string> hosts;  // further lines of /etc/hosts, "IP name…"
  model::DnsConfig dns;
  IpAddress ingress_v4, ingress_v6;
  std::optional<HealthPlan> health;
  std::map<std::string, std::string> labels;
};
template <class Visit>
constexpr bool json_fields(const ContainerConfig*, Visit&& visit) {
  using S = ContainerConfig;
  return visit("ID", &S::id) && visit("TaskID", &S::task_id) && visit("Name", &S::name) && visit("Image", &S::image) &&
         visit("ImageID", &S::image_id) && visit("Layers", &S::layers) && visit("Argv", &S::argv) &&
         visit("Env", &S::env) && visit("Cwd", &S::cwd) && visit("User", &S::user) && visit("Groups", &S::groups) &&
         visit("Hostname", &S::hostname) && visit("TTY", &S::tty) && visit("OpenStdin", &S::open_stdin) &&
         visit("Init", &S::init) && visit("ReadOnly", &S::read_only) && visit("StopSignal", &S::stop_signal) &&
         visit("StopGrace", &S::stop_grace) && visit("NanoCPUs", &S::nano_cpus) &&
         visit("MemoryBytes", &S::memory_bytes) && visit("Pids", &S::pids) && visit("OomScoreAdj", &S::oom_score_adj) &&
         visit("Capabilities", &S::capabilities) && visit("Sysctls", &S::sysctls) && visit("Ulimits", &S::ulimits) &&
         visit("Mounts", &S::mounts) && visit("Hosts", &S::hosts) && visit("DNS", &S::dns) &&
         visit("IngressV4", &S::ingress_v4) && visit("IngressV6", &S::ingress_v6) && visit("Health", &S::health) &&
         visit("Labels", &S::labels);
}

// kInvalid or kUnsupported with what the spec asks that cannot be done here; such a task is rejected.
[[nodiscard]] Result<ContainerConfig> make_container_config(const model::Task& task, const StoredImage& image);

[[nodiscard]] std::string container_id_of(const std::string& task_id);

// "SIGTERM", "TERM", "15", "RTMIN+3". kInvalid otherwise.
[[nodiscard]] Result<int> parse_signal(std::string_view text);

// Docker's 14 default capabilities, changed by the spec's lists ("ALL" included).
[[nodiscard]] Result<std::vector<std::string>> choose_capabilities(const std::vector<std::string>& add,
                                                                   const std::vector<std::string>& drop);

}  // namespace mesh::agent
