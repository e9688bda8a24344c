// The data plane's loader, maps and hooks on the real kernel: what an earlier meshd left is adopted or replaced, drift
// is repaired, other people's programs and ports are respected, and cleanup leaves nothing.
#include <filesystem>
#include <net/if.h>
#include <netinet/in.h>
#include <optional>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/text.h"
#include "dataplane/kernel.h"
#include "dataplane/layout.h"
#include "tests/packet/dataplane_lab.h"
#include "tests/unit/dataplane_samples.h"

namespace mesh::dataplane {
namespace {

using lab::shell;
using testing::Contains;
using testing::Each;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const auto* const kEnvironment =
    testing::AddGlobalTestEnvironment(new lab::OwnWorld("ip link set lo up && mkdir /run/other-cgroup"));

// An uplink, a task's veth, and mesh1: interfaces that only have to exist.
class DataplaneOnKernel : public testing::Test {
 protected:
  void SetUp() override {
    shell("ip link add up0 type veth peer name far0 && ip link set up0 up && ip link set far0 up");
    shell("ip link add mv0 type veth peer name inside0 && ip link set mv0 up");
    shell("ip link add mesh0 type veth peer name mesh1 && ip link set mesh1 up");
    desired_ = samples::cluster(3);
    desired_.uplinks[0].ifindex = if_nametoindex("up0");
    desired_.endpoints[0].attachment->ifindex = if_nametoindex("mv0");
    desired_.mesh_ifindex = if_nametoindex("mesh0");
    desired_.mesh_peer_ifindex = if_nametoindex("mesh1");
    desired_.cgroup_root = lab::cgroup_directory();
  }
  void TearDown() override {
    const Status status = Dataplane::cleanup(options_);
    EXPECT_TRUE(status) << status.error().message;
    shell("ip link del up0; ip link del mv0; ip link del mesh0; true");
  }

  static Report reconcile(Dataplane& dataplane, const Desired& desired,
                          Dataplane::Pass pass = Dataplane::Pass::kDirty) {
    const Result<Report> report = dataplane.reconcile(desired, pass);
    if (!report) throw std::runtime_error(report.error().message);
    return *report;
  }
  Report reconcile_well(Dataplane& dataplane, const Desired& desired, Dataplane::Pass pass = Dataplane::Pass::kDirty) {
    const Report report = reconcile(dataplane, desired, pass);
    for (const Problem& problem : report.problems) ADD_FAILURE() << problem.subject << ": " << problem.message;
    return report;
  }
  Dataplane open() {
    Result<Dataplane> dataplane = Dataplane::open(options_);
    if (!dataplane) throw std::runtime_error(dataplane.error().message);
    return std::move(*dataplane);
  }

