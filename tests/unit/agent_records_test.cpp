// What an agent finds on its disk: tables with the changes that were added since.
#include <random>

#include <gtest/gtest.h>

#include "base/file.h"
#include "control/agent/records.h"
#include "control/agent/table_merge.h"

namespace mesh::agent {
namespace {

class RecordsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/agent-records-" + std::to_string(::getpid());
    ASSERT_TRUE(remove_tree(directory_));
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(directory_)); }

  [[nodiscard]] std::string changes_path() const { return directory_ + "/agent/tables.changes"; }
  [[nodiscard]] model::EndpointTables loaded() const {
    const auto tables = load_tables(directory_);
    EXPECT_TRUE(tables) << tables.error().message;
    return tables.value_or(model::EndpointTables{});
  }

  std::string directory_;
};

model::EndpointRow row_of(std::uint32_t number, std::uint16_t node) {
  model::EndpointRow row;
  row.task_id = "t" + std::to_string(number);
  row.node = node;
  return row;
}

// From `from` on; one row is put and one goes.
model::TableChange change_of(model::TableVersion from, std::mt19937& random) {
  model::TableChange change;
  change.from = from;
  change.upsert.version = {from.epoch, from.version + 1};
  change.upsert.endpoints = {row_of(random() % 20, static_cast<std::uint16_t>(random() % 9))};
  change.removed_endpoints = {"t" + std::to_string(random() % 20)};
  return change;
}

void expect_same(model::EndpointTables a, model::EndpointTables b) {
  EXPECT_EQ(a.version, b.version);
  std::ranges::sort(a.endpoints, {}, &model::EndpointRow::task_id);
  std::ranges::sort(b.endpoints, {}, &model::EndpointRow::task_id);
  EXPECT_EQ(a.endpoints, b.endpoints);
}

TEST_F(RecordsTest, ChangesAreFoundWithTheTablesThatTheyChange) {
  std::mt19937 random(1);
  model::EndpointTables tables;
  tables.version = {3, 1};
  ASSERT_TRUE(save_tables(directory_, tables));
  for (int pass = 0; pass < 40; ++pass) {
    std::vector<model::TableChange> changes;
    for (int i = 0; i < 3; ++i) {
      changes.push_back(change_of(tables.version, random));
      ASSERT_TRUE(merge(tables, changes.back()));
    }
    const auto saved = save_changes(directory_, changes);
    ASSERT_TRUE(saved && *saved);
    expect_same(loaded(), tables);
  }
  ASSERT_TRUE(save_tables(directory_, tables));
  EXPECT_FALSE(read_file(changes_path())) << "they are in the tables now";
  expect_same(loaded(), tables);
}

TEST_F(RecordsTest, WithoutTablesChangesAreNotAdded) {
  std::mt19937 random(1);
  const auto saved = save_changes(directory_, {change_of({3, 1}, random)});
  ASSERT_TRUE(saved);
  EXPECT_FALSE(*saved);
}

// meshd can be killed at any moment.
TEST_F(RecordsTest, APartOfALineAndChangesOfOtherTablesAreSkipped) {
  std::mt19937 random(1);
  model::EndpointTables tables;
  tables.version = {3, 1};
  ASSERT_TRUE(save_tables(directory_, tables));
  const model::TableChange first = change_of(tables.version, random);
  ASSERT_TRUE(merge(tables, first));
  const auto add = [&](const model::TableChange& change) {
    const auto saved = save_changes(directory_, {change});
    ASSERT_TRUE(saved && *saved);
  };
  add(change_of({2, 9}, random));  // of tables that were replaced since
  add(first);
  ASSERT_TRUE(append_file(changes_path(), R"({"From":{"Epoch":3,"Vers)"));
  expect_same(loaded(), tables);
  const model::TableChange second = change_of(tables.version, random);
  ASSERT_TRUE(merge(tables, second));
  add(second);
  expect_same(loaded(), tables);
  add(first);  // repeated
  expect_same(loaded(), tables);
}

TEST_F(RecordsTest, ManyChangesAskForTheTablesAsAWhole) {
  model::EndpointTables tables;
  tables.version = {3, 1};
  ASSERT_TRUE(save_tables(directory_, tables));
  model::TableChange change;
  change.from = tables.version;
  change.upsert.version = {3, 2};
  for (std::uint32_t number = 0; number < 4000; ++number) change.upsert.endpoints.push_back(row_of(number, 1));
  int added = 0;
  for (bool goes_on = true; goes_on && added < 1000; ++added) {
    const auto saved = save_changes(directory_, {change});
    ASSERT_TRUE(saved);
    goes_on = *saved;
  }
  EXPECT_GT(added, 2);
  EXPECT_LT(added, 100);
}

}  // namespace
}  // namespace mesh::agent
