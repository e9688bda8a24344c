// A new meshd under traffic: other programs take the place of the attached ones, over the same tables, over tables of
// other sizes, and over those of the previous version. Not one packet is lost and no flow begins anew. A load that
// fails changes nothing.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

#include "dataplane/abi_previous.h"
#include "dataplane/state.h"
#include "dataplane/takeover.h"
#include "tests/packet/dataplane_lab.h"
#include "tests/packet/dataplane_steady.h"

namespace mesh::lab {
namespace {

using dataplane::bytes_of;
using dataplane::MapShape;
using dataplane::UplinkMode;
using testing::HasSubstr;
using testing::IsEmpty;

const auto* const kEnvironment = testing::AddGlobalTestEnvironment(new OwnWorld);

constexpr std::uint16_t kHosts = 2;

std::map<UplinkMode, std::unique_ptr<Cluster>> clusters;

class Swap : public testing::TestWithParam<UplinkMode> {
 protected:
  void SetUp() override {
    std::unique_ptr<Cluster>& cluster = clusters[GetParam()];
    if (!cluster) {
      cluster = std::make_unique<Cluster>(kHosts, GetParam());
      cluster->tasks = {{.id = "one", .node = 1, .number = 1, .networks = {kBlueVni}},
                        {.id = "two", .node = 2, .number = 2, .networks = {kBlueVni}}};
      cluster->apply();
    }
    cluster_ = cluster.get();
    for (const Task& task : cluster_->tasks) {
      servers_.push_back(std::make_unique<Server>(task.id, cluster_->task_netns(task)));
    }
    std::vector<std::string> netns = {cluster_->client_netns()};
    for (const Task& task : cluster_->tasks) netns.push_back(cluster_->task_netns(task));
    traffic_ = std::make_unique<SteadyTraffic>(ways(), netns);
    before_ = flows_made();
  }
  void TearDown() override {
    const SteadyTraffic::Outcome outcome = traffic_->stop();
    EXPECT_THAT(outcome.problems, IsEmpty());
    EXPECT_GT(outcome.answered, 1000U);
    EXPECT_EQ(flows_made(), before_) << "flows were made again";
    std::cout << outcome.answered << " answers, " << outcome.late << " segments late\n";
  }
  static void TearDownTestSuite() { clusters.clear(); }

  // From outside and from a task, through both hosts; and to a virtual IP, whose sockets are translated.
  std::vector<SteadyTraffic::Way> ways() {
    std::vector<SteadyTraffic::Way> ways;
    const std::string task = cluster_->task_netns(cluster_->tasks[0]);
    for (const bool tcp : {false, true}) {
      const char* protocol = tcp ? "tcp" : "udp";
      for (std::uint16_t host = 1; host <= kHosts; ++host) {
        for (int i = 0; i < 3; ++i) {  // some go to either task
          ways.push_back({cluster_->client_netns(),
                          {host_address(host), 8010},
                          tcp,
                          fmt::format("client {} {} to host {}", protocol, i, host)});
        }
        ways.push_back({task, {host_address(host), 8010}, tcp, fmt::format("task {} to host {}", protocol, host)});
      }
      ways.push_back({task, {virtual_ip(kBlueVni), 80}, tcp, fmt::format("task {} to a virtual IP", protocol)});
    }
    return ways;
  }

  // Of all hosts: records made, made again, and displaced.
  std::uint64_t flows_made() {
    std::uint64_t sum = 0;
    for (std::uint16_t host = 1; host <= kHosts; ++host) {
      const Result<dataplane::Counters> counters = cluster_->host(host).dataplane->counters();
      if (!counters) throw std::runtime_error(counters.error().message);
      for (const auto& event : counters->events) {
        if (event.reason.starts_with("flow_")) sum += event.packets;
      }
    }
    return sum;
  }

  // Of the attached programs.
  std::set<std::uint32_t> program_ids(std::uint16_t host) {
    std::set<std::uint32_t> ids;
    Cluster::inside(cluster_->host(host).netns, [&] {
      const auto inspection = cluster_->host(host).dataplane->inspect();
      ASSERT_TRUE(inspection) << inspection.error().message;
      EXPECT_THAT(inspection->differences, IsEmpty());
      for (const auto& hook : inspection->hooks) ids.insert(hook.program_id);
    });
    return ids;
  }

