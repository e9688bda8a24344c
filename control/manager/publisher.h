// The newest tables, who has acknowledged what, and since which version each row is as it is. In memory only: a manager
// that starts begins a new epoch, and every host gets everything anew.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/manager/settled.h"
#include "control/model/endpoint_table.h"
#include "control/store/view.h"

namespace mesh::manager {

class Publisher {
 public:
  explicit Publisher(std::uint64_t epoch) { tables_->version = {epoch, 0}; }

  // Tables of the view become the newest version, if they differ. Returns whether they did, or something that was
  // withdrawn is no longer in them for the first time.
  bool publish(const store::View& view, Time now);
  [[nodiscard]] const model::EndpointTables& tables() const { return *tables_; }

  // ---- sessions
  void open(const std::string& node_id, model::TableVersion have, Time now);
  void close(const std::string& node_id);
  // False: nothing new was acknowledged.
  bool acknowledge(const std::string& node_id, model::TableVersion version);
  [[nodiscard]] bool is_open(const std::string& node_id) const { return sessions_.contains(node_id); }
  [[nodiscard]] std::vector<std::string> open_nodes() const;

  // What this host must be sent to hold the newest version; both absent: nothing. Marks it as sent.
  struct Outgoing {
    std::optional<model::EndpointTables> tables;
    std::optional<model::TableChange> change;
  };
  [[nodiscard]] Outgoing take_outgoing(const std::string& node_id);

  [[nodiscard]] Settled settled(Time now) const;
  // Nodes with a session that have not acknowledged a version which is older than the time-out.
  [[nodiscard]] std::vector<std::string> laggards(Time now) const;

 private:
  struct Session {
    std::shared_ptr<const model::EndpointTables> sent;  // null: nothing yet
    std::uint64_t acknowledged = 0;                     // version of this epoch
    Time opened;
  };
  struct Since {
    std::uint64_t version = 0;
    Time time;
  };
  bool publish_tables(const store::View& view, Time now);
  void track_endpoints(const model::EndpointTables& next, Since since);
  void track_ports(const model::EndpointTables& next, Since since);
  bool track_withdrawn(const store::View& view, Time now);
  // When every live host holds a table as new as this, or had its five seconds; `now`: they do.
  [[nodiscard]] Time held_by_all(const Since& since, Time now) const;
  [[nodiscard]] bool is_settled(const Since& since, Time now) const;

  std::shared_ptr<model::EndpointTables> tables_ = std::make_shared<model::EndpointTables>();
  std::map<std::string, Session> sessions_;
  std::map<std::string, std::pair<model::EndpointState, Since>> endpoints_;
  std::map<std::string, std::pair<model::PortRow, Since>> ports_;
  std::map<std::string, Since> withdrawn_;  // since which table nobody has them
  std::set<std::string> alive_;             // nodes that are not down, with a session or without
  std::deque<std::shared_ptr<const model::EndpointTables>> history_;  // for hosts that come back a little behind
};

}  // namespace mesh::manager
