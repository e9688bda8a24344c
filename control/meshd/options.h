// What meshd is started with. Every setting is a flag (--data-dir), an environment variable (MESHD_DATA_DIR) and a key
// of the YAML file (data-dir); the flag wins, then the environment, then the file, then the default.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace mesh::meshd {

inline constexpr std::uint16_t kClusterPort = 2377;  // as Swarm

struct Options {
  std::string data_dir = "/var/lib/meshd";
  std::string runtime_dir = "/run/meshd";
  std::string socket = "/run/meshd.sock";
  std::string listen = "0.0.0.0:2377";
  std::string advertise_addr;
  std::string uplink;  // names, separated by commas
  std::string uplink_mode = "auto";
  std::string cgroup_root;
  std::string registry_mirror;
  std::string metrics_addr;
  std::string log_level = "info";

  std::string config;  // the YAML file, or MESHD_CONFIG; not a key of itself
  bool cleanup = false;
};

struct Setting {
  const char* name;  // of the flag and the key
  std::string Options::* value;
  const char* help;
};
[[nodiscard]] std::span<const Setting> settings();

// What is left to do after the command line was read.
struct CommandLine {
  Options options;
  std::string answer;  // of --help and --version: to be printed, then exit 0
};
// `environment`: "NAME=value" entries. Errors name the flag, the variable, or file and line.
[[nodiscard]] Result<CommandLine> read_options(const std::vector<std::string>& arguments,
                                               const std::vector<std::string>& environment);

inline constexpr const char* kVersion = MESHD_VERSION;

}  // namespace mesh::meshd
