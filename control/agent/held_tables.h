// The cluster's tables as this host holds them, and what its data plane was told because of them: so that a change of
// the tables becomes a change of the data plane at the cost of what it touches. Pure.
//
// A service's pieces (ports, bindings, virtual IPs) follow from its row and its tasks' rows, and a task's piece from
// its own row, as long as networks, nodes and this host's own facts stay. Where they do not, or where two services
// claim one name, everything is to be made anew (make_dataplane).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/agent/node_view.h"
#include "control/agent/table_merge.h"
#include "control/model/endpoint_table.h"
#include "dataplane/desired.h"

namespace mesh::agent {

class HeldTables {
 public:
  HeldTables() { replace({}); }
  HeldTables(const HeldTables&) = delete;
  HeldTables& operator=(const HeldTables&) = delete;

  [[nodiscard]] const model::EndpointTables& tables() const { return tables_; }
  [[nodiscard]] const model::EndpointRow* endpoint(const std::string& task_id);

  // What has names on a network.
  [[nodiscard]] std::vector<NamedService> services_on(const std::string& network_id);

  void replace(model::EndpointTables tables);
  // As TableMerger::merge(); what it touches is remembered.
  Status merge(const model::TableChange& change);

  // The data plane was told `told`, which make_dataplane() made from these tables.
  void settle(const dataplane::Desired& told);
  struct Effect {
    dataplane::Change change;
    std::set<std::string> networks;                            // ids of those whose names may be others now
    std::optional<std::vector<std::uint16_t>> reserved_ports;  // of the overlay, where they are others now
  };
  // What the merges since settle(), or since the last call, make different; then the data plane is told that. `view`:
  // of these tables, with the same facts as what was settled. Nothing: make everything anew, and settle again.
  [[nodiscard]] std::optional<Effect> take_effect(const View& view);

 private:
  using PortName = std::pair<dataplane::Protocol, std::uint16_t>;
  struct Claims {  // names of pieces
    std::vector<PortName> ports;
    std::vector<std::uint16_t> entries;  // ports that this host answers on
    std::vector<std::uint16_t> bindings;
    std::vector<IpAddress> virtual_ips;
  };
  struct Touched {
    bool everything = false;
    std::set<std::string> services, endpoints, networks;
  };
  [[nodiscard]] const model::ServiceRow* service(const std::string& id);
  [[nodiscard]] std::vector<const model::EndpointRow*> tasks_of(const std::string& service_id) const;
  [[nodiscard]] Touched rows_of(const model::TableChange& change);
  void leave_service(const std::string& task_id);
  void join_service(const std::string& task_id);
  void place_service(const std::string& id);
  // False: another service has the name.
  [[nodiscard]] bool claim(Claims& claims, const dataplane::PublishedPort& port);
  [[nodiscard]] bool claim(Claims& claims, const dataplane::Binding& binding);
  [[nodiscard]] bool claim(Claims& claims, const dataplane::VirtualIp& vip);
  [[nodiscard]] bool claim_all(const std::string& service_id, const ServicePieces& pieces);
  void give_up(const std::string& service_id, Claims& sum);

  model::EndpointTables tables_;
  std::optional<TableMerger> merger_;
  NetworkIndex networks_;
  std::unordered_map<std::string, std::vector<const TableMerger::Place*>> tasks_of_;  // by service
  // Networks on which a service or one of its tasks has an address or a name, both ways.
  std::unordered_map<std::string, std::set<std::string>> networks_of_, services_on_;

  bool unique_ = true;    // no id is there twice
  bool settled_ = false;  // what the data plane was told is known, and each name in it is one service's
  std::unordered_map<std::string, Claims> claims_;  // by service
  std::set<PortName> ports_;
  std::multiset<std::uint16_t> entries_;
  std::set<std::uint16_t> bindings_;
  std::set<IpAddress> virtual_ips_;
  Touched touched_;
};

}  // namespace mesh::agent
