// The overlay on the real kernel, in a network and mount namespace of this program's own: what reconcile() makes, what
// drift it repairs, and that cleanup() leaves what was there before.
//
//      (this program's namespace)                         (task namespaces)
//      up0 192.168.7.11/24 ── far0 192.168.7.1/24 (peer)
//      mesh0 ── mesh1                                     eth0 ── mv<hash>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "vxlan/firewall.h"
#include "vxlan/netns.h"
#include "vxlan/observe.h"
#include "vxlan/overlay.h"
#include "vxlan/plan.h"
#include "vxlan/uplink.h"
#include "vxlan/wanted.h"

namespace mesh::vxlan {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

IpAddress ip(const std::string& text) { return IpAddress::parse(text).value(); }
Cidr cidr(const std::string& text) { return Cidr::parse(text).value(); }

std::string shell(const std::string& command) {
  const Result<ProcessOutcome> outcome = run_process({.argv = {"sh", "-c", command}});
  if (!outcome) throw std::runtime_error(outcome.error().message);
  if (outcome->exit_status != 0) throw std::runtime_error(command + ": " + outcome->err);
  return outcome->out;
}

// Namespaces of our own before any test: nothing here touches the machine.
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
    shell("ip link set lo up");
    shell("ip link add up0 type veth peer name far0");
    // The other end in a namespace of its own, so that it answers ARP as a neighbour does.
    shell("ip netns add far && ip link set far0 netns far");
    shell("ip -n far addr add 192.168.7.1/24 dev far0 && ip -n far link set far0 up");
    shell("ip -n far addr add fd07::1/64 dev far0 nodad");
    shell("ip addr add 192.168.7.11/24 dev up0 && ip addr add fd07::11/64 dev up0 nodad && ip link set up0 up");
    shell("ip route add default via 192.168.7.1 dev up0");
  }
};
const auto* const kEnvironment = testing::AddGlobalTestEnvironment(new OwnNamespaces);

class OverlayOnKernel : public testing::Test {
 protected:
  void TearDown() override {
    const Status status = Overlay::cleanup(options_);
    EXPECT_TRUE(status) << status.error().message;
  }

  TaskLink task(const std::string& id, int number) {
    return {.task_id = id,
            .netns_path = netns_path(options_, id),
            .host_name = host_interface_name(id),
            .ingress_v4 = ip("10.0.0." + std::to_string(number)),
            .ingress_v6 = ip("fd00:6d65::" + std::to_string(number)),
            .networks = {{cidr("10.1.0.0/24"), ip("10.1.0." + std::to_string(number))}}};
  }
  Desired desired() {
    return {.gateway = Gateway{.gateway_v4 = ip("10.0.0.1"),
                               .gateway_v6 = ip("fd00:6d65::1"),
                               .mesh_v4 = ip("10.0.0.2"),
                               .mesh_v6 = ip("fd00:6d65::2"),
                               .host_source_v4 = ip("192.168.7.11"),
                               .host_source_v6 = ip("fd07::11")},
            .links = {task("one", 11), task("two", 12)},
            .masquerade = {.sources = {ip("10.0.0.11"), ip("fd00:6d65::11")},
                           .cluster = {cidr("10.0.0.0/16"), cidr("10.1.0.0/24"), cidr("fd00:6d65::/64")}},
            .reserved_ports = {8010}};
  }
  Report reconcile(Overlay& overlay, const Desired& what, Overlay::Pass pass = Overlay::Pass::kDirty) {
    const Result<Report> report = overlay.reconcile(what, pass);
    if (!report) throw std::runtime_error(report.error().message);
    for (const Problem& problem : report->problems) ADD_FAILURE() << problem.subject << ": " << problem.message;
    return *report;
  }

  Options options_{.run_dir = "/run/meshd"};
};

TEST_F(OverlayOnKernel, MakesEverythingOnceAndNothingTheSecondTime) {
  Overlay overlay = Overlay::open(options_).value();
  const Report first = reconcile(overlay, desired());
  ASSERT_EQ(first.links.size(), 2U);
  EXPECT_EQ(first.links.at("one").ifindex, if_nametoindex(host_interface_name("one").c_str()));
  EXPECT_NE(first.links.at("one").netns_cookie, first.links.at("two").netns_cookie);
  EXPECT_EQ(first.mesh_ifindex, if_nametoindex("mesh0"));
  EXPECT_EQ(first.mesh_peer_ifindex, if_nametoindex("mesh1"));
  EXPECT_GT(first.actions, 20U);

  EXPECT_EQ(reconcile(overlay, desired()).actions, 0U);
  EXPECT_EQ(reconcile(overlay, desired(), Overlay::Pass::kFull).actions, 0U);
  // Another meshd finds all of it.
  Overlay next = Overlay::open(options_).value();
  const Report again = reconcile(next, desired());
  EXPECT_EQ(again.actions, 0U);
  EXPECT_EQ(again.links.at("one").netns_cookie, first.links.at("one").netns_cookie);
}

