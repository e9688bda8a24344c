// What every implementation of Store promises. A new implementation adds one line to the list at the end.
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <random>
#include <stdlib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/store/memory_store.h"
#include "control/store/sqlite_store.h"

namespace mesh::store {
namespace {

// One way to open a store in a directory.
struct Implementation {
  const char* name;
  std::function<std::unique_ptr<Store>(const std::string& directory)> open;
};

class StoreConformance : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/storeXXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    store_ = GetParam().open(directory_);
    ASSERT_NE(store_, nullptr);
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  std::uint64_t put(const std::string& id, const std::string& json) {
    const auto version = store_->commit({{Kind::kTask, id, json}}, {});
    EXPECT_TRUE(version);
    return version.value_or(0);
  }
  std::map<std::string, Record> read() {
    std::map<std::string, Record> result;
    for (const Record& record : store_->snapshot().value().records) result[record.id] = record;
    return result;
  }

  std::string directory_;
  std::unique_ptr<Store> store_;
};

// Those that outlive their object.
class LastingStore : public StoreConformance {};

TEST_P(StoreConformance, BeginsEmpty) {
  const auto snapshot = store_->snapshot();
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->records.empty());
}

TEST_P(StoreConformance, WritesAndRemoves) {
  const std::uint64_t first = put("a", "{}");
  const std::uint64_t second = put("a", R"({"x":"ü\u0000"})");
  EXPECT_GT(second, first);
  EXPECT_EQ(read().at("a"), (Record{Kind::kTask, "a", R"({"x":"ü\u0000"})", second}));
  ASSERT_TRUE(store_->commit({{Kind::kTask, "a", std::nullopt}}, {}));
  EXPECT_TRUE(read().empty());
  EXPECT_TRUE(store_->commit({{Kind::kTask, "a", std::nullopt}}, {})) << "removing nothing is no error";
}

TEST_P(StoreConformance, KindsAreApart) {
  ASSERT_TRUE(store_->commit({{Kind::kTask, "a", "1"}, {Kind::kNode, "a", "2"}}, {}));
  ASSERT_TRUE(store_->commit({{Kind::kTask, "a", std::nullopt}}, {}));
  const auto snapshot = store_->snapshot();
  ASSERT_EQ(snapshot->records.size(), 1U);
  EXPECT_EQ(snapshot->records[0].kind, Kind::kNode);
}

TEST_P(StoreConformance, OneCommitHasOneVersion) {
  const auto version = store_->commit({{Kind::kTask, "a", "1"}, {Kind::kTask, "b", "2"}}, {});
  ASSERT_TRUE(version);
  EXPECT_EQ(read().at("a").version, *version);
  EXPECT_EQ(read().at("b").version, *version);
  EXPECT_EQ(store_->snapshot()->version, *version);
}

TEST_P(StoreConformance, PreconditionsHoldOrNothingHappens) {
  const std::uint64_t version = put("a", "1");
  const std::vector<Change> change{{Kind::kTask, "b", "2"}, {Kind::kTask, "a", "2"}};
  for (const Precondition& wrong : {Precondition{Kind::kTask, "a", version + 1}, Precondition{Kind::kTask, "a", 0},
                                    Precondition{Kind::kTask, "missing", 7}, Precondition{Kind::kNode, "a", version}}) {
    const auto refused = store_->commit(change, {wrong});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::kConflict);
    EXPECT_THAT(refused.error().message, testing::HasSubstr(wrong.id));
    EXPECT_EQ(read().size(), 1U);
    EXPECT_EQ(store_->snapshot()->version, version);
  }
  EXPECT_TRUE(store_->commit(change, {{Kind::kTask, "a", version}, {Kind::kTask, "b", 0}}));
  EXPECT_EQ(read().size(), 2U);
}

TEST_P(StoreConformance, PreconditionsAloneAreChecked) {
  const std::uint64_t version = put("a", "1");
  EXPECT_EQ(store_->commit({}, {{Kind::kTask, "a", version}}).value_or(0), version);
  EXPECT_FALSE(store_->commit({}, {{Kind::kTask, "a", version + 1}}));
}

TEST_P(StoreConformance, LimitsAreRefusedWhole) {
  std::vector<Change> many;
  for (std::size_t i = 0; i <= kChangesMax; ++i) many.push_back({Kind::kTask, std::to_string(i), "1"});
  EXPECT_EQ(store_->commit(many, {}).error().kind, ErrorKind::kExhausted);
  many.pop_back();
  EXPECT_TRUE(store_->commit(many, {}));
  const std::string large(kObjectBytesMax + 1, 'x');
  EXPECT_EQ(store_->commit({{Kind::kTask, "ok", "1"}, {Kind::kTask, "large", large}}, {}).error().kind,
            ErrorKind::kExhausted);
  EXPECT_FALSE(read().contains("ok"));
  EXPECT_TRUE(store_->commit({{Kind::kTask, "large", large.substr(1)}}, {}));
  EXPECT_EQ(store_->commit({{Kind::kTask, "x", "1"}, {Kind::kTask, "x", "2"}}, {}).error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(store_->commit({{Kind::kTask, "", "1"}}, {}).error().kind, ErrorKind::kInvalid);
}

TEST_P(StoreConformance, WatchTellsEveryCommitOnceInOrder) {
  const std::uint64_t first = put("a", "1");
  const std::uint64_t second = put("b", "2");
  std::vector<Batch> seen;
  {
    const auto watch = store_->watch(first, [&](const Batch& batch) { seen.push_back(batch); });
    ASSERT_TRUE(watch);
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].version, second);
    EXPECT_THAT(seen[0].changes, testing::ElementsAre(Change{Kind::kTask, "b", "2"}));
    const std::uint64_t third = put("a", "3");
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_EQ(seen[1].version, third);
    EXPECT_FALSE(store_->commit({{Kind::kTask, "a", "4"}}, {{Kind::kTask, "a", 0}}));
    EXPECT_EQ(seen.size(), 2U) << "a refused commit is not told";
  }
  put("a", "5");
  EXPECT_EQ(seen.size(), 2U) << "the watch has ended";
}