  Options options_{.pin_dir = "/run/bpf/meshd"};
  Desired desired_;
};

TEST_F(DataplaneOnKernel, WhatIsWrittenIsReadBackByThisAndTheNextMeshd) {
  {
    Dataplane dataplane = open();
    const Report report = reconcile_well(dataplane, desired_);
    EXPECT_GT(report.actions, 30U);
    EXPECT_EQ(report.recreated, "");
    EXPECT_EQ(reconcile_well(dataplane, desired_).actions, 0U);
    const Report full = reconcile_well(dataplane, desired_, Dataplane::Pass::kFull);
    EXPECT_EQ(full.actions, 0U);
    EXPECT_EQ(full.drift, 0U);
  }
  Dataplane next = open();
  EXPECT_EQ(reconcile_well(next, desired_).actions, 0U) << "nothing is attached or written anew";
  const Result<Inspection> inspection = next.inspect();
  ASSERT_TRUE(inspection) << inspection.error().message;
  EXPECT_THAT(inspection->differences, IsEmpty());
  EXPECT_EQ(inspection->abi_version, MESH_ABI_VERSION);
  EXPECT_EQ(inspection->nodes, 3U);
  EXPECT_EQ(inspection->endpoints, 9U);
  EXPECT_EQ(inspection->bindings, 1U);
  ASSERT_EQ(inspection->ports.size(), 1U);
  EXPECT_EQ(inspection->ports[0].slots, 256U);
  EXPECT_EQ(inspection->ports[0].backends.size(), 3U);
  EXPECT_TRUE(inspection->ports[0].as_desired);
  ASSERT_EQ(inspection->virtual_ips.size(), 1U);
  EXPECT_TRUE(inspection->virtual_ips[0].as_desired);
  // One uplink, one endpoint, mesh1, eight socket hooks.
  EXPECT_EQ(inspection->hooks.size(), 11U);
  EXPECT_THAT(inspection->hooks, Each(Field(&InspectedHook::attached, true)));
}

TEST_F(DataplaneOnKernel, EveryRowOfARandomClusterIsInTheKernel) {
  Dataplane dataplane = open();
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    Desired desired = samples::random_change(random);
    // Interfaces that exist, and nothing else to attach to.
    desired.uplinks.clear();
    for (Endpoint& endpoint : desired.endpoints) {
      if (endpoint.attachment) endpoint.attachment->ifindex = desired_.endpoints[0].attachment->ifindex;
    }
    desired.mesh_ifindex = desired_.mesh_ifindex;
    desired.mesh_peer_ifindex = desired_.mesh_peer_ifindex;
    desired.cgroup_root = desired_.cgroup_root;
    reconcile_well(dataplane, desired);
    const Report full = reconcile_well(dataplane, desired, Dataplane::Pass::kFull);
    EXPECT_EQ(full.drift, 0U) << "seed " << seed << ": " << ::testing::PrintToString(dataplane.inspect()->differences);
    EXPECT_EQ(full.actions, 0U) << "seed " << seed;
  }
}

// Enough of each kind that they are written in batches; and the sockets that hold ports follow.
TEST_F(DataplaneOnKernel, ChangesLeaveWhatAWholePassWouldLeave) {
  Dataplane dataplane = open();
  reconcile_well(dataplane, desired_);
  const auto change_well = [&](const Change& change) {
    const Result<Report> report = dataplane.change(change);
    ASSERT_TRUE(report) << report.error().message;
    for (const Problem& problem : report->problems) ADD_FAILURE() << problem.subject << ": " << problem.message;
    EXPECT_GT(report->actions, 0U);
    const auto inspection = dataplane.inspect();
    ASSERT_TRUE(inspection) << inspection.error().message;
    EXPECT_THAT(inspection->differences, IsEmpty());
    for (const InspectedPort& port : inspection->ports) {
      EXPECT_TRUE(port.as_desired) << port.port;
      // Not every kernel has sockets of SCTP.
      EXPECT_TRUE(port.port_held || port.protocol == Protocol::kSctp) << port.port;
    }
  };
  Change many, fewer;
  for (std::uint16_t number = 0; number < 100; ++number) {
    many.endpoints.push_back(samples::endpoint(100 + number, 2, 1));
    if (number % 2 == 0) fewer.endpoints_gone.push_back(many.endpoints.back().task_id);
    PublishedPort port = desired_.ports[0];
    port.port = static_cast<std::uint16_t>(9000 + number);
    if (number % 5 == 0) port.protocol = Protocol::kSctp;
    port.allow = {samples::cidr("192.0.2.0/24")};
    many.ports.push_back(port);
    if (number % 2 == 0) fewer.ports_gone.emplace_back(port.protocol, port.port);
  }
  change_well(many);
  EXPECT_EQ(dataplane.inspect()->ports.size(), 101U);
  fewer.ports = {desired_.ports[0]};
  fewer.ports[0].ring = samples::round_ring(2, {1, 2});
  fewer.ports[0].ring.foreign[3] = {1};
  change_well(fewer);
  EXPECT_EQ(dataplane.inspect()->ports.size(), 51U);
  EXPECT_EQ(dataplane.inspect()->endpoints, 9U + 150U);
}

TEST_F(DataplaneOnKernel, DriftIsFoundCountedAndRepaired) {
  Dataplane dataplane = open();
  reconcile_well(dataplane, desired_);
  struct Case {
    const char* name;
    std::function<void(Kernel&)> damage;
  };
  const auto erase = [](MapId map) {
    return [map](Kernel& kernel) {
      const Observed observed = kernel.observe().value();
      ASSERT_FALSE(observed[map].empty());
      ASSERT_TRUE(kernel.apply(DeleteRow{map, observed[map].begin()->first}));
    };
  };
  const Case cases[] = {
      {"a node", erase(MapId::kNodes)},
      {"an endpoint of IPv4", erase(MapId::kEndpoints4)},
      {"an endpoint of IPv6", erase(MapId::kEndpoints)},
      {"a binding", erase(MapId::kBindings)},
      {"a backend", erase(MapId::kBackends)},
      {"a virtual IP", erase(MapId::kVips)},
      {"a service", erase(MapId::kServices)},
      {"a network", erase(MapId::kNetworks)},
      {"a strange endpoint",
       [](Kernel& kernel) {
         const mesh_endpoint_key key{.vni = 9999, .address = to_abi(samples::ip("10.9.9.9"))};
         ASSERT_TRUE(kernel.apply(WriteRow{MapId::kEndpoints, bytes_of(key), bytes_of(mesh_endpoint{})}));
       }},
      {"a filter", [](Kernel&) { shell("tc filter del dev up0 ingress"); }},
      {"a qdisc", [](Kernel&) { shell("tc qdisc del dev mv0 clsact"); }},
      {"a socket hook", [](Kernel&) { std::filesystem::remove("/run/bpf/meshd/links/cgroup_mesh_connect4"); }},
  };
  for (const Case& c : cases) {
    std::string recreated;
    {
      Result<Kernel> kernel = Kernel::open(options_, {}, recreated);
      ASSERT_TRUE(kernel) << kernel.error().message;
      c.damage(*kernel);
    }
    EXPECT_FALSE(dataplane.inspect()->differences.empty()) << c.name;
    EXPECT_EQ(reconcile_well(dataplane, desired_).drift, 0U) << "a quick pass does not look";
    const Report report = reconcile_well(dataplane, desired_, Dataplane::Pass::kFull);
    EXPECT_GT(report.drift, 0U) << c.name;
    EXPECT_EQ(report.actions, report.drift) << c.name;
    EXPECT_THAT(dataplane.inspect()->differences, IsEmpty()) << c.name;
  }
}

TEST_F(DataplaneOnKernel, TablesOfAnotherVersionAreReplacedAndItIsSaid) {
  {
    Dataplane dataplane = open();
    reconcile_well(dataplane, desired_);
  }
  {
    std::string recreated;
    Result<Kernel> kernel = Kernel::open(options_, {}, recreated);
    ASSERT_TRUE(kernel) << kernel.error().message;
    auto config = value_of<mesh_config>(kernel->read("mesh_config", bytes_of(std::uint32_t{0})).value());
    config.abi = MESH_ABI_VERSION + 1;
    ASSERT_TRUE(kernel->write("mesh_config", bytes_of(std::uint32_t{0}), bytes_of(config)));
  }
  const std::string before = shell("tc filter show dev up0 ingress");
  EXPECT_THAT(before, HasSubstr("mesh_uplink_tc"));
  Dataplane dataplane = open();
  EXPECT_EQ(shell("tc filter show dev up0 ingress"), before) << "the old programs go on until they are replaced";
  const Report report = reconcile_well(dataplane, desired_);
  EXPECT_THAT(report.recreated, HasSubstr("version"));
  EXPECT_NE(shell("tc filter show dev up0 ingress"), before);
  EXPECT_THAT(dataplane.inspect()->differences, IsEmpty());
  EXPECT_EQ(reconcile_well(dataplane, desired_).recreated, "") << "said once";
}

TEST_F(DataplaneOnKernel, ForeignOrMissingPinsAreReplaced) {
  {
    Dataplane dataplane = open();
    reconcile_well(dataplane, desired_);
  }
  struct Case {
    const char* name;
    const char* damage;
    bool is_said;
  };
  const Case cases[] = {
      {"a map of another layout",
       "rm /run/bpf/meshd/mesh_vnis && bpftool map create /run/bpf/meshd/mesh_vnis type hash "
       "key 8 value 4 entries 10 name stranger",
       true},
      {"a program in a map's place",
       "rm /run/bpf/meshd/mesh_vnis && ln /run/bpf/meshd/programs_*/mesh_connect4 /run/bpf/meshd/mesh_vnis 2>/dev/null "
       "|| "
       "bpftool prog pin pinned $(ls /run/bpf/meshd/programs_*/mesh_connect4) /run/bpf/meshd/mesh_vnis",
       true},
      {"a map that is gone", "rm -f /run/bpf/meshd/mesh_vnis", false},
      {"programs that are gone", "rm -r /run/bpf/meshd/programs_*", false},
  };
  for (const Case& c : cases) {
    shell(c.damage);
    Result<Dataplane> dataplane = Dataplane::open(options_);
    ASSERT_TRUE(dataplane) << c.name << ": " << dataplane.error().message;
    const Report report = reconcile_well(*dataplane, desired_);
    EXPECT_EQ(!report.recreated.empty(), c.is_said) << c.name << ": " << report.recreated;
    EXPECT_THAT(dataplane->inspect()->differences, IsEmpty()) << c.name;
  }
}

TEST_F(DataplaneOnKernel, XdpModeAttachesNativelyAndGivesWayToNobodyElse) {
  desired_.uplinks[0].mode = UplinkMode::kXdp;
  {
    Dataplane dataplane = open();
    reconcile_well(dataplane, desired_);
    EXPECT_THAT(shell("ip -d link show up0"), HasSubstr("prog/xdp id"));
    EXPECT_THAT(shell("ip -d link show up0"), Not(HasSubstr("xdpgeneric")));
    desired_.uplinks[0].mode = UplinkMode::kTc;
    reconcile_well(dataplane, desired_);
    EXPECT_THAT(shell("ip -d link show up0"), Not(HasSubstr("xdp")));
  }
  // Somebody else's program stays.
  std::string recreated;
  shell("bpftool net attach xdpdrv pinned $(ls /run/bpf/meshd/programs_*/mesh_uplink_xdp) dev up0");
  desired_.uplinks[0].mode = UplinkMode::kXdp;
  Dataplane dataplane = open();
  const Report report = reconcile(dataplane, desired_);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].kind, Problem::Kind::kUplink);
  EXPECT_EQ(report.problems[0].subject, "uplink up0");
  EXPECT_THAT(report.problems[0].message, HasSubstr("another XDP program"));
  shell("ip link set dev up0 xdp off");
  EXPECT_EQ(reconcile_well(dataplane, desired_).actions, 1U) << "tried again";
}