TEST_F(OverlayOnKernel, TaskAndHostReachEachOther) {
  Overlay overlay = Overlay::open(options_).value();
  reconcile(overlay, desired());
  const std::string inside = "nsenter --net=" + netns_path(options_, "one") + " ";
  EXPECT_THAT(shell(inside + "ip -o link show eth0"), HasSubstr("02:42:0a:00:00:0b"));
  EXPECT_THAT(shell(inside + "ethtool -k eth0"), HasSubstr("generic-receive-offload: on"));
  EXPECT_THAT(shell(inside + "ip -6 addr show dev eth0"), Not(HasSubstr("fe80")));
  EXPECT_THAT(shell(inside + "ip route get 1.1.1.1"), HasSubstr("src 10.0.0.11"));
  EXPECT_THAT(shell(inside + "ip route get 10.1.0.99"), HasSubstr("src 10.1.0.11"));
  EXPECT_THAT(shell("ip route get 10.0.0.2"), HasSubstr("dev mesh0 src 192.168.7.11"));
  EXPECT_THAT(shell("ip route get 10.0.0.11"), HasSubstr("dev " + host_interface_name("one")));
  // No program answers ARP here; a permanent entry stands in for it.
  const std::string mac(trim(shell("ip -br link show " + host_interface_name("one") + " | awk '{print $3}'")));
  shell(inside + "ip neigh replace 10.0.0.1 lladdr " + mac + " dev eth0 nud permanent");
  EXPECT_THAT(shell(inside + "ping -c1 -W2 10.0.0.1"), HasSubstr("1 received"));
  // The way out: masqueraded, so the far end, which has no route to 10.0.0.0/16, answers.
  EXPECT_THAT(shell(inside + "ping -c1 -W2 192.168.7.1"), HasSubstr("1 received"));
}

TEST_F(OverlayOnKernel, TasksThatMayNotLeaveAndStrangersAreNotForwarded) {
  Overlay overlay = Overlay::open(options_).value();
  Desired what = desired();
  reconcile(overlay, what);
  for (const char* id : {"one", "two"}) {
    const std::string host = host_interface_name(id);
    const std::string mac(trim(shell("ip -br link show " + host + " | awk '{print $3}'")));
    shell("nsenter --net=" + netns_path(options_, id) + " ip neigh replace 10.0.0.1 lladdr " + mac +
          " dev eth0 nud permanent");
  }
  const std::string one = "nsenter --net=" + netns_path(options_, "one") + " ";
  const std::string two = "nsenter --net=" + netns_path(options_, "two") + " ";
  // "two" is not among the sources.
  EXPECT_THAT(shell(two + "ping -c1 -W1 192.168.7.1 || true"), HasSubstr("0 received"));
  // Straight from task to task by the host's router: not through the mesh, so not at all.
  EXPECT_THAT(shell(one + "ping -c1 -W1 10.0.0.12 || true"), HasSubstr("0 received"));
  // From the underlay to a task's address.
  shell("ip -n far route add 10.0.0.0/16 via 192.168.7.11");
  EXPECT_THAT(shell("ip netns exec far ping -c1 -W1 10.0.0.11 || true"), HasSubstr("0 received"));
  shell("ip -n far route del 10.0.0.0/16");
}

TEST_F(OverlayOnKernel, RepairsDrift) {
  Overlay overlay = Overlay::open(options_).value();
  reconcile(overlay, desired());
  const std::string inside = "nsenter --net=" + netns_path(options_, "one") + " ";
  struct Case {
    std::string damage;
    bool needs_full_pass;
  };
  const Case cases[] = {
      {inside + "ip route del default", true},
      {inside + "ip addr flush dev eth0", true},
      {inside + "ethtool -K eth0 gro off", true},
      {"nft delete table inet meshd", true},
      {"nft flush chain inet meshd forward", true},
      {"nft delete element inet meshd sources4 { 10.0.0.11 }", true},
      {"ip addr del 10.0.0.1/32 dev mesh0", false},
      {"ip link set mesh1 down", false},
      {"ip link del mesh0", false},
      {"ip link del " + host_interface_name("two"), false},
      {"ip neigh del 10.0.0.11 dev " + host_interface_name("one"), false},
      {"sysctl -qw net.ipv4.ip_forward=0", false},
      {"sysctl -qw net.ipv4.ip_local_reserved_ports=", false},
  };
  for (const Case& c : cases) {
    shell(c.damage);
    const auto pass = c.needs_full_pass ? Overlay::Pass::kFull : Overlay::Pass::kDirty;
    EXPECT_GT(reconcile(overlay, desired(), pass).actions, 0U) << c.damage;
    EXPECT_EQ(reconcile(overlay, desired(), Overlay::Pass::kFull).actions, 0U) << c.damage;
  }
}

