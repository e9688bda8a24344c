// The manager: keeps the declared state of the cluster and makes hosts hold it. Owns the store and the view of it.
//
// Single-threaded, no sockets, no clock: the caller passes `now` (wall clock) with every event and calls tick() soon
// after each event (once for a burst of them) and at the time that the last tick named. Everything that hosts must be
// told comes out of tick(). User-visible errors have Docker's wording.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "control/model/endpoint_table.h"
#include "control/store/store.h"
#include "control/store/view.h"

namespace mesh::manager {

// A host that opens a session (cluster::Hello without the wire).
struct SessionStart {
  model::NodeDescription description;
  IpAddress address;
  std::vector<IpAddress> addresses;
  std::vector<Cidr> connected_routes;
  model::TableVersion have;
  std::vector<std::string> interfaces;
};

// What changed of a host's network during its session.
struct HostNetwork {
  std::vector<Cidr> connected;
  std::vector<IpAddress> addresses;  // of its uplinks; empty: not told
  std::vector<std::string> interfaces;
};

// A node that joined: made from its certificate. The rest is filled in when it opens its first session.
struct NodeJoin {
  std::string id;
  std::string hostname;  // "" if not known yet
  model::NodeRole role = model::NodeRole::kWorker;
  model::Availability availability = model::Availability::kActive;
  model::NodeCertificate certificate;
  bool this_manager = false;  // the node that the manager itself runs on
  std::string manager_addr;   // of a manager: "192.168.1.10:2377"
};

struct TaskReport {
  std::string task_id;
  model::TaskStatus status;
  bool unhealthy = false;  // no new flow must reach it; its host waits until it is told that none does
};

struct ForeignReport {
  std::string service_id;
  std::string protocol;
  std::uint16_t port = 0;
  std::uint32_t ring_version = 0;
  std::vector<std::uint16_t> held;
};

// What one host must be told now, in this order: tables or table_change, then assignments or the change of them.
struct Delivery {
  std::string node_id;
  std::optional<model::EndpointTables> tables;
  std::optional<model::TableChange> table_change;
  std::optional<std::vector<model::Task>> assignments;  // all of them
  std::vector<model::Task> upsert;
  std::vector<std::string> removed;
};

struct Step {
  std::vector<Delivery> deliveries;
  Time next;  // call tick() then at the latest, even if nothing happens
};

struct Options {
  std::function<std::string()> make_id;  // empty: mesh::make_id
};

// What a `service update` asks for beside the new spec.
enum class ServiceRollback : std::uint8_t { kNo, kPrevious };

class Manager {
 public:
  // Takes the store, loads the view, starts a new epoch. Nodes that were ready are unknown until they are heard again.
  static Result<std::unique_ptr<Manager>> open(std::unique_ptr<store::Store> store, Time now, Options options = {});
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  [[nodiscard]] const store::View& view() const;
  [[nodiscard]] store::Store& store();
  // Called after every change of the view, with what changed (for events of the API). One listener.
  void on_change(std::function<void(const store::Batch&)> listener);

  // ---- cluster. init: kConflict if there is one. Makes the ingress network too (subnet: absent for the default,
  // 10.0.0.0/16 or the first /16 of the pool that no connected route overlaps).
  Result<std::string> init_cluster(model::Cluster cluster, const std::vector<Cidr>& connected_routes, Time now);
  Status update_cluster(std::uint64_t version, const model::ClusterSpec& spec, Time now);
  // Sealed tokens, CA, revoked nodes; no version: they are the manager's own.
  Status update_cluster_mesh(const model::ClusterMesh& mesh, Time now);

  // ---- nodes. `version` is the object's Version.Index that the caller saw; a stale one is kConflict ("update out of
  // sequence"). Ids are exact; View::find_* resolves names.
  Status add_node(const NodeJoin& join, Time now);
  Status update_node_certificate(const std::string& id, const model::NodeCertificate& certificate, Time now);
  Status update_node(const std::string& id, std::uint64_t version, const model::NodeSpec& spec, Time now);
  Status remove_node(const std::string& id, bool force, Time now);

  // ---- services. Networks may be named by name; the stored spec has ids. Returns the id.
  // `avoided`: ports that must not be chosen where the spec names none.
  Result<std::string> create_service(model::ServiceSpec spec, Time now,
                                     const std::set<model::PublishedPort>& avoided = {});
  // With kPrevious the spec is not read: Spec and PreviousSpec change places.
  Status update_service(const std::string& id, std::uint64_t version, model::ServiceSpec spec, ServiceRollback rollback,
                        Time now, const std::set<model::PublishedPort>& avoided = {});
  Status remove_service(const std::string& id, Time now);

  // ---- networks
  Result<std::string> create_network(model::Network network, Time now);
  Status remove_network(const std::string& id, Time now);

  // ---- sessions of hosts. Opening refuses unknown nodes (kNotFound) and returns the node's number.
  Result<std::uint16_t> session_opened(const std::string& node_id, const SessionStart& start, Time now);
  void session_closed(const std::string& node_id, Time now);
  void heartbeat(const std::string& node_id, Time now);
  void report(const std::string& node_id, const std::vector<TaskReport>& tasks, Time now);
  void acknowledge(const std::string& node_id, model::TableVersion version, const std::vector<std::string>& problems,
                   Time now);
  // What the host reaches by itself has changed since its session was opened; new networks keep off it.
  void network(const std::string& node_id, const HostNetwork& host, Time now);
  void foreign(const std::string& node_id, const std::vector<ForeignReport>& reports, Time now);

  // Reconciles everything, commits, and says what hosts must be told. An error is the store's (a full disk, say): the
  // state is unchanged, try again.
  Result<Step> tick(Time now);

  // ---- what was published last
  [[nodiscard]] const model::EndpointTables& tables() const;
  [[nodiscard]] std::vector<model::Task> assignments_for(const std::string& node_id) const;
  [[nodiscard]] Duration heartbeat_period() const;  // of the cluster's spec; 5 s
  // The way out of every container: .1 of the ingress network (v6 unset if it has none).
  [[nodiscard]] IpAddress gateway_v4() const;
  [[nodiscard]] IpAddress gateway_v6() const;
  // Node id -> the last problems it named when acknowledging ("port 8010 is in use by …"); and hosts that let the five
  // seconds pass. For `meshctl status`.
  [[nodiscard]] const std::map<std::string, std::vector<std::string>>& problems() const;

 private:
  class Impl;
  explicit Manager(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::manager
