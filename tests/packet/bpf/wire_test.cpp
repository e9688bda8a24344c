// Real traffic over real links finds what single packets through BPF_PROG_TEST_RUN cannot: redirects, segments, partial
// checksums, neighbours. Once per uplink mode.
#include "tests/packet/bpf/wire.h"

#include <cstdlib>
#include <iostream>
#include <sched.h>
#include <set>
#include <sys/mount.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/process.h"

namespace mesh::packet {
namespace {

using testing::Not;
using testing::StartsWith;

class OwnNamespaces : public testing::Environment {
 public:
  void SetUp() override {
    if (geteuid() != 0) {
      std::cout << "skipped: needs root to make network namespaces\n";
      std::exit(77);
    }
    ASSERT_EQ(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);
  }
};
const testing::Environment* const kNamespaces = testing::AddGlobalTestEnvironment(new OwnNamespaces);

struct Xdp {
  static constexpr WireMode kMode = WireMode::kXdp;
};
struct Tc {
  static constexpr WireMode kMode = WireMode::kTc;
};

// The cases of one mode share its three hosts.
template <class Mode>
class WireTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { wire_ = std::make_unique<Wire>(Mode::kMode); }
  static void TearDownTestSuite() { wire_.reset(); }
  void TearDown() override {
    if (this->HasFailure()) std::cout << wire_->counters();
  }

