#include "control/store/watchers.h"

#include <fmt/format.h>

namespace mesh::store {

class Watchers::Entry final : public Watch {
 public:
  Entry(std::weak_ptr<Callbacks> callbacks, std::uint64_t id) : callbacks_(std::move(callbacks)), id_(id) {}
  ~Entry() override {
    if (const auto callbacks = callbacks_.lock()) callbacks->erase(id_);
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

 private:
  std::weak_ptr<Callbacks> callbacks_;
  std::uint64_t id_;
};

Result<std::unique_ptr<Watch>> Watchers::add(std::uint64_t from, std::function<void(const Batch&)> on_batch) {
  if (from < first_ || from > last_) {
    return fail(
        ErrorKind::kNotFound,
        fmt::format("no watch from version {}: commits {} to {} are known; take a snapshot", from, first_, last_));
  }
  for (const Batch& batch : history_) {
    if (batch.version > from) on_batch(batch);
  }
  const std::uint64_t id = next_id_++;
  callbacks_->emplace(id, std::move(on_batch));
  return std::make_unique<Entry>(callbacks_, id);
}

void Watchers::publish(Batch batch) {
  last_ = batch.version;
  history_.push_back(std::move(batch));
  if (history_.size() > kHistoryMax) {
    first_ = history_.front().version;
    history_.pop_front();
  }
  // By id, because a callback may end watches, its own too.
  for (std::uint64_t id = 0;;) {
    const auto next = callbacks_->upper_bound(id);
    if (next == callbacks_->end()) break;
    id = next->first;
    const auto callback = next->second;
    callback(history_.back());
  }
}

}  // namespace mesh::store
