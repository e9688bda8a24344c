// What only a file can suffer: two processes, damage, a death in the middle of writing.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/store/sqlite_store.h"

namespace mesh::store {
namespace {

class SqliteStore : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/sqliteXXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    path_ = path + "/store.db";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_, path_;
};

TEST_F(SqliteStore, IsTheOwnersAlone) {
  const auto store = open_sqlite_store(path_);
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->commit({{Kind::kTask, "a", "1"}}, {}));
  for (const auto& file : std::filesystem::directory_iterator(directory_)) {
    struct stat info{};
    ASSERT_EQ(stat(file.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0077U, 0U) << file.path();
  }
}

TEST_F(SqliteStore, TwoCannotHaveIt) {
  auto store = open_sqlite_store(path_);
  ASSERT_TRUE(store);
  const auto second = open_sqlite_store(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kConflict);
  EXPECT_THAT(second.error().message, testing::HasSubstr("second meshd"));
  store->reset();
  EXPECT_TRUE(open_sqlite_store(path_));
}

TEST_F(SqliteStore, GarbageIsNamed) {
  std::ofstream(path_) << std::string(8192, 'x');
  const auto store = open_sqlite_store(path_);
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, testing::AllOf(testing::HasSubstr(path_), testing::HasSubstr("damaged")));
}

TEST_F(SqliteStore, DamageIsNamed) {
  {
    const auto store = open_sqlite_store(path_);
    ASSERT_TRUE(store);
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE((*store)->commit({{Kind::kTask, "id" + std::to_string(i), std::string(500, 'j')}}, {}));
    }
  }
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 2);
    file << std::string(4096 * 8, '\xa5');
  }
  const auto store = open_sqlite_store(path_);
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, testing::HasSubstr("damaged"));
}

TEST_F(SqliteStore, MissingDirectoryIsNamed) {
  const auto store = open_sqlite_store(directory_ + "/none/store.db");
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, testing::HasSubstr("none/store.db"));
}

// A child commits pairs of objects as fast as it can and is killed at some moment: what it was told is there, no pair
// is torn, and the store opens again.
TEST_F(SqliteStore, SurvivesItsProcess) {
  for (int round = 0; round < 8; ++round) {
    int told[2];
    ASSERT_EQ(pipe(told), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(told[0]);
      auto store = open_sqlite_store(path_);
      if (!store) _exit(1);
      for (int i = 0; i < 1'000'000; ++i) {
        const std::string value = std::to_string(round) + "/" + std::to_string(i);
        const auto durability = i % 2 == 0 ? Durability::kDurable : Durability::kRelaxed;
        if (!(*store)->commit({{Kind::kTask, "a", value}, {Kind::kTask, "b", value}}, {}, durability)) _exit(2);
        if (write(told[1], &i, sizeof i) != sizeof i) _exit(3);
      }
      _exit(0);
    }
    close(told[1]);
    int last = -1;
    for (int reads = 0; reads < 5 + round * 7; ++reads)
      ASSERT_EQ(read(told[0], &last, sizeof last), ssize_t{sizeof last});
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    while (read(told[0], &last, sizeof last) == ssize_t{sizeof last}) continue;
    close(told[0]);
    const auto store = open_sqlite_store(path_);
    ASSERT_TRUE(store) << store.error().message;
    const auto snapshot = (*store)->snapshot().value();
    ASSERT_EQ(snapshot.records.size(), 2U);
    EXPECT_EQ(snapshot.records[0].json, snapshot.records[1].json);
    EXPECT_TRUE(snapshot.records[0].json.starts_with(std::to_string(round) + "/"));
    EXPECT_GE(std::stoi(snapshot.records[0].json.substr(2)), last);
  }
}

}  // namespace
}  // namespace mesh::store
