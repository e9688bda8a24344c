// A store that forgets everything when it goes: for tests, and for trying things out.
#pragma once

#include <map>

#include "control/store/store.h"
#include "control/store/watchers.h"

namespace mesh::store {

class MemoryStore final : public Store {
 public:
  Result<std::uint64_t> commit(const std::vector<Change>& changes, const std::vector<Precondition>& preconditions,
                               Durability durability) override;
  [[nodiscard]] Result<Snapshot> snapshot() const override;
  Result<std::unique_ptr<Watch>> watch(std::uint64_t from, std::function<void(const Batch&)> on_batch) override;

 private:
  std::map<std::pair<Kind, std::string>, Record> records_;
  std::uint64_t version_ = 0;
  Watchers watchers_;
};

}  // namespace mesh::store