TEST_F(DataplaneOnKernel, AnUplinkWithoutXdpIsNamed) {
  // A bridge has no native XDP.
  shell("ip link add br7 type bridge && ip link set br7 up");
  desired_.uplinks[0] = {.name = "br7", .ifindex = if_nametoindex("br7"), .mode = UplinkMode::kXdp};
  Dataplane dataplane = open();
  const Report report = reconcile(dataplane, desired_);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_THAT(report.problems[0].message, HasSubstr("br7"));
  EXPECT_THAT(report.problems[0].message, HasSubstr("--uplink-mode tc"));
  shell("ip link del br7");
}

TEST_F(DataplaneOnKernel, OtherFiltersOnTheUplinkStay) {
  const std::string add =
      "tc filter add dev up0 ingress prio 5 bpf da object-pinned "
      "/run/bpf/meshd/programs_*/mesh_entry_tc";
  for (const bool before_us : {true, false}) {
    {
      Dataplane dataplane = open();
      if (before_us) shell("tc qdisc add dev up0 clsact && " + add);
      reconcile_well(dataplane, desired_);
      if (!before_us) shell(add);  // into the qdisc that we made
      EXPECT_THAT(shell("tc filter show dev up0 ingress"), HasSubstr("mesh_uplink_tc"));
    }
    ASSERT_TRUE(Dataplane::cleanup(options_));
    const std::string filters = shell("tc filter show dev up0 ingress");
    EXPECT_THAT(filters, HasSubstr("pref 5 bpf")) << before_us;
    EXPECT_THAT(filters, Not(HasSubstr("mesh_uplink_tc")));
    shell("tc qdisc del dev up0 clsact");
  }
}