TEST_F(OverlayOnKernel, FollowsChangesOfATask) {
  Overlay overlay = Overlay::open(options_).value();
  Desired what = desired();
  const Report before = reconcile(overlay, what);
  what.links[0].networks = {{cidr("10.2.0.0/24"), ip("10.2.0.11")}};
  what.links.pop_back();
  const Report after = reconcile(overlay, what);
  EXPECT_EQ(after.links.at("one").ifindex, before.links.at("one").ifindex) << "the link itself stays";
  EXPECT_FALSE(after.links.contains("two"));
  EXPECT_FALSE(is_netns(netns_path(options_, "two")));
  const std::string inside = "nsenter --net=" + netns_path(options_, "one") + " ";
  EXPECT_THAT(shell(inside + "ip addr show dev eth0"), Not(HasSubstr("10.1.0.11")));
  EXPECT_THAT(shell(inside + "ip route get 10.2.0.99"), HasSubstr("src 10.2.0.11"));
}

TEST_F(OverlayOnKernel, ProblemsOfOneTaskLeaveTheOthersAlone) {
  Overlay overlay = Overlay::open(options_).value();
  Desired what = desired();
  what.links[1].netns_path = "/proc/no/such/place";
  const Result<Report> report = overlay.reconcile(what, Overlay::Pass::kDirty);
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->problems.size(), 1U);
  EXPECT_EQ(report->problems[0].subject, "task two");
  EXPECT_THAT(report->problems[0].message, HasSubstr("/proc/no/such/place"));
  EXPECT_TRUE(report->links.contains("one"));
}

TEST_F(OverlayOnKernel, CleanupPutsBackWhatWasThere) {
  shell("sysctl -qw net.ipv4.ip_local_reserved_ports=30000-30002");
  const auto picture = [] {
    return shell(
        "ip -br link | grep -v ^lo; ip addr show scope global | grep inet; ip route; ip -6 route show dev up0; "
        "nft list ruleset; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding "
        "net.ipv4.ip_local_reserved_ports net.ipv6.conf.up0.accept_ra; ls /run; grep -c netns /proc/mounts; "
        "ip neigh show proto 77");
  };
  shell("mkdir -p /run/meshd");
  const std::string before = picture();
  {
    Overlay overlay = Overlay::open(options_).value();
    reconcile(overlay, desired());
    ASSERT_TRUE(resolve({ip("192.168.7.1")}));
  }
  EXPECT_NE(picture(), before);
  EXPECT_EQ(shell("cat /proc/sys/net/ipv4/ip_local_reserved_ports"), "8010,30000-30002\n");
  // A second meshd run in between does not take our values for the host's.
  {
    reconcile(*std::make_unique<Overlay>(Overlay::open(options_).value()), desired());
  }
  const Status status = Overlay::cleanup(options_);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(picture(), before);
  EXPECT_TRUE(Overlay::cleanup(options_)) << "nothing there is success";
  shell("sysctl -qw net.ipv4.ip_local_reserved_ports=");
}

TEST_F(OverlayOnKernel, CleanupKeepsASettingThatSomeoneChangedSince) {
  {
    Overlay overlay = Overlay::open(options_).value();
    reconcile(overlay, desired());
  }
  shell("sysctl -qw net.ipv6.conf.all.forwarding=0 && sysctl -qw net.ipv6.conf.all.forwarding=2 || true");
  const std::string now = shell("cat /proc/sys/net/ipv6/conf/all/forwarding");
  ASSERT_TRUE(Overlay::cleanup(options_));
  EXPECT_EQ(shell("cat /proc/sys/net/ipv6/conf/all/forwarding"), now);
  shell("sysctl -qw net.ipv6.conf.all.forwarding=0");
}

TEST(Uplink, IsFoundByTheDefaultRouteOrByName) {
  const Result<UplinkInfo> found = find_uplink("");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->name, "up0");
  EXPECT_EQ(found->driver, "veth");
  EXPECT_TRUE(found->native_xdp);
  EXPECT_EQ(found->mtu, 1500);
  EXPECT_EQ(found->addresses, (std::vector<IpAddress>{ip("192.168.7.11"), ip("fd07::11")}));
  EXPECT_EQ(find_uplink("up0")->ifindex, found->ifindex);
}

