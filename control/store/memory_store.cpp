#include "control/store/memory_store.h"

#include "control/store/checks.h"

namespace mesh::store {

Result<std::uint64_t> MemoryStore::commit(const std::vector<Change>& changes,
                                          const std::vector<Precondition>& preconditions, Durability) {
  TRY(check_changes(changes));
  for (const Precondition& precondition : preconditions) {
    const auto found = records_.find({precondition.kind, precondition.id});
    TRY(check_precondition(precondition, found == records_.end() ? 0 : found->second.version));
  }
  if (changes.empty()) return version_;
  ++version_;
  for (const Change& change : changes) {
    if (change.json) {
      records_[{change.kind, change.id}] = Record{change.kind, change.id, *change.json, version_};
    } else {
      records_.erase({change.kind, change.id});
    }
  }
  watchers_.publish({version_, changes});
  return version_;
}

Result<Snapshot> MemoryStore::snapshot() const {
  Snapshot snapshot{version_, {}};
  for (const auto& [key, record] : records_) snapshot.records.push_back(record);
  return snapshot;
}

Result<std::unique_ptr<Watch>> MemoryStore::watch(std::uint64_t from, std::function<void(const Batch&)> on_batch) {
  return watchers_.add(from, std::move(on_batch));
}

}  // namespace mesh::store