TEST_F(DataplaneOnKernel, CleanupLeavesWhatWasThereBefore) {
  const auto picture = [] {
    return shell(
        "ls -A /run/bpf | grep -v debug; tc qdisc show; tc filter show dev up0 ingress; ip -d link show up0; "
        "bpftool cgroup show " +
        lab::cgroup_directory());
  };
  const std::string before = picture();
  desired_.uplinks[0].mode = UplinkMode::kXdp;
  {
    Dataplane dataplane = open();
    reconcile_well(dataplane, desired_);
    EXPECT_NE(picture(), before);
  }
  const Status status = Dataplane::cleanup(options_);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(picture(), before);
  EXPECT_TRUE(Dataplane::cleanup(options_)) << "nothing there is success";
}

TEST_F(DataplaneOnKernel, APortThatTheHostUsesIsRefusedByNameAndTakenWhenItIsFree) {
  Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(8010);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  Dataplane dataplane = open();
  Report report = reconcile(dataplane, desired_);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].kind, Problem::Kind::kPort);
  EXPECT_EQ(report.problems[0].port, 8010);
  EXPECT_THAT(report.problems[0].message, HasSubstr("port 8010/tcp is already in use on this host by dataplane_kerne"));
  EXPECT_THAT(report.problems[0].message, HasSubstr(std::to_string(getpid())));
  EXPECT_THAT(dataplane.inspect()->ports, IsEmpty());

  listener.reset();
  report = reconcile_well(dataplane, desired_);
  EXPECT_EQ(dataplane.inspect()->ports.size(), 1U);
  // And now nobody else can take it.
  const Fd late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(late.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = bind(late.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  EXPECT_FALSE(bound && listen(late.get(), 1) == 0);
}

TEST_F(DataplaneOnKernel, WithoutCgroup2OrBpffsTheMessageSaysSo) {
  desired_.cgroup_root = "/run/other-cgroup";
  Dataplane dataplane = open();
  const Report report = reconcile(dataplane, desired_);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].kind, Problem::Kind::kCgroup);
  EXPECT_THAT(report.problems[0].message, HasSubstr("--cgroup-root"));

  const Result<Dataplane> nowhere = Dataplane::open({.pin_dir = "/run/not-bpf/meshd"});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().kind, ErrorKind::kUnsupported);
  EXPECT_THAT(nowhere.error().message, HasSubstr("mount -t bpf"));
}