TEST(Uplink, RefusalsSayWhatToDo) {
  EXPECT_THAT(find_uplink("nope").error().message, HasSubstr("up0"));
  EXPECT_THAT(find_uplink("lo").error().message, HasSubstr("loopback"));
  shell("ip link add down0 type veth peer name down1");
  EXPECT_THAT(find_uplink("down0").error().message, HasSubstr("ip link set down0 up"));
  shell("ip link set down0 up");
  EXPECT_THAT(find_uplink("down0").error().message, HasSubstr("no address"));
  shell("ip link del down0");
  shell("ip route del default");
  const Result<UplinkInfo> none = find_uplink("");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(none.error().message, HasSubstr("--uplink"));
  shell("ip route add default via 192.168.7.1 dev up0");
}

TEST(Uplink, HostRoutesAreWhatAPoolMustNotOverlap) {
  const std::vector<HostRoute> routes = host_routes().value();
  EXPECT_THAT(overlap_problem(cidr("192.168.0.0/16"), routes), HasSubstr("up0"));
  EXPECT_EQ(overlap_problem(cidr("10.0.0.0/8"), routes), "");
  EXPECT_THAT(overlap_problem(cidr("fd07::/48"), routes), HasSubstr("fd07::/64"));
}

// Waits for events until the next hop is known.
NextHop resolved(NetworkEvents& events, const IpAddress& destination) {
  NextHop hop;
  for (int attempt = 0; attempt < 50; ++attempt) {
    hop = resolve({destination}).value().at(0);
    if (hop.resolved || hop.ifindex == 0) break;
    pollfd waiting{events.fd(), POLLIN, 0};
    poll(&waiting, 1, 2000);
    (void)events.drain();
  }
  return hop;
}

TEST(NextHops, AreFoundWithoutAnyTrafficAndEventsTell) {
  shell("ip neigh flush dev up0");
  NetworkEvents events = NetworkEvents::open().value();
  const std::string far_mac(trim(shell("ip -n far -br link show far0 | awk '{print $3}'")));
  for (const char* address : {"192.168.7.1", "fd07::1", "203.0.113.9"}) {
    const NextHop hop = resolved(events, ip(address));
    EXPECT_TRUE(hop.resolved) << address;
    EXPECT_EQ(hop.next_hop.to_string(), far_mac) << address;
    EXPECT_EQ(hop.ifindex, if_nametoindex("up0"));
    EXPECT_EQ(hop.source, hop.destination.is_v4() ? ip("192.168.7.11") : ip("fd07::11"));
    EXPECT_EQ(hop.egress, find_uplink("up0")->mac);
  }
  EXPECT_EQ(resolve({ip("fd99::1")}).value().at(0).ifindex, 0U) << "no route is no error";
  EXPECT_EQ(resolved(events, ip("192.168.7.1")).mtu, 0U) << "the route does not say";
  shell("ip route add 203.0.113.9/32 via 192.168.7.1 dev up0 mtu 1400");
  EXPECT_EQ(resolved(events, ip("203.0.113.9")).mtu, 1400U);
  shell("ip route del 203.0.113.9/32");
  EXPECT_FALSE(resolve({ip("192.168.7.99")}).value().at(0).resolved);

  (void)events.drain();
  shell("ip -n far link set far0 address 02:00:00:00:00:99");
  shell("ip neigh del 192.168.7.1 dev up0");
  pollfd waiting{events.fd(), POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 5000), 1);
  EXPECT_TRUE(events.drain());
  EXPECT_EQ(resolved(events, ip("192.168.7.1")).next_hop.to_string(), "02:00:00:00:00:99");
}

TEST(Namespaces, AreMadeOnceAndRemovedWithoutATrace) {
  const std::string path = "/run/namespaces/test";
  ASSERT_TRUE(create_netns(path));
  ASSERT_TRUE(create_netns(path)) << "made already";
  EXPECT_TRUE(is_netns(path));
  std::uint64_t own = netns_cookie().value();
  ASSERT_TRUE(in_netns(path, [&]() -> Status {
    EXPECT_NE(TRY(netns_cookie()), own);
    EXPECT_NE(if_nametoindex("lo"), 0U);
    return {};
  }));
  EXPECT_EQ(netns_cookie().value(), own) << "this thread never left";
  ASSERT_TRUE(delete_netns(path));
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(delete_netns(path));
  EXPECT_THAT(in_netns(path, [] { return Status(); }).error().message, HasSubstr(path));
}

}  // namespace
}  // namespace mesh::vxlan
