// Who watches a store of this process, and the last commits for watches that begin a little in the past.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "control/store/store.h"

namespace mesh::store {

class Watchers {
 public:
  static constexpr std::size_t kHistoryMax = 256;  // commits; who is further behind takes a snapshot

  // `version`: the store's now. The store has nothing to tell of earlier commits.
  void start_at(std::uint64_t version) { first_ = last_ = version; }
  [[nodiscard]] Result<std::unique_ptr<Watch>> add(std::uint64_t from, std::function<void(const Batch&)> on_batch);
  void publish(Batch batch);

 private:
  class Entry;
  // Shared with the entries, so that a watch may end while a batch is being published.
  using Callbacks = std::map<std::uint64_t, std::function<void(const Batch&)>>;
  std::shared_ptr<Callbacks> callbacks_ = std::make_shared<Callbacks>();
  std::uint64_t next_id_ = 1;
  std::uint64_t first_ = 0;  // history_ has every commit after this
  std::uint64_t last_ = 0;
  std::deque<Batch> history_;
};

}  // namespace mesh::store