  static inline std::unique_ptr<Wire> wire_;
};
using Modes = testing::Types<Xdp, Tc>;
TYPED_TEST_SUITE(WireTest, Modes, );

std::string tcp_from(const std::string& netns, const std::string& target, __u16 port, const std::string& text) {
  return inside(netns, [&] { return ask_tcp(target, port, text); });
}

std::string udp_from(const std::string& netns, const std::string& target, __u16 port, bool connected = false) {
  return inside(netns, [&] { return ask_udp(target, port, "ping", connected); });
}

TYPED_TEST(WireTest, ClientReachesEveryBackendThroughEveryHostWithItsAddress) {
  for (const char* host : {"192.0.2.1", "192.0.2.2", "192.0.2.3"}) {
    std::set<std::string> tcp, udp;
    for (int i = 0; i < 48; i++) {
      tcp.insert(tcp_from("client", host, kPort, "hello"));
      udp.insert(udp_from("client", host, kPort));
    }
    EXPECT_EQ(tcp, (std::set<std::string>{"c1 192.0.2.9\nhello", "c2 192.0.2.9\nhello", "c3 192.0.2.9\nhello"}))
        << host;
    EXPECT_EQ(udp, (std::set<std::string>{"c1 192.0.2.9\nping", "c2 192.0.2.9\nping", "c3 192.0.2.9\nping"})) << host;
  }
}

TYPED_TEST(WireTest, SameOverIpv6) {
  for (const char* host : {"2001:db8::1", "2001:db8::2", "2001:db8::3"}) {
    std::set<std::string> tcp, udp;
    for (int i = 0; i < 48; i++) {
      tcp.insert(tcp_from("client", host, kPort, "hello"));
      udp.insert(udp_from("client", host, kPort));
    }
    EXPECT_EQ(tcp, (std::set<std::string>{"c1 2001:db8::9\nhello", "c2 2001:db8::9\nhello", "c3 2001:db8::9\nhello"}))
        << host;
    EXPECT_EQ(udp, (std::set<std::string>{"c1 2001:db8::9\nping", "c2 2001:db8::9\nping", "c3 2001:db8::9\nping"}))
        << host;
  }
}

TYPED_TEST(WireTest, BulkArrivesUnharmedBothWays) {
  std::string text(3 << 20, 'x');
  for (std::size_t i = 0; i < text.size(); i++) text[i] = static_cast<char>('a' + (i * 7919) % 26);
  for (const char* host : {"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::3"}) {
    const std::string answer = tcp_from("client", host, kSinglePort, text);
    EXPECT_EQ(answer.size(), answer.find('\n') + 1 + text.size()) << host << " " << first_line(answer);
    EXPECT_TRUE(answer.ends_with(text)) << host;
  }
}

// Three flows with one client address and port towards one backend are three connections all the same.
TYPED_TEST(WireTest, OneClientPortThroughThreeHostsToOneBackend) {
  for (const bool v6 : {false, true}) {
    std::array<std::string, 3> answers;
    std::array<std::thread, 3> clients;
    for (std::size_t i = 0; i < 3; i++) {
      clients.at(i) = std::thread([&, i] {
        const std::string host = fmt::format("{}{}", v6 ? "2001:db8::" : "192.0.2.", i + 1);
        answers.at(i) = inside("client", [&] {
          return ask_tcp(host, kSinglePort, std::string(200000, static_cast<char>('a' + i)), 40001);
        });
      });
    }
    for (std::thread& client : clients) client.join();
    for (std::size_t i = 0; i < 3; i++) {
      EXPECT_EQ(answers.at(i), fmt::format("c2 {}\n", v6 ? "2001:db8::9" : "192.0.2.9") +
                                   std::string(200000, static_cast<char>('a' + i)))
          << first_line(answers.at(i));
    }
  }
  EXPECT_GE(this->wire_->host(2).counter(MESH_COUNT_FLOW_REWRITTEN), 4u);
}

TYPED_TEST(WireTest, ContainerUsesAPublishedPortOfAnyHost) {
  for (const char* host : {"192.0.2.1", "192.0.2.2", "192.0.2.3"}) {
    std::set<std::string> answers;
    for (int i = 0; i < 48; i++) {
      answers.insert(tcp_from("c1", host, kPort, "hello"));
      answers.insert(udp_from("c1", host, kPort));
    }
    // Through its own port it sees the mesh address, the only one that its kernel accepts from outside.
    EXPECT_EQ(answers, (std::set<std::string>{"c1 10.0.0.2\nhello", "c1 10.0.0.2\nping", "c2 10.0.0.11\nhello",
                                              "c2 10.0.0.11\nping", "c3 10.0.0.11\nhello", "c3 10.0.0.11\nping"}))
        << host;
  }
  EXPECT_THAT(tcp_from("c4", "2001:db8::1", kSinglePort, "hello"), StartsWith("c2 fd00::14\n"));
}

TYPED_TEST(WireTest, HostUsesLocalhostAndItsOwnAddress) {
  for (const char* target : {"127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"}) {
    const std::string seen = std::string(target).find(':') == std::string::npos ? "192.0.2.1" : "2001:db8::1";
    std::set<std::string> answers;
    for (int i = 0; i < 48; i++) {
      answers.insert(tcp_from("h1", target, kPort, "hello"));
      answers.insert(udp_from("h1", target, kPort, i % 2 == 0));
    }
    EXPECT_EQ(answers,
              (std::set<std::string>{"c1 " + seen + "\nhello", "c2 " + seen + "\nhello", "c3 " + seen + "\nhello",
                                     "c1 " + seen + "\nping", "c2 " + seen + "\nping", "c3 " + seen + "\nping"}))
        << target;
  }
}

TYPED_TEST(WireTest, EndpointsOfOneNetworkReachEachOther) {
  EXPECT_EQ(tcp_from("c1", "10.1.0.12", 80, "over"), "c2 10.1.0.11\nover");
  EXPECT_EQ(tcp_from("c1", "10.1.0.14", 80, "here"), "c4 10.1.0.11\nhere");
  EXPECT_EQ(udp_from("c3", "10.1.0.11", 80), "c1 10.1.0.13\nping");
  const std::string text(1 << 20, 'z');
  EXPECT_EQ(tcp_from("c1", "10.1.0.13", 80, text), "c3 10.1.0.11\n" + text);
  EXPECT_EQ(inside("c1",
                   [] {
                     const auto outcome = run_process({.argv = {"ping", "-c", "1", "-W", "2", "10.1.0.12"}});
                     return outcome && outcome->exit_status == 0 ? "answered" : "error: no answer";
                   }),
            "answered");
}

TYPED_TEST(WireTest, NetworksAreIsolated) {
  const __u64 before = this->wire_->host(1).counter(MESH_COUNT_ISOLATED);
  EXPECT_THAT(udp_from("c1", "10.2.0.14", 80), StartsWith("error"));
  EXPECT_THAT(udp_from("c1", "10.0.0.14", 80), StartsWith("error"));
  EXPECT_THAT(udp_from("c1", "10.0.0.12", 80), StartsWith("error"));
  EXPECT_GE(this->wire_->host(1).counter(MESH_COUNT_ISOLATED), before + 3);
}

TYPED_TEST(WireTest, VirtualIpIsBalancedAndPinged) {
  std::set<std::string> answers;
  for (int i = 0; i < 32; i++) {
    answers.insert(tcp_from("c1", "10.1.0.200", 80, "vip"));
    answers.insert(udp_from("c1", "10.1.0.200", 80, i % 2 == 0));
  }
  EXPECT_EQ(answers, (std::set<std::string>{"c2 10.1.0.11\nvip", "c3 10.1.0.11\nvip", "c2 10.1.0.11\nping",
                                            "c3 10.1.0.11\nping"}));
  EXPECT_EQ(tcp_from("c4", "10.2.0.200", 80, "self"), "c4 10.2.0.14\nself");
  EXPECT_THAT(tcp_from("c1", "10.2.0.200", 80, "other"), StartsWith("error"));
  EXPECT_EQ(inside("c1",
                   [] {
                     const auto outcome = run_process({.argv = {"ping", "-c", "1", "-W", "2", "10.1.0.200"}});
                     return outcome && outcome->exit_status == 0 ? "answered" : "error: no answer";
                   }),
            "answered");
}

TYPED_TEST(WireTest, NothingWasDroppedForAReasonThatShouldNotOccur) {
  for (int number = 1; number <= 3; number++) {
    for (const __u32 counter : {MESH_COUNT_MALFORMED, MESH_COUNT_STRANGER, MESH_COUNT_EDIT, MESH_COUNT_NO_RECORD,
                                MESH_COUNT_NO_NODE, MESH_COUNT_SPOOFED, MESH_COUNT_NO_PORT, MESH_COUNT_TOO_BIG}) {
      EXPECT_EQ(this->wire_->host(number).counter(counter), 0u) << number << " " << counter;
    }
  }
}

}  // namespace
}  // namespace mesh::packet
