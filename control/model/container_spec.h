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
template <class Visit>
constexpr bool json_fields(const HealthConfig*, Visit&& visit) {
  return visit("Test", &HealthConfig::test, kOmitEmpty) && visit("Interval", &HealthConfig::interval, kOmitEmpty) &&
         visit("Timeout", &HealthConfig::timeout, kOmitEmpty) &&
         visit("StartPeriod", &HealthConfig::start_period, kOmitEmpty) &&
         visit("StartInterval", &HealthConfig::start_interval, kOmitEmpty) &&
         visit("Retries", &HealthConfig::retries, kOmitEmpty);
}

struct DnsConfig {
  std::vector<std::string> nameservers;
  std::vector<std::string> search;
  std::vector<std::string> options;
  bool operator==(const DnsConfig&) const = default;
};
template <class Visit>
constexpr bool json_fields(const DnsConfig*, Visit&& visit) {
  return visit("Nameservers", &DnsConfig::nameservers, kOmitEmpty) && visit("Search", &DnsConfig::search, kOmitEmpty) &&
         visit("Options", &DnsConfig::options, kOmitEmpty);
}

struct FileTarget {
  std::string name;
  std::string uid;
  std::string gid;
  std::uint32_t mode = 0444;
  bool operator==(const FileTarget&) const = default;
};
template <class Visit>
constexpr bool json_fields(const FileTarget*, Visit&& visit) {
  return visit("Name", &FileTarget::name) && visit("UID", &FileTarget::uid) && visit("GID", &FileTarget::gid) &&
         visit("Mode", &FileTarget::mode);
}

struct SecretReference {
  std::optional<FileTarget> file;
  std::string secret_id;
  std::string secret_name;
  bool operator==(const SecretReference&) const = default;
};
template <class Visit>
constexpr bool json_fields(const SecretReference*, Visit&& visit) {
  return visit("File", &SecretReference::file) && visit("SecretID", &SecretReference::secret_id) &&
         visit("SecretName", &SecretReference::secret_name);
}

struct ConfigReference {
  std::optional<FileTarget> file;
  Json runtime;
  std::string config_id;
  std::string config_name;
  bool operator==(const ConfigReference&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ConfigReference*, Visit&& visit) {
  return visit("File", &ConfigReference::file) && visit("Runtime", &ConfigReference::runtime, kOmitEmpty) &&
         visit("ConfigID", &ConfigReference::config_id) && visit("ConfigName", &ConfigReference::config_name);
}

struct Ulimit {
  std::string name;
  std::int64_t hard = 0;
  std::int64_t soft = 0;
  bool operator==(const Ulimit&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Ulimit*, Visit&& visit) {
  return visit("Name", &Ulimit::name) && visit("Hard", &Ulimit::hard) && visit("Soft", &Ulimit::soft);
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
template <class Visit>
constexpr bool json_fields(const ContainerSpec*, Visit&& visit) {
  using S = ContainerSpec;
  return visit("Image", &S::image, kOmitEmpty) && visit("Labels", &S::labels, kOmitEmpty) &&
         visit("Command", &S::command, kOmitEmpty) && visit("Args", &S::args, kOmitEmpty) &&
         visit("Hostname", &S::hostname, kOmitEmpty) && visit("Env", &S::env, kOmitEmpty) &&
         visit("Dir", &S::dir, kOmitEmpty) && visit("User", &S::user, kOmitEmpty) &&
         visit("Groups", &S::groups, kOmitEmpty) && visit("Privileges", &S::privileges, kOmitEmpty) &&
         visit("Init", &S::init) && visit("StopSignal", &S::stop_signal, kOmitEmpty) &&
         visit("TTY", &S::tty, kOmitEmpty) && visit("OpenStdin", &S::open_stdin, kOmitEmpty) &&
         visit("ReadOnly", &S::read_only, kOmitEmpty) && visit("Mounts", &S::mounts, kOmitEmpty) &&
         visit("StopGracePeriod", &S::stop_grace_period) && visit("Healthcheck", &S::healthcheck) &&
         visit("Hosts", &S::hosts, kOmitEmpty) && visit("DNSConfig", &S::dns_config) &&
         visit("Secrets", &S::secrets, kOmitEmpty) && visit("Configs", &S::configs, kOmitEmpty) &&
         visit("Isolation", &S::isolation, kOmitEmpty) && visit("Sysctls", &S::sysctls, kOmitEmpty) &&
         visit("CapabilityAdd", &S::capability_add, kOmitEmpty) &&
         visit("CapabilityDrop", &S::capability_drop, kOmitEmpty) && visit("Ulimits", &S::ulimits, kOmitEmpty) &&
         visit("OomScoreAdj", &S::oom_score_adj, kOmitEmpty);
}

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::ContainerSpec);