TEST_F(DataplaneOnKernel, TablesGrowWithWhatIsDesiredAndTheNextMeshdUsesThem) {
  const auto rows_of = [](const Dataplane& dataplane, const std::string& map) {
    const auto inspection = dataplane.inspect();
    EXPECT_THAT(inspection->differences, IsEmpty());
    for (const InspectedHook& hook : inspection->hooks) EXPECT_TRUE(hook.attached) << hook.name;
    return std::ranges::find(inspection->maps, map, &InspectedMap::name)->entries_max;
  };
  const auto publish = [&](std::uint16_t first, std::uint16_t count) {
    Change change;
    for (std::uint16_t i = 0; i < count; ++i) {
      change.ports.push_back(desired_.ports[0]);
      change.ports.back().port = static_cast<std::uint16_t>(first + i);
    }
    return change;
  };
  std::optional<Dataplane> dataplane = open();
  reconcile_well(*dataplane, desired_);
  const std::uint64_t small = rows_of(*dataplane, "mesh_rings");
  for (const std::uint16_t first : {std::uint16_t{20000}, std::uint16_t{21000}}) {
    const std::uint64_t before = rows_of(*dataplane, "mesh_rings");
    const Change change = publish(first, 400);
    const Result<Report> report = dataplane->change(change);
    ASSERT_TRUE(report) << report.error().message;
    for (const Problem& problem : report->problems) ADD_FAILURE() << problem.subject << ": " << problem.message;
    EXPECT_THAT(report->taken_over, HasSubstr("taken over"));
    EXPECT_EQ(report->recreated, "");
    EXPECT_GT(rows_of(*dataplane, "mesh_rings"), before);
    desired_.ports.insert(desired_.ports.end(), change.ports.begin(), change.ports.end());
    EXPECT_EQ(reconcile_well(*dataplane, desired_, Dataplane::Pass::kFull).actions, 0U);
  }
  const std::uint64_t large = rows_of(*dataplane, "mesh_rings");
  EXPECT_GE(large, 801U * 4);
  EXPECT_LT(large, MESH_RING_CHUNKS_MAX) << "as many as are needed, not as there may be";
  desired_.ports.resize(1);
  reconcile_well(*dataplane, desired_);
  dataplane.reset();
  Dataplane next = open();
  EXPECT_EQ(reconcile_well(next, desired_).actions, 0U);
  EXPECT_EQ(rows_of(next, "mesh_rings"), large);
  EXPECT_GT(large, small);
}

