// The cluster's state in memory: typed tables with indexes, fed by a watch. What everything reads.
//
// A View is a value: rows are shared and immutable, so a copy costs pointers only. Pointers and references into a View
// are valid until its next change.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/model/cluster.h"
#include "control/model/network.h"
#include "control/model/node.h"
#include "control/model/port_state.h"
#include "control/model/service.h"
#include "control/model/task.h"
#include "control/model/withdrawn.h"
#include "control/store/store.h"

namespace mesh::store {

template <class T>
using Rows = std::map<std::string, std::shared_ptr<const T>, std::less<>>;

class View {
 public:
  // The commit that this view shows.
  [[nodiscard]] std::uint64_t version() const { return version_; }

  // The cluster; null before it was initialised.
  [[nodiscard]] const model::Cluster* cluster() const;
  [[nodiscard]] const Rows<model::Node>& nodes() const { return nodes_; }
  [[nodiscard]] const Rows<model::Service>& services() const { return services_; }
  [[nodiscard]] const Rows<model::Task>& tasks() const { return tasks_; }
  [[nodiscard]] const Rows<model::Network>& networks() const { return networks_; }
  [[nodiscard]] const Rows<model::PortState>& ports() const { return ports_; }
  [[nodiscard]] const Rows<model::Withdrawn>& withdrawn() const { return withdrawn_; }
  [[nodiscard]] std::uint64_t counter(std::string_view name) const;

  // By exact id; null if there is none.
  [[nodiscard]] const model::Node* node(std::string_view id) const;
  [[nodiscard]] const model::Service* service(std::string_view id) const;
  [[nodiscard]] const model::Task* task(std::string_view id) const;
  [[nodiscard]] const model::Network* network(std::string_view id) const;
  [[nodiscard]] const model::PortState* port(std::string_view id) const;
  [[nodiscard]] const model::Withdrawn* withdrawn(std::string_view id) const;
  [[nodiscard]] const model::Network* ingress_network() const;

  // As users name things: exact id, then name (a node's: host name), then a unique prefix of an id. kNotFound in
  // Docker's wording ("service web not found"), kInvalid if several match.
  [[nodiscard]] Result<const model::Node*> find_node(std::string_view name) const;
  [[nodiscard]] Result<const model::Service*> find_service(std::string_view name) const;
  [[nodiscard]] Result<const model::Task*> find_task(std::string_view name) const;
  [[nodiscard]] Result<const model::Network*> find_network(std::string_view name) const;

  // In the order of task ids.
  [[nodiscard]] std::vector<const model::Task*> tasks_of_service(std::string_view service_id) const;
  [[nodiscard]] std::vector<const model::Task*> tasks_of_node(std::string_view node_id) const;
  // Ids of services that tasks name, including services that no longer exist.
  [[nodiscard]] std::vector<std::string> services_with_tasks() const;

  // Applies what a commit did. Errors name an object that cannot be decoded; the view is then unchanged.
  Status apply(const Batch& batch);
  // Replaces everything.
  Status load(const Snapshot& snapshot);

  // Typed writes, for drafts (control/manager/draft.h) and tests.
  void put(model::Cluster row);
  void put(model::Node row);
  void put(model::Service row);
  void put(model::Task row);
  void put(model::Network row);
  void put(model::PortState row);
  void put(model::Withdrawn row);
  void put_counter(const std::string& name, std::uint64_t value);
  void erase(Kind kind, const std::string& id);

 private:
  Status apply_one(const Change& change, std::uint64_t version);
  void index(const model::Task& task);
  void unindex(const model::Task& task);

  using Index = std::map<std::string, std::set<std::string>, std::less<>>;
  std::uint64_t version_ = 0;
  Rows<model::Cluster> clusters_;
  Rows<model::Node> nodes_;
  Rows<model::Service> services_;
  Rows<model::Task> tasks_;
  Rows<model::Network> networks_;
  Rows<model::PortState> ports_;
  Rows<model::Withdrawn> withdrawn_;
  std::map<std::string, std::uint64_t, std::less<>> counters_;
  Index tasks_of_service_, tasks_of_node_;
};

}  // namespace mesh::store
