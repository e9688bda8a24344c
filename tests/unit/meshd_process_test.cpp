// What meshd does as a process of its host: the lock on its data directory, the service manager, its remembered swarm.
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/file.h"
#include "control/meshd/address_choice.h"
#include "control/meshd/lock.h"
#include "control/meshd/notify.h"
#include "control/meshd/swarm_file.h"

namespace mesh::meshd {
namespace {

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() {
    char name[] = "/tmp/mesh-process-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~ProcessTest() override {
    ::unsetenv("NOTIFY_SOCKET");
    (void)remove_tree(directory_);
  }
  std::string directory_;
};

TEST_F(ProcessTest, OneMeshdPerDataDirectory) {
  const std::string data_dir = directory_ + "/data";
  Result<Fd> first = lock_data_dir(data_dir);
  ASSERT_TRUE(first) << first.error().message;
  const Result<Fd> second = lock_data_dir(data_dir);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kConflict);
  EXPECT_NE(second.error().message.find("another meshd (pid " + std::to_string(::getpid()) + ") uses " + data_dir),
            std::string::npos)
      << second.error().message;
  first->reset();
  EXPECT_TRUE(lock_data_dir(data_dir)) << "free again";
}

TEST_F(ProcessTest, ADeadOwnersLockIsFree) {
  const std::string data_dir = directory_ + "/data";
  const pid_t child = ::fork();
  if (child == 0) {
    const Result<Fd> lock = lock_data_dir(data_dir);
    ::_exit(lock ? 0 : 1);  // without letting go
  }
  int status = 1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_TRUE(lock_data_dir(data_dir));
}

TEST_F(ProcessTest, NobodyAskedToBeNotified) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(notify_service_manager("READY=1"));
}

TEST_F(ProcessTest, TheServiceManagerIsNotified) {
  for (const bool abstract : {false, true}) {
    const std::string path = directory_ + "/notify";
    const Fd fd(::socket(AF_UNIX, SOCK_DGRAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path + (abstract ? 1 : 0), path.c_str());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 1 : 0));
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ::setenv("NOTIFY_SOCKET", ((abstract ? "@" : "") + path).c_str(), 1);
    const Status sent = notify_service_manager("READY=1");
    ASSERT_TRUE(sent) << sent.error().message;
    char buffer[64];
    const ssize_t count = ::recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    EXPECT_EQ(std::string(buffer, static_cast<std::size_t>(count)), "READY=1");
  }
}

TEST_F(ProcessTest, ADeafServiceManagerIsReported) {
  ::setenv("NOTIFY_SOCKET", (directory_ + "/absent").c_str(), 1);
  EXPECT_FALSE(notify_service_manager("READY=1"));
  ::setenv("NOTIFY_SOCKET", std::string(300, '/').c_str(), 1);
  EXPECT_EQ(notify_service_manager("READY=1").error().kind, ErrorKind::kInvalid);
  ::setenv("NOTIFY_SOCKET", "relative", 1);
  EXPECT_EQ(notify_service_manager("READY=1").error().kind, ErrorKind::kInvalid);
}

TEST_F(ProcessTest, TheSwarmIsRemembered) {
  EXPECT_EQ(load_swarm_file(directory_).error().kind, ErrorKind::kNotFound);
  SwarmFile file;
  file.listen = "0.0.0.0:2377";
  file.advertise = IpAddress::v4(0xc0a80101);
  file.port = 2377;
  file.managers = {"192.168.1.1:2377"};
  ASSERT_TRUE(save_swarm_file(directory_, file));
  const Result<SwarmFile> loaded = load_swarm_file(directory_);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(encode(*loaded), encode(file));
  ASSERT_TRUE(write_file(directory_ + "/swarm.json", "{\"Manager\":3}"));
  EXPECT_NE(load_swarm_file(directory_).error().message.find("swarm.json"), std::string::npos);
}

TEST(AddressChoice, ListenTakesAddressesAndInterfaces) {
  const struct {
    std::string text;
    std::string result;               // "": an error
  } cases[] = {{"", "127.0.0.2:99"},  // as configured
               {"0.0.0.0:2377", "127.0.0.2:99"},
               {"0.0.0.0:2378", "0.0.0.0:2378"},
               {"127.0.0.1", "127.0.0.1:2377"},
               {"[::1]:99", "[::1]:99"},
               {"lo", "127.0.0.1:2377"},
               {"lo:99", "127.0.0.1:99"},
               {"lo:x", ""},
               {"lo:0", ""},
               {"nosuchif0", ""}};
  for (const auto& test : cases) {
    const Result<SocketAddress> address = choose_listen(test.text, "127.0.0.2:99");
    EXPECT_EQ(address ? address->to_string() : "", test.result) << test.text;
  }
  EXPECT_TRUE(is_own_address(IpAddress::v4(0x7f000001)));
  EXPECT_FALSE(is_own_address(IpAddress::v4(0x08080808)));
}

}  // namespace
}  // namespace mesh::meshd
