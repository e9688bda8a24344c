// What is behind Manager: shared by the files that implement it, included by nobody else.
#pragma once

#include "control/manager/draft.h"
#include "control/manager/liveness.h"
#include "control/manager/manager.h"
#include "control/manager/publisher.h"
#include "control/manager/settled.h"

namespace mesh::manager {

class Manager::Impl {
 public:
  Impl(std::unique_ptr<store::Store> store, Options options, Time now);

  Status start(Time now);
  [[nodiscard]] Draft draft(Time now) const { return {view, now, options.make_id}; }
  // Commits what the draft changed; the view follows. The draft is used up.
  Status commit(const Draft& draft, const std::vector<store::Precondition>& preconditions,
                store::Durability durability);

  // The node's new state in the draft, by what was heard of it; returns when to look again.
  Time update_liveness(Draft& draft);
  void apply_report(Draft& draft, const std::string& node_id, const TaskReport& report) const;
  [[nodiscard]] Duration period() const;
  void name_laggards(Time now);
  // A clock that was set, or a manager that was held up, must not make nodes look silent.
  void forgive_lost_time(Time now);
  Delivery deliver(const std::string& node_id);

  std::unique_ptr<store::Store> store;
  Options options;
  store::View view;
  std::unique_ptr<store::Watch> watch;  // after the store and the view: ends before they do
  std::function<void(const store::Batch&)> listener;
  std::optional<Publisher> publisher;
  Time started;
  Time last_tick;
  Time promised = Time::max();        // when the last tick asked to be called again
  std::map<std::string, Time> heard;  // node -> last message
  std::vector<std::pair<std::string, TaskReport>> reports;
  std::vector<HeldSlots> held;
  // Node -> what its session was told of each task; absent: everything is to be told.
  struct Told {
    std::uint64_t version = 0;  // of the task's row: the same version needs no comparison
    model::Task task;
  };
  std::map<std::string, std::map<std::string, Told>> told;
  std::map<std::string, std::vector<std::string>> problems;
  std::vector<std::string> laggards;
};

// The task as its host is told it, and the part of it that matters when comparing.
[[nodiscard]] model::Task task_for_host(const model::Task& task);
[[nodiscard]] model::Task comparable(model::Task task);

}  // namespace mesh::manager
