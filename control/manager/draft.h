// A draft: the view as it would be after the changes made so far, and these changes. Every step of reconciliation reads
// and writes one draft; nothing reaches the store before the whole draft is committed.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/store/view.h"

namespace mesh::manager {

class Draft {
 public:
  // `base` outlives the draft and does not change meanwhile.
  Draft(const store::View& base, Time now, std::function<std::string()> make_id)
      : base_(base), work_(base), now_(now), make_id_(std::move(make_id)) {}

  [[nodiscard]] const store::View& view() const { return work_; }
  [[nodiscard]] const store::View& base() const { return base_; }
  [[nodiscard]] Time now() const { return now_; }
  [[nodiscard]] std::string make_id() { return make_id_(); }

  void put(model::Cluster row) { record(store::Kind::kCluster, std::move(row)); }
  void put(model::Node row) { record(store::Kind::kNode, std::move(row)); }
  void put(model::Service row) { record(store::Kind::kService, std::move(row)); }
  void put(model::Task row) { record(store::Kind::kTask, std::move(row)); }
  void put(model::Network row) { record(store::Kind::kNetwork, std::move(row)); }
  void put(model::PortState row) { record(store::Kind::kPort, std::move(row)); }
  void put(model::Withdrawn row) { record(store::Kind::kWithdrawn, std::move(row)); }
  void put_counter(const std::string& name, std::uint64_t value);
  void erase(store::Kind kind, const std::string& id);

  // A step has something to do at `when`, even if nothing happens before.
  void wake_at(Time when);
  [[nodiscard]] Time next_wake() const { return next_wake_; }  // Time::max(): never

  // What differs from the base, with UpdatedAt set to now; in the order of kind and id.
  [[nodiscard]] std::vector<store::Change> changes() const;

 private:
  template <class T>
  void record(store::Kind kind, T row) {
    keep(kind, row.id);
    touched_.emplace(kind, row.id);
    work_.put(std::move(row));
  }
  // Rows that are replaced stay alive, so that pointers into the view hold as long as the draft.
  void keep(store::Kind kind, const std::string& id);

  const store::View& base_;
  store::View work_;
  Time now_;
  std::function<std::string()> make_id_;
  std::set<std::pair<store::Kind, std::string>> touched_;
  std::vector<std::shared_ptr<const void>> replaced_;
  Time next_wake_ = Time::max();
};

}  // namespace mesh::manager
