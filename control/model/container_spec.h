// How one container of a service is made: image, command, files, health (Docker Engine API, TaskSpec.ContainerSpec).
// Zero, "" and absent mean "as the image says, else the default"; what is set here wins over the image.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/mount.h"
#include "control/model/object.h"

namespace mesh::model {

struct HealthConfig {
  std::vector<std::string> test;  // empty: the image's; {"NONE"}; {"CMD", …}; {"CMD-SHELL", "…"}
  Duration interval{};
  Duration timeout{};
  Duration start_period{};
  Duration start_interval{};
  std::int64_t retries = 0;
  bool operator==(const HealthConfig&) const = default;
};
constexpr auto json_fields(const HealthConfig*) {
  return std::tuple{field("Test", &HealthConfig::test, kOmitEmpty),
                    field("Interval", &HealthConfig::interval, kOmitEmpty),
                    field("Timeout", &HealthConfig::timeout, kOmitEmpty),
                    field("StartPeriod", &HealthConfig::start_period, kOmitEmpty),
                    field("StartInterval", &HealthConfig::start_interval, kOmitEmpty),
                    field("Retries", &HealthConfig::retries, kOmitEmpty)};
}

struct DnsConfig {
  std::vector<std::string> nameservers;
  std::vector<std::string> search;
  std::vector<std::string> options;
  bool operator==(const DnsConfig&) const = default;
};
constexpr auto json_fields(const DnsConfig*) {
  return std::tuple{field("Nameservers", &DnsConfig::nameservers, kOmitEmpty),
                    field("Search", &DnsConfig::search, kOmitEmpty), field("Options", &DnsConfig::options, kOmitEmpty)};
}

struct FileTarget {
  std::string name;
  std::string uid;
  std::string gid;
  std::uint32_t mode = 0444;
  bool operator==(const FileTarget&) const = default;
};
constexpr auto json_fields(const FileTarget*) {
  return std::tuple{field("Name", &FileTarget::name), field("UID", &FileTarget::uid), field("GID", &FileTarget::gid),
                    field("Mode", &FileTarget::mode)};
}

struct SecretReference {
  std::optional<FileTarget> file;
  std::string secret_id;
  std::string secret_name;
  bool operator==(const SecretReference&) const = default;
};
constexpr auto json_fields(const SecretReference*) {
  return std::tuple{field("File", &SecretReference::file), field("SecretID", &SecretReference::secret_id),
                    field("SecretName", &SecretReference::secret_name)};
}

struct ConfigReference {
  std::optional<FileTarget> file;
  Json runtime;
  std::string config_id;
  std::string config_name;
  bool operator==(const ConfigReference&) const = default;
};
constexpr auto json_fields(const ConfigReference*) {
  return std::tuple{field("File", &ConfigReference::file), field("Runtime", &ConfigReference::runtime, kOmitEmpty),
                    field("ConfigID", &ConfigReference::config_id), field("ConfigName", &ConfigReference::config_name)};
}

struct Ulimit {
  std::string name;
  std::int64_t hard = 0;
  std::int64_t soft = 0;
  bool operator==(const Ulimit&) const = default;
};
constexpr auto json_fields(const Ulimit*) {
  return std::tuple{field("Name", &Ulimit::name), field("Hard", &Ulimit::hard), field("Soft", &Ulimit::soft)};
}

struct ContainerSpec {
  std::string image;
  Labels labels;
  std::vector<std::string> command;  // replaces the image's entry point
  std::vector<std::string> args;     // replaces the image's command
  std::string hostname;
  std::vector<std::string> env;  // "KEY=value"; "KEY" removes it
  std::string dir;
  std::string user;
  std::vector<std::string> groups;
  Json privileges;
  std::optional<bool> init;
  std::string stop_signal;
  bool tty = false;
  bool open_stdin = false;
  bool read_only = false;
  std::vector<Mount> mounts;
  std::optional<Duration> stop_grace_period;  // absent: 10 s
  std::optional<HealthConfig> healthcheck;
  std::vector<std::string> hosts;  // lines of /etc/hosts: "IP name…"
  std::optional<DnsConfig> dns_config;
  std::vector<SecretReference> secrets;
  std::vector<ConfigReference> configs;
  std::string isolation;
  std::map<std::string, std::string> sysctls;
  std::vector<std::string> capability_add;
  std::vector<std::string> capability_drop;
  std::vector<Ulimit> ulimits;
  std::int64_t oom_score_adj = 0;
  bool operator==(const ContainerSpec&) const = default;
};
constexpr auto json_fields(const ContainerSpec*) {
  using S = ContainerSpec;
  return std::tuple{field("Image", &S::image, kOmitEmpty),
                    field("Labels", &S::labels, kOmitEmpty),
                    field("Command", &S::command, kOmitEmpty),
                    field("Args", &S::args, kOmitEmpty),
                    field("Hostname", &S::hostname, kOmitEmpty),
                    field("Env", &S::env, kOmitEmpty),
                    field("Dir", &S::dir, kOmitEmpty),
                    field("User", &S::user, kOmitEmpty),
                    field("Groups", &S::groups, kOmitEmpty),
                    field("Privileges", &S::privileges, kOmitEmpty),
                    field("Init", &S::init),
                    field("StopSignal", &S::stop_signal, kOmitEmpty),
                    field("TTY", &S::tty, kOmitEmpty),
                    field("OpenStdin", &S::open_stdin, kOmitEmpty),
                    field("ReadOnly", &S::read_only, kOmitEmpty),
                    field("Mounts", &S::mounts, kOmitEmpty),
                    field("StopGracePeriod", &S::stop_grace_period),
                    field("Healthcheck", &S::healthcheck),
                    field("Hosts", &S::hosts, kOmitEmpty),
                    field("DNSConfig", &S::dns_config),
                    field("Secrets", &S::secrets, kOmitEmpty),
                    field("Configs", &S::configs, kOmitEmpty),
                    field("Isolation", &S::isolation, kOmitEmpty),
                    field("Sysctls", &S::sysctls, kOmitEmpty),
                    field("CapabilityAdd", &S::capability_add, kOmitEmpty),
                    field("CapabilityDrop", &S::capability_drop, kOmitEmpty),
                    field("Ulimits", &S::ulimits, kOmitEmpty),
                    field("OomScoreAdj", &S::oom_score_adj, kOmitEmpty)};
}

}  // namespace mesh::model
