#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/id.h"

namespace mesh {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "mesh-file-" + make_hex_id(8);
    ASSERT_EQ(::mkdir(directory_.c_str(), 0755), 0);
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(directory_)); }
  std::string at(const std::string& name) const { return directory_ + "/" + name; }
  static mode_t mode_of(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777U;
  }
  static bool exists(const std::string& path) {
    struct stat status{};
    return ::lstat(path.c_str(), &status) == 0;
  }

  std::string directory_;
};

TEST_F(FileTest, appends_to_what_is_there_or_begins_it) {
  ASSERT_TRUE(append_file(at("log"), "one\n", 0600));
  ASSERT_TRUE(append_file(at("log"), "two\n", 0644));
  EXPECT_EQ(read_file(at("log")), "one\ntwo\n");
  EXPECT_EQ(mode_of(at("log")), 0600U) << "as it was made";
  const Status nowhere = append_file(at("absent/log"), "x");
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().message, testing::HasSubstr("absent/log"));
}

TEST_F(FileTest, writes_and_reads_whole_files) {
  const std::string content(200'000, 'x');
  ASSERT_TRUE(write_file(at("a"), content, 0640));
  EXPECT_EQ(read_file(at("a")), content);
  EXPECT_EQ(mode_of(at("a")), 0640U);
  ASSERT_TRUE(write_file(at("a"), ""));
  EXPECT_EQ(read_file(at("a")), "");
  EXPECT_THAT(*list_directory(directory_), testing::ElementsAre("a"));  // no temporary file stays
}

TEST_F(FileTest, mode_ignores_umask) {
  const mode_t before = ::umask(0077);
  ASSERT_TRUE(write_file(at("a"), "x", 0644));
  ASSERT_TRUE(make_directories(at("d"), 0775));
  ::umask(before);
  EXPECT_EQ(mode_of(at("a")), 0644U);
  EXPECT_EQ(mode_of(at("d")), 0775U);
}

TEST_F(FileTest, a_reader_of_the_old_file_keeps_it) {
  ASSERT_TRUE(write_file(at("a"), "old"));
  const int fd = ::open(at("a").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_TRUE(write_file(at("a"), "new"));
  char buffer[8] = {};
  EXPECT_EQ(::read(fd, buffer, sizeof buffer), 3);
  EXPECT_STREQ(buffer, "old");
  ::close(fd);
}

TEST_F(FileTest, failed_write_leaves_nothing) {
  ASSERT_TRUE(make_directories(at("d")));
  const Status status = write_file(at("d"), "x");  // a directory cannot be replaced
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find(at("d")), std::string::npos);
  EXPECT_THAT(*list_directory(directory_), testing::ElementsAre("d"));
  EXPECT_EQ(write_file(at("none/a"), "x").error().kind, ErrorKind::kNotFound);
}

TEST_F(FileTest, reading_has_a_limit) {
  ASSERT_TRUE(write_file(at("a"), std::string(101, 'x')));
  EXPECT_EQ(read_file(at("a"), 101)->size(), 101U);
  const auto refused = read_file(at("a"), 100);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kInvalid);
  EXPECT_FALSE(read_file("/dev/zero"));
  EXPECT_EQ(read_file(at("none")).error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(read_file(directory_));
  EXPECT_FALSE(read_file("/proc/self/status")->empty());
}

TEST_F(FileTest, makes_directories) {
  ASSERT_TRUE(make_directories(at("a/b/c"), 0700));
  EXPECT_EQ(mode_of(at("a/b/c")), 0700U);
  EXPECT_TRUE(make_directories(at("a/b/c"), 0755));
  EXPECT_EQ(mode_of(at("a/b/c")), 0700U);
  EXPECT_TRUE(make_directories(at("a/b/d/")));
  ASSERT_TRUE(write_file(at("file"), "x"));
  EXPECT_FALSE(make_directories(at("file")));
  EXPECT_FALSE(make_directories(at("file/x")));
  EXPECT_FALSE(make_directories(""));
}

TEST_F(FileTest, kernel_files_are_not_replaced) {
  ASSERT_TRUE(write_file(at("a"), "old"));
  struct stat before{};
  ASSERT_EQ(::stat(at("a").c_str(), &before), 0);
  ASSERT_TRUE(write_kernel_file(at("a"), "new"));
  struct stat after{};
  ASSERT_EQ(::stat(at("a").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(read_file(at("a")), "new");
  EXPECT_EQ(write_kernel_file(at("none"), "x").error().kind, ErrorKind::kNotFound);
}

TEST_F(FileTest, removes_trees_and_spares_what_links_point_to) {
  ASSERT_TRUE(make_directories(at("kept")));
  ASSERT_TRUE(write_file(at("kept/file"), "x"));
  ASSERT_TRUE(make_directories(at("tree/deep/er")));
  ASSERT_TRUE(write_file(at("tree/deep/er/file"), "x"));
  ASSERT_EQ(::symlink("../kept", at("tree/link").c_str()), 0);
  ASSERT_EQ(::symlink("/nowhere", at("tree/dangling").c_str()), 0);
  EXPECT_TRUE(remove_tree(at("tree")));
  EXPECT_FALSE(exists(at("tree")));
  EXPECT_EQ(read_file(at("kept/file")), "x");
  EXPECT_TRUE(remove_tree(at("tree")));
  ASSERT_EQ(::symlink("kept", at("link").c_str()), 0);
  EXPECT_TRUE(remove_tree(at("link")));
  EXPECT_EQ(read_file(at("kept/file")), "x");
}

TEST_F(FileTest, lists_sorted) {
  for (const char* name : {"b", "a", ".hidden"}) ASSERT_TRUE(write_file(at(name), "x"));
  EXPECT_THAT(*list_directory(directory_), testing::ElementsAre(".hidden", "a", "b"));
  EXPECT_EQ(list_directory(at("none")).error().kind, ErrorKind::kNotFound);
}

}  // namespace
}  // namespace mesh
