// What meshd asks of its host before it starts; provoked in full by tests/e2e/test_faults.py.
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "control/agent/host_check.h"

namespace mesh::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(HostCheck, CapabilitiesAreNamedWithTheirUse) {
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  constexpr std::uint64_t kNetAdmin = std::uint64_t{1} << 12U;
  EXPECT_THAT(missing_capabilities(kAll), IsEmpty());
  EXPECT_THAT(missing_capabilities(kAll & ~kNetAdmin),
              ElementsAre("CAP_NET_ADMIN (interfaces, routes, programs on them)"));
  EXPECT_GT(missing_capabilities(0).size(), 10U);
}

TEST(HostCheck, AFileSystemThatTheKernelLacksIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "fsopen(2) needs root";
  EXPECT_TRUE(find_filesystem("overlay"));
  EXPECT_TRUE(find_filesystem("tmpfs"));
  const Status missing = find_filesystem("stonetablet");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kUnsupported);
  EXPECT_THAT(missing.error().message, HasSubstr("stonetablet"));
}

TEST(HostCheck, LimitsFollowTheControllers) {
  char name[] = "/tmp/mesh-host-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  ASSERT_TRUE(make_directories(directory + "/lab"));
  ASSERT_TRUE(write_file(directory + "/lab/cgroup.controllers", "cpuset cpu hugetlb\n"));
  api::LimitSupport limits = limits_of({{}, directory, "/lab"});
  EXPECT_TRUE(limits.cpu);
  EXPECT_FALSE(limits.memory);
  EXPECT_FALSE(limits.pids);
  limits = limits_of({{"/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"}, directory + "/nowhere", ""});
  EXPECT_FALSE(limits.cpu);
  EXPECT_TRUE(limits.memory);
  EXPECT_TRUE(limits.pids);
  EXPECT_TRUE(limits_of({{"/sys/fs/cgroup/cpu,cpuacct"}, directory + "/nowhere", ""}).cpu);
  EXPECT_TRUE(remove_tree(directory));
}

}  // namespace
}  // namespace mesh::agent
