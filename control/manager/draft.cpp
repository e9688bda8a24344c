#include "control/manager/draft.h"

namespace mesh::manager {
namespace {

void set_updated(model::Object& row, Time now) {
  row.updated_at = now;
  if (row.created_at == Time{}) row.created_at = now;
}
void set_updated(model::Network& row, Time now) {
  if (!row.mesh) row.mesh.emplace();
  row.mesh->updated_at = now;
  if (row.created_at == Time{}) row.created_at = now;
}
void set_updated(model::PortState&, Time) {}
void set_updated(model::Withdrawn&, Time) {}

template <class T>
void add_change(std::vector<store::Change>& changes, store::Kind kind, const std::string& id, const T* before,
                const T* after, Time now) {
  if (after == nullptr) {
    if (before != nullptr) changes.push_back({kind, id, std::nullopt});
    return;
  }
  if (before != nullptr && *before == *after) return;
  T row = *after;
  set_updated(row, now);
  changes.push_back({kind, id, to_text(encode(row))});
}

}  // namespace

void Draft::put_counter(const std::string& name, std::uint64_t value) {
  touched_.emplace(store::Kind::kCounter, name);
  work_.put_counter(name, value);
}

void Draft::keep(store::Kind kind, const std::string& id) {
  const auto keep_row = [&](const auto& rows) {
    const auto found = rows.find(id);
    if (found != rows.end()) replaced_.push_back(found->second);
  };
  switch (kind) {
    case store::Kind::kNode:
      keep_row(work_.nodes());
      break;
    case store::Kind::kService:
      keep_row(work_.services());
      break;
    case store::Kind::kTask:
      keep_row(work_.tasks());
      break;
    case store::Kind::kNetwork:
      keep_row(work_.networks());
      break;
    case store::Kind::kPort:
      keep_row(work_.ports());
      break;
    case store::Kind::kWithdrawn:
      keep_row(work_.withdrawn());
      break;
    case store::Kind::kCluster:
    case store::Kind::kCounter:
      break;
  }
}

void Draft::erase(store::Kind kind, const std::string& id) {
  keep(kind, id);
  touched_.emplace(kind, id);
  work_.erase(kind, id);
}

void Draft::wake_at(Time when) {
  if (when < next_wake_) next_wake_ = when;
}

std::vector<store::Change> Draft::changes() const {
  std::vector<store::Change> changes;
  for (const auto& [kind, id] : touched_) {
    switch (kind) {
      case store::Kind::kCluster:
        add_change(changes, kind, id, base_.cluster(), work_.cluster(), now_);
        break;
      case store::Kind::kNode:
        add_change(changes, kind, id, base_.node(id), work_.node(id), now_);
        break;
      case store::Kind::kService:
        add_change(changes, kind, id, base_.service(id), work_.service(id), now_);
        break;
      case store::Kind::kTask:
        add_change(changes, kind, id, base_.task(id), work_.task(id), now_);
        break;
      case store::Kind::kNetwork:
        add_change(changes, kind, id, base_.network(id), work_.network(id), now_);
        break;
      case store::Kind::kPort:
        add_change(changes, kind, id, base_.port(id), work_.port(id), now_);
        break;
      case store::Kind::kWithdrawn:
        add_change(changes, kind, id, base_.withdrawn(id), work_.withdrawn(id), now_);
        break;
      case store::Kind::kCounter:
        if (base_.counter(id) != work_.counter(id)) {
          changes.push_back({kind, id, std::to_string(work_.counter(id))});
        }
        break;
    }
  }
  return changes;
}

}  // namespace mesh::manager