  // A new meshd comes and takes over; its programs are others.
  void swap(std::uint16_t host) {
    const std::set<std::uint32_t> before = program_ids(host);
    cluster_->restart(host);
    cluster_->apply();
    EXPECT_EQ(cluster_->host(host).report.recreated, "");
    for (const std::uint32_t id : program_ids(host)) EXPECT_FALSE(before.contains(id)) << "the old program is attached";
    // Traffic in between, so that each swap meets every flow.
    traffic_->wait_for_answers(500);
  }

  const std::string& pin_dir(std::uint16_t host) { return cluster_->host(host).dataplane_options.pin_dir; }

  Cluster* cluster_ = nullptr;
  std::vector<std::unique_ptr<Server>> servers_;
  std::unique_ptr<SteadyTraffic> traffic_;
  std::uint64_t before_ = 0;
};

TEST_P(Swap, OverTheSameTablesLosesNothing) {
  for (int round = 0; round < 4; ++round) {
    for (std::uint16_t host = 1; host <= kHosts; ++host) {
      shell("rm -r " + pin_dir(host) + "/programs_*");  // as if they were another build's
      swap(host);
      EXPECT_EQ(cluster_->host(host).report.taken_over, "");
    }
  }
}

TEST_P(Swap, OverAFlowTableOfAnotherSizeLosesNothing) {
  for (const std::uint32_t sets : {2 * MESH_FLOW_SETS, MESH_FLOW_SETS / 2, 0U}) {
    for (std::uint16_t host = 1; host <= kHosts; ++host) {
      cluster_->host(host).dataplane_options.flow_sets = sets;
      swap(host);
      EXPECT_THAT(cluster_->host(host).report.taken_over, HasSubstr("taken over"));
      const auto counters = cluster_->host(host).dataplane->counters();
      ASSERT_TRUE(counters);
      EXPECT_EQ(counters->flow_records_max, (sets == 0 ? MESH_FLOW_SETS : sets) * MESH_FLOW_WAYS);
    }
  }
}

TEST_P(Swap, ToLargerTablesLosesNothing) {
  const std::vector<std::uint16_t> ports = cluster_->ports;
  const std::set<std::uint32_t> before = program_ids(1);
  for (std::uint16_t number = 0; number < 200; ++number) {
    cluster_->ports.push_back(static_cast<std::uint16_t>(20000 + number));
  }
  cluster_->apply();
  for (std::uint16_t host = 1; host <= kHosts; ++host) {
    EXPECT_THAT(cluster_->host(host).report.taken_over, HasSubstr("taken over"));
    EXPECT_EQ(cluster_->host(host).report.recreated, "");
  }
  for (const std::uint32_t id : program_ids(1)) EXPECT_FALSE(before.contains(id)) << "the old program is attached";
  traffic_->wait_for_answers(500);
  cluster_->ports = ports;
  cluster_->apply();
}

// The maps of the previous version, from tests/unit/abi.
std::map<std::string, MapShape> previous_shapes() {
  std::map<std::string, MapShape> shapes;
  std::ifstream file(fmt::format("{}/tests/unit/abi/{}.txt", MESH_TEST_SOURCE_DIR, dataplane::previous::kVersion));
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string kind, name, word;
    words >> kind >> name;
    if (kind != "map") continue;
    MapShape& shape = shapes[name];
    words >> word >> shape.type >> word >> shape.key_size >> word >> shape.value_size >> word >> shape.rows_max >>
        word >> shape.flags;
  }
  return shapes;
}

MapShape shape_of(int fd) {
  bpf_map_info info{};
  std::uint32_t size = sizeof info;
  bpf_obj_get_info_by_fd(fd, &info, &size);
  return {info.type, info.key_size, info.value_size, info.max_entries, info.map_flags};
}

// Rows of `from` as the previous version had them.
void fill_previous(const std::string& name, int from, int to, const MapShape& shape) {
  const MapShape now = shape_of(from);
  const auto cpus = now.type == BPF_MAP_TYPE_PERCPU_ARRAY ? static_cast<std::size_t>(libbpf_num_possible_cpus()) : 1;
  const auto slot = [&](const MapShape& of) { return cpus == 1 ? of.value_size : (of.value_size + 7U) / 8U * 8U; };
  std::string key(now.key_size, '\0'), next = key;
  std::string value(slot(now) * cpus, '\0'), then(slot(shape) * cpus, '\0');
  for (int more = bpf_map_get_next_key(from, nullptr, next.data()); more == 0;
       more = bpf_map_get_next_key(from, key.data(), next.data())) {
    key = next;
    if (bpf_map_lookup_elem(from, key.data(), value.data()) != 0) continue;
    for (std::size_t cpu = 0; cpu < cpus; ++cpu) {
      std::memcpy(then.data() + cpu * slot(shape), value.data() + cpu * slot(now),
                  std::min<std::size_t>(shape.value_size, now.value_size));
    }
    const bool is_newer = name == "mesh_counters" && dataplane::value_of<std::uint32_t>(key) >= shape.rows_max;
    if (is_newer) continue;  // counted since then
    if (name == "mesh_config") std::memcpy(then.data(), &dataplane::previous::kVersion, sizeof(std::uint32_t));
    if (dataplane::is_zero(then)) continue;
    ASSERT_EQ(bpf_map_update_elem(to, key.data(), then.data(), BPF_ANY), 0) << name << ": " << strerror(errno);
  }
}

// What each CPU has counted of each backend, in a per-CPU array. `backends`: rows of a CPU.
void fill_previous_counters(int from, int to, std::uint32_t backends) {
  const auto cpus = static_cast<std::uint32_t>(libbpf_num_possible_cpus());
  for (std::uint32_t backend = 0; backend < backends; ++backend) {
    std::vector<mesh_traffic> traffic(cpus);
    for (std::uint32_t cpu = 0; cpu < cpus; ++cpu) {
      const std::uint32_t row = cpu * backends + backend;
      ASSERT_EQ(bpf_map_lookup_elem(from, &row, &traffic[cpu]), 0);
    }
    ASSERT_EQ(bpf_map_update_elem(to, &backend, traffic.data(), BPF_ANY), 0);
  }
}

// What the previous version's meshd would have pinned; the attached programs go on with the maps that they have. What
// has not changed since then stays the same map.
void pin_previous(const std::string& pin_dir) {
  const std::uint32_t backends = shape_of(Fd(bpf_obj_get((pin_dir + "/mesh_backends").c_str())).get()).rows_max;
  for (const auto& [name, shape] : previous_shapes()) {
    const std::string path = pin_dir + "/" + name;
    const Fd now(bpf_obj_get(path.c_str()));
    ASSERT_TRUE(now) << path;
    if (shape == shape_of(now.get()) && name != "mesh_config") continue;
    bpf_map_create_opts options{};
    options.sz = sizeof options;
    options.map_flags = shape.flags;
    // A map that is used on goes by the name that it was made with.
    const std::string named = name.substr(0, BPF_OBJ_NAME_LEN - 1);
    const Fd then(bpf_map_create(static_cast<bpf_map_type>(shape.type), named.c_str(), shape.key_size, shape.value_size,
                                 shape.rows_max, &options));
    ASSERT_TRUE(then) << name << ": " << strerror(errno);
    if (name == "mesh_backend_counters") {
      fill_previous_counters(now.get(), then.get(), backends);
    } else {
      fill_previous(name, now.get(), then.get(), shape);
    }
    std::filesystem::remove(path);
    ASSERT_EQ(bpf_obj_pin(then.get(), path.c_str()), 0) << path << ": " << strerror(errno);
  }
  std::filesystem::remove(pin_dir + "/mesh_endpoints4");  // there was none
  shell("rm -r " + pin_dir + "/programs_*");
}

TEST_P(Swap, OverTheTablesOfThePreviousVersionLosesNothing) {
  for (std::uint16_t host = 1; host <= kHosts; ++host) {
    const auto before = cluster_->host(host).dataplane->counters();
    ASSERT_TRUE(before);
    pin_previous(pin_dir(host));
    swap(host);
    EXPECT_THAT(cluster_->host(host).report.taken_over,
                HasSubstr(fmt::format("version {}", dataplane::previous::kVersion)));
    const auto after = cluster_->host(host).dataplane->counters();
    ASSERT_TRUE(after);
    for (std::size_t i = 0; i < before->ports.size(); ++i) {
      EXPECT_GT(before->ports[i].entry.packets, 0U);
      EXPECT_GE(after->ports[i].entry.packets, before->ports[i].entry.packets);
      EXPECT_GE(after->ports[i].entry.bytes, before->ports[i].entry.bytes);
    }
    for (std::size_t i = 0; i < before->events.size(); ++i) {
      const std::string& reason = before->events[i].reason;
      if (reason == "mss_clamped" || reason == "datagram_led") continue;  // counted since then
      EXPECT_GE(after->events[i].packets, before->events[i].packets) << before->events[i].reason;
    }
    for (std::size_t i = 0; i < before->bindings.size(); ++i) {
      EXPECT_GE(after->bindings[i].in.packets, before->bindings[i].in.packets);
      EXPECT_GE(after->bindings[i].flows, 1U);
    }
  }
}

// What is pinned and attached of a host.
std::string picture(const std::string& netns, const std::string& directory) {
  return shell(
      fmt::format("ls -R {0}; for pin in {0}/mesh_*; do bpftool map show pinned $pin | head -1; done; "
                  "for pin in {0}/programs_*/*; do bpftool prog show pinned $pin | head -1; done; "
                  "nsenter --net={1} tc filter show dev up0 ingress",
                  directory, netns));
}

// Of this thread, all but what makes maps and opens files.
void leave_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  ASSERT_EQ(syscall(SYS_capget, &header, sets.data()), 0);
  sets[0].effective = 1U << CAP_DAC_OVERRIDE;
  sets[1].effective = 1U << (CAP_BPF - 32);
  ASSERT_EQ(syscall(SYS_capset, &header, sets.data()), 0);
}

