#include "control/manager/publisher.h"

#include <algorithm>

#include "control/manager/endpoint_tables.h"
#include "control/manager/withdrawn.h"

namespace mesh::manager {
namespace {

constexpr std::size_t kHistoryMax = 16;  // versions; who is further behind gets everything

std::string port_key(const model::ServiceRow& service, const model::PortRow& port) {
  return service.id + "/" + port.protocol + "/" + std::to_string(port.published);
}

}  // namespace

bool Publisher::publish(const store::View& view, Time now) {
  const bool changed = publish_tables(view, now);
  return track_withdrawn(view, now) || changed;
}

bool Publisher::publish_tables(const store::View& view, Time now) {
  auto next = std::make_shared<model::EndpointTables>(make_tables(view));
  if (tables_->version.version != 0 && same_rows(*next, *tables_)) return false;
  next->version = {tables_->version.epoch, tables_->version.version + 1};
  const Since since{next->version.version, now};
  track_endpoints(*next, since);
  track_ports(*next, since);
  history_.push_back(next);
  if (history_.size() > kHistoryMax) history_.pop_front();
  tables_ = std::move(next);
  return true;
}

void Publisher::track_endpoints(const model::EndpointTables& next, Since since) {
  std::map<std::string, std::pair<model::EndpointState, Since>> tracked;
  for (const model::EndpointRow& row : next.endpoints) {
    const auto before = endpoints_.find(row.task_id);
    const bool same = before != endpoints_.end() && before->second.first == row.state;
    tracked.emplace(row.task_id, std::pair(row.state, same ? before->second.second : since));
  }
  endpoints_ = std::move(tracked);
}

void Publisher::track_ports(const model::EndpointTables& next, Since since) {
  std::map<std::string, std::pair<model::PortRow, Since>> tracked;
  for (const model::ServiceRow& service : next.services) {
    for (const model::PortRow& port : service.ports) {
      const std::string key = port_key(service, port);
      const auto before = ports_.find(key);
      const bool same = before != ports_.end() && before->second.first == port;
      tracked.emplace(key, std::pair(port, same ? before->second.second : since));
    }
  }
  ports_ = std::move(tracked);
}

bool Publisher::track_withdrawn(const store::View& view, Time now) {
  alive_.clear();
  for (const auto& [id, node] : view.nodes()) {
    if (node->status.state != model::NodeState::kDown) alive_.insert(id);
  }
  std::erase_if(withdrawn_, [&](const auto& entry) { return view.withdrawn(entry.first) == nullptr; });
  if (withdrawn_.size() == view.withdrawn().size()) return false;
  const std::map<std::string, std::string> owners = owners_in(*tables_);
  bool any = false;
  for (const auto& [id, row] : view.withdrawn()) {
    if (!owners.contains(id)) any |= withdrawn_.try_emplace(id, Since{tables_->version.version, now}).second;
  }
  return any;
}

Time Publisher::held_by_all(const Since& since, Time now) const {
  Time last = now;
  for (const std::string& id : alive_) {
    const auto session = sessions_.find(id);
    // A host without a session goes on with the tables that it has, and may be back with them soon.
    if (session == sessions_.end()) {
      last = std::max(last, since.time + kAcknowledgeTimeout);
    } else if (session->second.acknowledged < since.version) {
      last = std::max(last, std::max(since.time, session->second.opened) + kAcknowledgeTimeout);
    }
  }
  return last;
}

void Publisher::open(const std::string& node_id, model::TableVersion have, Time now) {
  Session session{.opened = now};
  for (const auto& tables : history_) {
    if (tables->version == have) {
      session.sent = tables;
      session.acknowledged = have.version;
    }
  }
  sessions_[node_id] = std::move(session);
}

void Publisher::close(const std::string& node_id) { sessions_.erase(node_id); }

bool Publisher::acknowledge(const std::string& node_id, model::TableVersion version) {
  const auto session = sessions_.find(node_id);
  if (session == sessions_.end() || version.epoch != tables_->version.epoch) return false;
  if (version.version <= session->second.acknowledged || version.version > tables_->version.version) return false;
  session->second.acknowledged = version.version;
  return true;
}

std::vector<std::string> Publisher::open_nodes() const {
  std::vector<std::string> result;
  for (const auto& [id, session] : sessions_) result.push_back(id);
  return result;
}

Publisher::Outgoing Publisher::take_outgoing(const std::string& node_id) {
  Outgoing out;
  const auto found = sessions_.find(node_id);
  if (found == sessions_.end() || tables_->version.version == 0) return out;
  Session& session = found->second;
  if (!session.sent) {
    out.tables = *tables_;
  } else if (session.sent->version != tables_->version) {
    out.change = difference(*session.sent, *tables_);
  }
  session.sent = tables_;
  return out;
}

bool Publisher::is_settled(const Since& since, Time now) const {
  // A host that has just opened its session has its own five seconds.
  return std::ranges::all_of(sessions_, [&](const auto& entry) {
    const Session& session = entry.second;
    return session.acknowledged >= since.version || std::max(since.time, session.opened) + kAcknowledgeTimeout <= now;
  });
}

Settled Publisher::settled(Time now) const {
  Settled result;
  const auto wait_for = [&](const Since& since) {
    for (const auto& [id, session] : sessions_) {
      if (session.acknowledged >= since.version) continue;
      const Time until = std::max(since.time, session.opened) + kAcknowledgeTimeout;
      if (until > now) result.next = std::min(result.next, until);
    }
  };
  for (const auto& [id, entry] : endpoints_) {
    result.published.insert(id);
    if (is_settled(entry.second, now)) {
      result.endpoints.emplace(id, entry.first);
    } else {
      wait_for(entry.second);
    }
  }
  for (const auto& [id, entry] : ports_) {
    if (is_settled(entry.second, now)) {
      result.ports.insert(id);
    } else {
      wait_for(entry.second);
    }
  }
  for (const auto& [id, since] : withdrawn_) {
    const Time at = held_by_all(since, now);
    if (at <= now) {
      result.withdrawn.insert(id);
    } else {
      result.next = std::min(result.next, at);
    }
  }
  return result;
}

std::vector<std::string> Publisher::laggards(Time now) const {
  std::vector<std::string> result;
  if (tables_->version.version == 0) return result;
  for (const auto& [id, session] : sessions_) {
    Time published = Time::max();
    for (const auto& [task, entry] : endpoints_) {
      if (entry.second.version > session.acknowledged) published = std::min(published, entry.second.time);
    }
    for (const auto& [port, entry] : ports_) {
      if (entry.second.version > session.acknowledged) published = std::min(published, entry.second.time);
    }
    if (published != Time::max() && std::max(published, session.opened) + kAcknowledgeTimeout <= now) {
      result.push_back(id);
    }
  }
  return result;
}

}  // namespace mesh::manager
