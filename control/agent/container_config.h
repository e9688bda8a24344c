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
constexpr auto json_fields(const HealthPlan*) {
  using S = HealthPlan;
  return std::tuple{field("Argv", &S::argv),
                    field("Interval", &S::interval),
                    field("Timeout", &S::timeout),
                    field("StartPeriod", &S::start_period),
                    field("StartInterval", &S::start_interval),
                    field("Retries", &S::retries)};
}

struct ContainerMount {
  std::string type;  // "bind" or "tmpfs"
  std::string source;
  std::string target;
  std::vector<std::string> options;
};
constexpr auto json_fields(const ContainerMount*) {
  using S = ContainerMount;
  return std::tuple{field("Type", &S::type), field("Source", &S::source), field("Target", &S::target),
                    field("Options", &S::options)};
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
constexpr auto json_fields(const ContainerConfig*) {
  using S = ContainerConfig;
  return std::tuple{field("ID", &S::id),
                    field("TaskID", &S::task_id),
                    field("Name", &S::name),
                    field("Image", &S::image),
                    field("ImageID", &S::image_id),
                    field("Layers", &S::layers),
                    field("Argv", &S::argv),
                    field("Env", &S::env),
                    field("Cwd", &S::cwd),
                    field("User", &S::user),
                    field("Groups", &S::groups),
                    field("Hostname", &S::hostname),
                    field("TTY", &S::tty),
                    field("OpenStdin", &S::open_stdin),
                    field("Init", &S::init),
                    field("ReadOnly", &S::read_only),
                    field("StopSignal", &S::stop_signal),
                    field("StopGrace", &S::stop_grace),
                    field("NanoCPUs", &S::nano_cpus),
                    field("MemoryBytes", &S::memory_bytes),
                    field("Pids", &S::pids),
                    field("OomScoreAdj", &S::oom_score_adj),
                    field("Capabilities", &S::capabilities),
                    field("Sysctls", &S::sysctls),
                    field("Ulimits", &S::ulimits),
                    field("Mounts", &S::mounts),
                    field("Hosts", &S::hosts),
                    field("DNS", &S::dns),
                    field("IngressV4", &S::ingress_v4),
                    field("IngressV6", &S::ingress_v6),
                    field("Health", &S::health),
                    field("Labels", &S::labels)};
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