TEST_P(Swap, ALoadThatFailsChangesNothing) {
  Host& host = cluster_->host(1);
  struct Case {
    const char* name;
    std::uint32_t flow_sets;
    bool may_load_programs;
    const char* said;
  };
  const Case cases[] = {
      {"a program that the kernel refuses", 2 * MESH_FLOW_SETS, false, "load BPF object mesh"},
      {"a map that cannot be made", 1U << 31, true, "mesh_flows"},
      {"a size that cannot be", 3, true, "power of two"},
  };
  const std::string before = picture(host.netns, pin_dir(1));
  for (const Case& c : cases) {
    dataplane::Options options = host.dataplane_options;
    options.flow_sets = c.flow_sets;
    std::thread([&] {
      if (!c.may_load_programs) leave_capabilities();
      const auto opened = dataplane::Dataplane::open(options);
      ASSERT_FALSE(opened) << c.name;
      EXPECT_THAT(opened.error().message, HasSubstr(c.said)) << c.name;
    }).join();
    EXPECT_EQ(picture(host.netns, pin_dir(1)), before) << c.name;
  }
  shell("mount -o remount,ro /run/bpf");
  dataplane::Options options = host.dataplane_options;
  options.flow_sets = 2 * MESH_FLOW_SETS;
  EXPECT_FALSE(dataplane::Dataplane::open(options)) << "nothing can be pinned";
  shell("mount -o remount,rw /run/bpf");
  EXPECT_EQ(picture(host.netns, pin_dir(1)), before);
  {
    // A meshd that ends before its first pass.
    const auto opened = dataplane::Dataplane::open(options);
    ASSERT_TRUE(opened) << opened.error().message;
  }
  EXPECT_EQ(picture(host.netns, pin_dir(1)), before);
  cluster_->restart(1);
  cluster_->apply();
  EXPECT_EQ(host.report.actions, 0U) << "the next meshd finds everything as it was";
}

INSTANTIATE_TEST_SUITE_P(Modes, Swap, testing::Values(UplinkMode::kTc, UplinkMode::kXdp), [](const auto& parameter) {
  return std::string(parameter.param == UplinkMode::kTc ? "tc" : "xdp");
});

}  // namespace
}  // namespace mesh::lab
