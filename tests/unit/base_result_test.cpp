#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/result.h"

namespace mesh {
namespace {

Result<int> positive(int value) {
  if (value <= 0) return fail(ErrorKind::kInvalid, "not positive");
  return value;
}
Result<int> nested(int value) { return TRY(positive(TRY(positive(value)) - 1)) + 1; }
Result<std::unique_ptr<int>> owned(int value) { return std::make_unique<int>(TRY(positive(value))); }
Status with_context(int value) {
  const std::unique_ptr<int> kept = TRY_IN("replicas", owned(value));
  return *kept == value ? Status{} : fail(ErrorKind::kInternal, "lost the value");
}

TEST(Result, try_hands_on_values_and_errors) {
  EXPECT_EQ(nested(2), 2);
  EXPECT_EQ(nested(1).error().message, "not positive");
  EXPECT_EQ(nested(0).error().kind, ErrorKind::kInvalid);
  EXPECT_TRUE(with_context(3));
  EXPECT_EQ(with_context(0).error().message, "replicas: not positive");
}

TEST(Result, errno_has_kind_and_text) {
  const std::pair<int, ErrorKind> cases[] = {
      {ENOENT, ErrorKind::kNotFound},   {EPERM, ErrorKind::kForbidden},        {EEXIST, ErrorKind::kConflict},
      {EBUSY, ErrorKind::kConflict},    {EOPNOTSUPP, ErrorKind::kUnsupported}, {ENOSYS, ErrorKind::kUnsupported},
      {ETIMEDOUT, ErrorKind::kTimeout}, {ENOSPC, ErrorKind::kExhausted},       {ECONNREFUSED, ErrorKind::kUnavailable},
      {EIO, ErrorKind::kInternal},
  };
  for (const auto& [code, kind] : cases) EXPECT_EQ(fail_errno("x", code).error().kind, kind) << code;
  EXPECT_EQ(fail_errno("open /x", ENOENT).error().message, "open /x: No such file or directory");
  EXPECT_EQ(fail_errno("x", 99999).error().message, "x: error 99999");
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, closes_once_and_moves) {
  const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(number, 0);
  {
    Fd first(number);
    Fd second(std::move(first));
    EXPECT_TRUE(second.valid());
    Fd third;
    EXPECT_FALSE(third);
    third = std::move(second);
    EXPECT_EQ(third.get(), number);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
  Fd released(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int kept = released.release();
  EXPECT_FALSE(released.valid());
  EXPECT_TRUE(is_open(kept));
  released.reset(kept);
}

TEST(Log, knows_its_levels) {
  const auto before = spdlog::default_logger();
  EXPECT_TRUE(set_up_log("debug"));
  EXPECT_EQ(spdlog::get_level(), spdlog::level::debug);
  EXPECT_TRUE(set_up_log("error"));
  EXPECT_EQ(spdlog::get_level(), spdlog::level::err);
  const Status refused = set_up_log("loud");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("\"loud\""), std::string::npos);
  spdlog::set_default_logger(before);
}

}  // namespace
}  // namespace mesh