TEST_F(DataplaneOnKernel, AnEndpointWhoseInterfaceWentAwayIsNamedAndTheRestIsDone) {
  desired_.endpoints[0].attachment->ifindex = 4242;
  Dataplane dataplane = open();
  const Report report = reconcile(dataplane, desired_);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].kind, Problem::Kind::kEndpoint);
  EXPECT_EQ(report.problems[0].subject, "task task0");
  EXPECT_EQ(dataplane.inspect()->ports.size(), 1U);
}

TEST_F(DataplaneOnKernel, ScanRemovesRecordsThatAreOverAndClearsTheirFilterBits) {
  Dataplane dataplane = open();
  reconcile_well(dataplane, desired_);
  std::string recreated;
  Result<Kernel> kernel = Kernel::open(options_, {}, recreated);
  ASSERT_TRUE(kernel) << kernel.error().message;
  const std::uint32_t now = kernel->now().value();
  const auto binding = value_of<mesh_binding>(kernel->read("mesh_bindings", bytes_of(std::uint32_t{1})).value());
  const auto put = [&](std::uint32_t set_index, std::uint16_t index, std::uint8_t state, std::uint32_t tag) {
    mesh_flow_set set{};
    set.tag[0] = tag;
    set.mark[0] = MESH_FLOW_MARK(now - 100, state);
    mesh_flow& record = set.record[0];
    record.client = to_abi(samples::ip("198.51.100.7"));
    record.client_port = 1;
    record.given_port = 2;
    record.ifindex = binding.ifindex;
    record.binding = index;
    record.kind = MESH_FLOW_FORWARD;
    record.protocol = 6;
    ASSERT_TRUE(kernel->write("mesh_flows", bytes_of(set_index), bytes_of(set)));
  };
  put(1, 1, MESH_FLOW_CONFIRMED, 129);                    // stays
  put(2, 1, MESH_FLOW_CONFIRMED | MESH_FLOW_RESET, 131);  // over
  put(3, 99, MESH_FLOW_CONFIRMED, 133);                   // its binding is gone
  kernel->set_rewritten(1, 7);
  const auto held = dataplane.scan_foreign();
  ASSERT_TRUE(held) << held.error().message;
  ASSERT_EQ(held->size(), 1U);
  EXPECT_THAT((*held)[0].held, IsEmpty());
  std::uint64_t cursor = 0;
  const auto flows = dataplane.flows(cursor, 100);
  ASSERT_TRUE(flows);
  ASSERT_EQ(flows->size(), 1U);
  EXPECT_NEAR((*flows)[0].idle_seconds, 110, 30);
  EXPECT_EQ(kernel->rewritten_word(1), 1U);
}

TEST_F(DataplaneOnKernel, FlowsArePagedWithoutLossOrRepetition) {
  Dataplane dataplane = open();
  reconcile_well(dataplane, desired_);
  std::string recreated;
  Result<Kernel> kernel = Kernel::open(options_, {}, recreated);
  ASSERT_TRUE(kernel);
  constexpr std::uint32_t kSets = 3000;
  for (std::uint32_t i = 0; i < kSets; ++i) {
    mesh_flow_set set{};
    set.tag[i % MESH_FLOW_WAYS] = 1;
    set.record[i % MESH_FLOW_WAYS].kind = MESH_FLOW_FORWARD;
    set.record[i % MESH_FLOW_WAYS].protocol = 6;
    set.record[i % MESH_FLOW_WAYS].client = to_abi(samples::ip("198.51.100.7"));
    set.record[i % MESH_FLOW_WAYS].client_port = static_cast<std::uint16_t>(i);
    ASSERT_TRUE(kernel->write("mesh_flows", bytes_of(i * 10), bytes_of(set)));
  }
  std::set<std::uint16_t> seen;
  std::uint64_t cursor = 0;
  std::size_t pages = 0;
  do {
    const auto page = dataplane.flows(cursor, 500);
    ASSERT_TRUE(page);
    ++pages;
    for (const FlowRecord& flow : *page) EXPECT_TRUE(seen.insert(flow.client.port).second);
  } while (cursor != 0);
  EXPECT_EQ(seen.size(), kSets);
  EXPECT_GE(pages, kSets / 500);
}

}  // namespace
}  // namespace mesh::dataplane