TEST_P(StoreConformance, SnapshotAndWatchMeet) {
  put("a", "1");
  const auto snapshot = store_->snapshot();
  std::vector<std::uint64_t> seen;
  const auto watch = store_->watch(snapshot->version, [&](const Batch& batch) { seen.push_back(batch.version); });
  ASSERT_TRUE(watch);
  EXPECT_TRUE(seen.empty());
  put("a", "2");
  EXPECT_EQ(seen.size(), 1U);
}

TEST_P(StoreConformance, WatchFromNowhereIsRefused) {
  put("a", "1");
  EXPECT_EQ(store_->watch(store_->snapshot()->version + 1, [](const Batch&) {}).error().kind, ErrorKind::kNotFound);
  for (int i = 0; i < 300; ++i) put("a", "1");
  EXPECT_EQ(store_->watch(1, [](const Batch&) {}).error().kind, ErrorKind::kNotFound);
}

TEST_P(StoreConformance, AWatchMayEndItselfAndOthers) {
  int calls = 0;
  std::unique_ptr<Watch> one, two;
  one = store_
            ->watch(store_->snapshot()->version,
                    [&](const Batch&) {
                      ++calls;
                      one.reset();
                      two.reset();
                    })
            .value();
  two = store_->watch(store_->snapshot()->version, [&](const Batch&) { ++calls; }).value();
  put("a", "1");
  put("a", "2");
  EXPECT_EQ(calls, 1);
}

TEST_P(LastingStore, IsThereAfterReopening) {
  put("a", "1");
  ASSERT_TRUE(store_->commit({{Kind::kTask, "b", "2"}}, {}, Durability::kRelaxed));
  const auto before = store_->snapshot().value();
  store_.reset();
  store_ = GetParam().open(directory_);
  ASSERT_NE(store_, nullptr);
  const auto after = store_->snapshot().value();
  EXPECT_EQ(after.version, before.version);
  EXPECT_EQ(after.records, before.records);
  EXPECT_GT(put("a", "3"), before.version) << "versions go on";
}

// Against a map: random commits, half of them refused, and a watcher that rebuilds the same state.
TEST_P(StoreConformance, AgreesWithAMap) {
  std::mt19937 random(3);
  std::map<std::string, std::pair<std::string, std::uint64_t>> model, watched;
  const auto watch = store_->watch(store_->snapshot()->version, [&](const Batch& batch) {
    for (const Change& change : batch.changes) {
      if (change.json) {
        watched[change.id] = {*change.json, batch.version};
      } else {
        watched.erase(change.id);
      }
    }
  });
  ASSERT_TRUE(watch);
  for (int step = 0; step < 400; ++step) {
    std::map<std::string, std::optional<std::string>> wanted;
    for (std::uint32_t n = random() % 4; n > 0; --n) {
      wanted[std::to_string(random() % 6)] = random() % 3 == 0 ? std::nullopt : std::optional(std::to_string(random()));
    }
    const std::string checked = std::to_string(random() % 6);
    const auto found = model.find(checked);
    const std::uint64_t actual = found == model.end() ? 0 : found->second.second;
    const std::uint64_t required = random() % 2 == 0 ? actual : actual + random() % 2;
    std::vector<Change> changes;
    for (const auto& [id, json] : wanted) changes.push_back({Kind::kTask, id, json});
    const auto version = store_->commit(changes, {{Kind::kTask, checked, required}},
                                        random() % 2 == 0 ? Durability::kDurable : Durability::kRelaxed);
    ASSERT_EQ(version.has_value(), required == actual);
    if (!version) continue;
    for (const auto& [id, json] : wanted) {
      if (json) {
        model[id] = {*json, *version};
      } else {
        model.erase(id);
      }
    }
  }
  std::map<std::string, std::pair<std::string, std::uint64_t>> stored;
  for (const auto& [id, record] : read()) stored[id] = {record.json, record.version};
  EXPECT_EQ(stored, model);
  EXPECT_EQ(watched, model);
}

Implementation memory() {
  return {"Memory", [](const std::string&) { return std::make_unique<MemoryStore>(); }};
}
Implementation sqlite() {
  return {"Sqlite", [](const std::string& directory) {
            auto store = open_sqlite_store(directory + "/store.db");
            EXPECT_TRUE(store) << (store ? "" : store.error().message);
            return store ? std::move(*store) : nullptr;
          }};
}

INSTANTIATE_TEST_SUITE_P(All, StoreConformance, testing::Values(memory(), sqlite()),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(All, LastingStore, testing::Values(sqlite()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace mesh::store
