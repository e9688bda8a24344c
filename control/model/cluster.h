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
template <class Visit>
constexpr bool json_fields(const OrchestrationConfig*, Visit&& visit) {
  return visit("TaskHistoryRetentionLimit", &OrchestrationConfig::task_history_retention_limit);
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
template <class Visit>
constexpr bool json_fields(const RaftConfig*, Visit&& visit) {
  return visit("SnapshotInterval", &RaftConfig::snapshot_interval, kOmitEmpty) &&
         visit("KeepOldSnapshots", &RaftConfig::keep_old_snapshots) &&
         visit("LogEntriesForSlowFollowers", &RaftConfig::log_entries_for_slow_followers, kOmitEmpty) &&
         visit("ElectionTick", &RaftConfig::election_tick) && visit("HeartbeatTick", &RaftConfig::heartbeat_tick);
}

struct DispatcherConfig {
  Duration heartbeat_period{};  // 0: 5 s
  bool operator==(const DispatcherConfig&) const = default;
};
template <class Visit>
constexpr bool json_fields(const DispatcherConfig*, Visit&& visit) {
  return visit("HeartbeatPeriod", &DispatcherConfig::heartbeat_period, kOmitEmpty);
}

struct ExternalCa {
  std::string protocol;
  std::string url;
  Options options;
  std::string ca_cert;
  bool operator==(const ExternalCa&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ExternalCa*, Visit&& visit) {
  return visit("Protocol", &ExternalCa::protocol) && visit("URL", &ExternalCa::url) &&
         visit("Options", &ExternalCa::options, kOmitEmpty) && visit("CACert", &ExternalCa::ca_cert);
}

struct CaConfig {
  Duration node_cert_expiry{};  // 0: 90 days
  std::vector<ExternalCa> external_cas;
  std::string signing_ca_cert;
  std::string signing_ca_key;
  std::uint64_t force_rotate = 0;
  bool operator==(const CaConfig&) const = default;
};
template <class Visit>
constexpr bool json_fields(const CaConfig*, Visit&& visit) {
  return visit("NodeCertExpiry", &CaConfig::node_cert_expiry, kOmitEmpty) &&
         visit("ExternalCAs", &CaConfig::external_cas, kOmitEmpty) &&
         visit("SigningCACert", &CaConfig::signing_ca_cert, kOmitEmpty) &&
         visit("SigningCAKey", &CaConfig::signing_ca_key, kOmitEmpty) &&
         visit("ForceRotate", &CaConfig::force_rotate, kOmitEmpty);
}

struct TaskDefaults {
  std::optional<Driver> log_driver;
  bool operator==(const TaskDefaults&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TaskDefaults*, Visit&& visit) {
  return visit("LogDriver", &TaskDefaults::log_driver);
}

struct EncryptionConfig {
  bool auto_lock_managers = false;
  bool operator==(const EncryptionConfig&) const = default;
};
template <class Visit>
constexpr bool json_fields(const EncryptionConfig*, Visit&& visit) {
  return visit("AutoLockManagers", &EncryptionConfig::auto_lock_managers);
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
template <class Visit>
constexpr bool json_fields(const ClusterSpec*, Visit&& visit) {
  return visit("Name", &ClusterSpec::name) && visit("Labels", &ClusterSpec::labels) &&
         visit("Orchestration", &ClusterSpec::orchestration) && visit("Raft", &ClusterSpec::raft) &&
         visit("Dispatcher", &ClusterSpec::dispatcher) && visit("CAConfig", &ClusterSpec::ca_config) &&
         visit("TaskDefaults", &ClusterSpec::task_defaults) &&
         visit("EncryptionConfig", &ClusterSpec::encryption_config);
}

struct JoinTokens {
  std::string worker;
  std::string manager;
  bool operator==(const JoinTokens&) const = default;
};
template <class Visit>
constexpr bool json_fields(const JoinTokens*, Visit&& visit) {
  return visit("Worker", &JoinTokens::worker) && visit("Manager", &JoinTokens::manager);
}

// What the manager keeps beside the API's fields. Sealed values are opaque to the store (control/store/seal.h).
struct ClusterMesh {
  std::string ca_certificate;  // PEM
  Bytes ca_key_sealed;
  Bytes worker_token_sealed, manager_token_sealed;  // the secret part of a join token
  std::vector<std::string> revoked_nodes;           // ids of removed nodes; their certificates are refused
  bool operator==(const ClusterMesh&) const = default;
};
template <class Visit>
constexpr bool json_fields(const ClusterMesh*, Visit&& visit) {
  return visit("CACertificate", &ClusterMesh::ca_certificate) && visit("CAKeySealed", &ClusterMesh::ca_key_sealed) &&
         visit("WorkerTokenSealed", &ClusterMesh::worker_token_sealed) &&
         visit("ManagerTokenSealed", &ClusterMesh::manager_token_sealed) &&
         visit("RevokedNodes", &ClusterMesh::revoked_nodes, kOmitEmpty);
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
template <class Visit>
constexpr bool json_fields(const Cluster*, Visit&& visit) {
  return object_fields(visit) && visit("Spec", &Cluster::spec) && visit("TLSInfo", &Cluster::tls_info) &&
         visit("RootRotationInProgress", &Cluster::root_rotation_in_progress) &&
         visit("DefaultAddrPool", &Cluster::default_addr_pool) && visit("SubnetSize", &Cluster::subnet_size) &&
         visit("DataPathPort", &Cluster::data_path_port) && visit("JoinTokens", &Cluster::join_tokens) &&
         visit("Mesh", &Cluster::mesh);
}

}  // namespace mesh::model

MESH_JSON_DECLARE(mesh::model::ClusterSpec);
MESH_JSON_DECLARE(mesh::model::Cluster);
