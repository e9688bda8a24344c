// The real process over loopback: fed, asked by the system's `dig`, killed and restarted with its last table.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/process.h"
#include "dns/feed.h"
#include "dns/server.h"

namespace mesh::dns {
namespace {

constexpr std::uint16_t kPort = 17953;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

class DnsServer : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("mesh-dns-test-" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory_);
    // A loopback address of its own, so that two runs of this test do not meet.
    const unsigned pid = static_cast<unsigned>(::getpid());
    address_ = IpAddress::v4(0x7f400000U + (pid & 0x3fffffU));
    other_ = IpAddress::v4(0x7f800000U + (pid & 0x3fffffU));
  }
  void TearDown() override {
    stop(server_);
    stop(upstream_);
    std::filesystem::remove_all(directory_);
  }

  pid_t start(const IpAddress& address, const std::string& name) {
    const ServerOptions options{.listen = {address, kPort},
                                .feed_path = path(name + ".sock"),
                                .state_path = path(name + ".json"),
                                .build = "test"};
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(run_server(options) ? 0 : 1);
    // Ready when the feed answers; ask_state fails fast until then, waitpid ends the wait if the process died.
    while (!ask_state(options.feed_path) && ::waitpid(pid, nullptr, WNOHANG) == 0) std::this_thread::yield();
    return pid;
  }
  static void stop(pid_t& pid) {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    pid = 0;
  }

  Desired names() const {
    Desired desired;
    desired.version = 7;
    desired.networks = {{.id = "n", .name = "front", .names = {{"iotd", {ip("10.1.0.2")}}}, .reverse = {}}};
    desired.clients = {{.address = address_, .address_v6 = {}, .network_ids = {"n"}}};
    desired.upstreams = {{.address = other_, .port = kPort}};
    return desired;
  }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  // `dig`'s answer in short form, without the final newline.
  std::string dig(std::vector<std::string> arguments) const {
    std::vector<std::string> argv = {"dig",    "@" + address_.to_string(), "-b",     address_.to_string(),
                                     "-p",     std::to_string(kPort),      "+short", "+tries=1",
                                     "+time=5"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    auto result = run_process({.argv = argv});
    EXPECT_TRUE(result) << result.error().message;
    if (!result) return {};
    std::string text = result->out;
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }

  std::filesystem::path directory_;
  IpAddress address_, other_;
  pid_t server_ = 0;
  pid_t upstream_ = 0;
};

TEST_F(DnsServer, AnswersWhatItIsFedAndKeepsItOverAKill) {
  server_ = start(address_, "server");
  EXPECT_EQ(dig({"iotd"}), "");  // refused: nobody of ours yet
  const auto state = feed(path("server.sock"), names());
  ASSERT_TRUE(state);
  EXPECT_EQ(state->version, 7U);
  EXPECT_EQ(state->pid, server_);
  EXPECT_EQ(state->build, "test");
  EXPECT_EQ(state->refused, 1U);
  EXPECT_EQ(dig({"iotd"}), "10.1.0.2");
  EXPECT_EQ(dig({"+tcp", "iotd"}), "10.1.0.2");
  EXPECT_EQ(dig({"+noedns", "IOTD.front"}), "10.1.0.2");
  EXPECT_EQ(dig({"iotd", "AAAA"}), "");

  stop(server_);
  server_ = start(address_, "server");
  EXPECT_EQ(dig({"iotd"}), "10.1.0.2");
  EXPECT_EQ(ask_state(path("server.sock"))->version, 7U);
}

TEST_F(DnsServer, ForwardsOtherNames) {
  upstream_ = start(other_, "upstream");
  Desired outside;
  outside.networks = {{.id = "o", .name = "outside", .names = {{"example.org", {ip("192.0.2.80")}}}, .reverse = {}}};
  outside.clients = {{.address = IpAddress::v4(0x7f000001U), .address_v6 = {}, .network_ids = {"o"}}};
  ASSERT_TRUE(feed(path("upstream.sock"), outside));
  server_ = start(address_, "server");
  ASSERT_TRUE(feed(path("server.sock"), names()));
  // The forwarding socket's source on loopback is 127.0.0.1, whom the upstream knows.
  EXPECT_EQ(dig({"example.org"}), "192.0.2.80");
  EXPECT_EQ(dig({"+tcp", "example.org"}), "192.0.2.80");
  EXPECT_EQ(ask_state(path("server.sock"))->forwarded, 2U);

  stop(upstream_);
  EXPECT_EQ(dig({"+comments", "example.org"}).find("NOERROR"), std::string::npos);
  EXPECT_GE(ask_state(path("server.sock"))->forward_failed, 1U);
}

TEST_F(DnsServer, RefusesGarbageOnTheFeedAndKeepsItsTable) {
  server_ = start(address_, "server");
  ASSERT_TRUE(feed(path("server.sock"), names()));
  auto garbage = run_process({.argv = {"socat", "-u", "-", "UNIX-CONNECT:" + path("server.sock")},
                              .stdin_text = std::string("\x00\x00\x00\x05{\"Ver", 9)});
  ASSERT_TRUE(garbage);
  EXPECT_EQ(dig({"iotd"}), "10.1.0.2");
}

TEST_F(DnsServer, SaysWhyItCannotListen) {
  server_ = start(address_, "server");
  const auto status = run_server({.listen = {address_, kPort},
                                  .feed_path = path("second.sock"),
                                  .state_path = path("second.json"),
                                  .build = "test"});
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find(address_.to_string()), std::string::npos) << status.error().message;
}

}  // namespace
}  // namespace mesh::dns
