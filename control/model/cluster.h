// The cluster itself: Docker's "Swarm" object and its spec (Docker Engine API, /swarm).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/object.h"

namespace mesh::model {

struct OrchestrationConfig {
  std::optional<std::int64_t> task_history_retention_limit;  // tasks per slot, the live one included; negative: all
  bool operator==(const OrchestrationConfig&) const = default;
};
constexpr auto json_fields(const OrchestrationConfig*) {
  return std::tuple{field("TaskHistoryRetentionLimit", &OrchestrationConfig::task_history_retention_limit)};
}

// Kept for the API's sake; nothing here acts on it.
struct RaftConfig {
  std::uint64_t snapshot_interval = 10000;
  std::optional<std::uint64_t> keep_old_snapshots;
  std::uint64_t log_entries_for_slow_followers = 500;
  std::int64_t election_tick = 10;
  std::int64_t heartbeat_tick = 1;
  bool operator==(const RaftConfig&) const = default;
};
constexpr auto json_fields(const RaftConfig*) {
  return std::tuple{field("SnapshotInterval", &RaftConfig::snapshot_interval, kOmitEmpty),
                    field("KeepOldSnapshots", &RaftConfig::keep_old_snapshots),
                    field("LogEntriesForSlowFollowers", &RaftConfig::log_entries_for_slow_followers, kOmitEmpty),
                    field("ElectionTick", &RaftConfig::election_tick),
                    field("HeartbeatTick", &RaftConfig::heartbeat_tick)};
}

struct DispatcherConfig {
  Duration heartbeat_period{};  // 0: 5 s
  bool operator==(const DispatcherConfig&) const = default;
};
constexpr auto json_fields(const DispatcherConfig*) {
  return std::tuple{field("HeartbeatPeriod", &DispatcherConfig::heartbeat_period, kOmitEmpty)};
}

struct ExternalCa {
  std::string protocol;
  std::string url;
  Options options;
  std::string ca_cert;
  bool operator==(const ExternalCa&) const = default;
};
constexpr auto json_fields(const ExternalCa*) {
  return std::tuple{field("Protocol", &ExternalCa::protocol), field("URL", &ExternalCa::url),
                    field("Options", &ExternalCa::options, kOmitEmpty), field("CACert", &ExternalCa::ca_cert)};
}

struct CaConfig {
  Duration node_cert_expiry{};  // 0: 90 days
  std::vector<ExternalCa> external_cas;
  std::string signing_ca_cert;
  std::string signing_ca_key;
  std::uint64_t force_rotate = 0;
  bool operator==(const CaConfig&) const = default;
};
constexpr auto json_fields(const CaConfig*) {
  return std::tuple{field("NodeCertExpiry", &CaConfig::node_cert_expiry, kOmitEmpty),
                    field("ExternalCAs", &CaConfig::external_cas, kOmitEmpty),
                    field("SigningCACert", &CaConfig::signing_ca_cert, kOmitEmpty),
                    field("SigningCAKey", &CaConfig::signing_ca_key, kOmitEmpty),
                    field("ForceRotate", &CaConfig::force_rotate, kOmitEmpty)};
}

struct TaskDefaults {
  std::optional<Driver> log_driver;
  bool operator==(const TaskDefaults&) const = default;
};
constexpr auto json_fields(const TaskDefaults*) { return std::tuple{field("LogDriver", &TaskDefaults::log_driver)}; }

struct EncryptionConfig {
  bool auto_lock_managers = false;
  bool operator==(const EncryptionConfig&) const = default;
};
constexpr auto json_fields(const EncryptionConfig*) {
  return std::tuple{field("AutoLockManagers", &EncryptionConfig::auto_lock_managers)};
}

struct ClusterSpec {
  std::string name = "default";
  Labels labels;
  OrchestrationConfig orchestration;
  RaftConfig raft;
  DispatcherConfig dispatcher;
  CaConfig ca_config;
  TaskDefaults task_defaults;
  EncryptionConfig encryption_config;
  bool operator==(const ClusterSpec&) const = default;
};
constexpr auto json_fields(const ClusterSpec*) {
  return std::tuple{field("Name", &ClusterSpec::name),
                    field("Labels", &ClusterSpec::labels),
                    field("Orchestration", &ClusterSpec::orchestration),
                    field("Raft", &ClusterSpec::raft),
                    field("Dispatcher", &ClusterSpec::dispatcher),
                    field("CAConfig", &ClusterSpec::ca_config),
                    field("TaskDefaults", &ClusterSpec::task_defaults),
                    field("EncryptionConfig", &ClusterSpec::encryption_config)};
}

struct JoinTokens {
  std::string worker;
  std::string manager;
  bool operator==(const JoinTokens&) const = default;
};
constexpr auto json_fields(const JoinTokens*) {
  return std::tuple{field("Worker", &JoinTokens::worker), field("Manager", &JoinTokens::manager)};
}

// What the manager keeps beside the API's fields. Sealed values are opaque to the store (control/store/seal.h).
struct ClusterMesh {
  std::string ca_certificate;  // PEM
  Bytes ca_key_sealed;
  Bytes worker_token_sealed, manager_token_sealed;  // the secret part of a join token
  std::vector<std::string> revoked_nodes;           // ids of removed nodes; their certificates are refused
  bool operator==(const ClusterMesh&) const = default;
};
constexpr auto json_fields(const ClusterMesh*) {
  return std::tuple{field("CACertificate", &ClusterMesh::ca_certificate),
                    field("CAKeySealed", &ClusterMesh::ca_key_sealed),
                    field("WorkerTokenSealed", &ClusterMesh::worker_token_sealed),
                    field("ManagerTokenSealed", &ClusterMesh::manager_token_sealed),
                    field("RevokedNodes", &ClusterMesh::revoked_nodes, kOmitEmpty)};
}

// One per store. JoinTokens is filled in by the API, from the sealed values, and never stored.
struct Cluster : Object {
  ClusterSpec spec;
  std::optional<TlsInfo> tls_info;
  bool root_rotation_in_progress = false;
  std::vector<std::string> default_addr_pool;  // "10.0.0.0/8"
  std::uint32_t subnet_size = 24;
  std::uint32_t data_path_port = 4789;
  std::optional<JoinTokens> join_tokens;
  std::optional<ClusterMesh> mesh;
  bool operator==(const Cluster&) const = default;
};
constexpr auto json_fields(const Cluster*) {
  return std::tuple_cat(
      object_fields(),
      std::tuple{field("Spec", &Cluster::spec), field("TLSInfo", &Cluster::tls_info),
                 field("RootRotationInProgress", &Cluster::root_rotation_in_progress),
                 field("DefaultAddrPool", &Cluster::default_addr_pool), field("SubnetSize", &Cluster::subnet_size),
                 field("DataPathPort", &Cluster::data_path_port), field("JoinTokens", &Cluster::join_tokens),
                 field("Mesh", &Cluster::mesh)});
}

}  // namespace mesh::model
