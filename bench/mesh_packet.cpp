// mesh-packet: nanoseconds per packet of each program, by test runs (bench/harness.bpf.c). Attaches nothing and pins
// nothing; run it in a network namespace of its own.
//   mesh-packet [--runs 1048576] [--rounds 1] [--cpu N] [--only TEXT]
//       every case (whose name has the text in it) once per round, its figures net of the harness:
//       {"cases": {"entry, 1 flow": [62.1, …], …}, "rewrite_ms": [1.2, …], "table_bytes": N, "flow_bytes": N}
//   mesh-packet --sizes    {"mesh_uplink_xdp": {"jit": bytes, "instructions": N, "maps": bytes}, …}
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/json.h"
#include "bench/packet_cases.h"
#include "bench/packet_sizes.h"
#include "bench/pin_to.h"

namespace {

using namespace mesh::bench;
using mesh::Result;
using mesh::Status;

// The layout of bench/harness.bpf.c.
struct HarnessConfig {
  std::array<std::uint8_t, 144> frame{};
  std::uint32_t length = 0, vary = 0, flows = 0, address_at = 0, port_at = 0;
  std::uint32_t services = 0, service_first = 0, service_at = 0, moved_at = 0, moved_percent = 0;
};
static_assert(sizeof(HarnessConfig) == 184);
constexpr std::size_t kHeadroomTail = 64;  // room behind the frame that test runs want
// What a test run of one packet costs more than one packet of many: so many fewer are measured.
constexpr std::uint32_t kOneByOneShare = 8;

class Bench {
 public:
  Bench(HarnessObject harness, MeshObject mesh, FloorObject floor, std::uint32_t runs)
      : harness_(std::move(harness)), mesh_(std::move(mesh)), floor_(std::move(floor)), runs_(runs) {}

  Result<double> measure(const Case& one) {
    if (one.fresh_flows) TRY(forget_flows());
    for (const Traffic& traffic : one.before) TRY(send(one.name, traffic, traffic.program, kFlows));
    const Traffic& traffic = one.traffic;
    std::uint32_t packets = one.packets != 0 ? one.packets : runs_;
    if (traffic.size == Size::kOneByOne) packets = std::max(packets / kOneByOneShare, 1U);
    const double with = TRY(send(one.name, traffic, traffic.program, packets));
    double harness = TRY(send(one.name, traffic, stub(traffic.xdp, Size::kKept), packets));
    if (traffic.size == Size::kGrows || traffic.size == Size::kShrinks) {
      harness = (harness + TRY(send(one.name, traffic, stub(true, traffic.size), packets))) / 2;
    }
    return std::max(0.0, with - harness);
  }

  [[nodiscard]] const MeshObject& mesh() const { return mesh_; }
  [[nodiscard]] const FloorObject& floor() const { return floor_; }
  [[nodiscard]] const HarnessObject& harness() const { return harness_; }

 private:
  [[nodiscard]] const bpf_program* stub(bool xdp, Size size) const {
    if (!xdp) return harness_->progs.stub_tc;
    if (size == Size::kGrows) return harness_->progs.stub_grow_xdp;
    return size == Size::kShrinks ? harness_->progs.stub_shrink_xdp : harness_->progs.stub_xdp;
  }

  // Row by row: an array with locks in it cannot be mapped.
  Status forget_flows() {
    const std::vector<std::uint8_t> empty(sizeof(mesh_flow_set));
    for (std::uint32_t set = 0; set < kFlowSets; ++set) {
      if (bpf_map_update_elem(bpf_map__fd(mesh_->maps.mesh_flows), &set, empty.data(), BPF_ANY) != 0) {
        return mesh::fail_errno("empty the flow table", errno);
      }
    }
    return {};
  }

  Status configure(const Traffic& traffic) {
    const Frame& frame = traffic.frame;
    const HarnessConfig config{.frame = frame.bytes,
                               .length = frame.length,
                               .vary = traffic.vary,
                               .flows = kFlows,
                               .address_at = frame.address_at,
                               .port_at = frame.port_at,
                               .services = traffic.services,
                               .service_first = kManyFirst,
                               .service_at = frame.service_at,
                               .moved_at = traffic.moved_percent ? frame.flags_at : 0,
                               .moved_percent = traffic.moved_percent.value_or(0)};
    return put(harness_->maps.settings, std::uint32_t{0}, config);
  }

  // Where 64 Ki flows meet in sets of seven, a few lose their records to others.
  static Status tolerate(std::uint32_t unexpected, std::uint32_t packets, const std::string& name,
                         const Traffic& traffic, int verdict) {
    if (traffic.size == Size::kOneByOne && unexpected <= packets / 100) return {};
    return mesh::fail(mesh::ErrorKind::kInternal,
                      name + ": verdict " + std::to_string(verdict) + ", expected " + std::to_string(traffic.expected));
  }

  // Nanoseconds per packet, the harness included.
  Result<double> send(const std::string& name, const Traffic& traffic, const bpf_program* program,
                      std::uint32_t packets) {
    TRY(configure(traffic));
    const bpf_map* slot = traffic.xdp ? harness_->maps.xdp_under_test : harness_->maps.tc_under_test;
    TRY(put(slot, std::uint32_t{0}, bpf_program__fd(program)));
    std::vector<std::uint8_t> out(traffic.frame.length + MESH_OUTER_SIZE + kHeadroomTail);
    __sk_buff skb{};
    skb.ifindex = skb.ingress_ifindex = kLoopback;
    const bool one_by_one = traffic.size == Size::kOneByOne;
    const std::uint64_t failed = harness_->bss->failed;
    const int driver = bpf_program__fd(traffic.xdp ? harness_->progs.harness_xdp : harness_->progs.harness_tc);
    double total_ns = 0;
    std::uint32_t unexpected = 0;
    for (std::uint32_t run = 0; run < (one_by_one ? packets : 1); ++run) {
      LIBBPF_OPTS(bpf_test_run_opts, options);
      options.data_in = traffic.frame.bytes.data();
      options.data_size_in = traffic.frame.length;
      options.data_out = out.data();
      options.data_size_out = static_cast<std::uint32_t>(out.size());
      options.repeat = one_by_one ? 1 : static_cast<int>(packets);
      if (!traffic.xdp) {
        options.ctx_in = &skb;
        options.ctx_size_in = sizeof(skb);
      }
      if (bpf_prog_test_run_opts(driver, &options) != 0) return mesh::fail_errno("test run of " + name, errno);
      if (program == traffic.program && static_cast<int>(options.retval) != traffic.expected) {
        TRY(tolerate(++unexpected, packets, name, traffic, static_cast<int>(options.retval)));
      }
      total_ns += options.duration;
    }
    if (harness_->bss->failed != failed) {
      return mesh::fail(mesh::ErrorKind::kInternal, name + ": the harness lost packets");
    }
    return total_ns / (one_by_one ? packets : 1);
  }

  HarnessObject harness_;
  MeshObject mesh_;
  FloorObject floor_;
  std::uint32_t runs_;
};

Status run(std::uint32_t runs, std::uint32_t rounds, const std::string& only) {
  HarnessObject harness(harness_bpf__open_and_load());
  if (!harness) return mesh::fail_errno("load the harness (root is needed)", errno);
  const std::vector<Service> services = bench_services();
  MeshObject mesh = TRY(load_mesh(false));
  TRY(fill(mesh, services));
  FloorObject floor = TRY(load_floor(services));
  Bench bench(std::move(harness), std::move(mesh), std::move(floor), runs);
  std::vector<Case> cases = packet_cases(bench.mesh(), bench.floor(), bench.harness());
  std::erase_if(cases, [&](const Case& one) { return one.name.find(only) == std::string::npos; });
  if (cases.empty()) return mesh::fail(mesh::ErrorKind::kInvalid, "no case has \"" + only + "\" in its name");
  std::map<std::string, mesh::JsonArray> figures;
  mesh::JsonArray rewrites;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    for (const Case& one : cases) figures[one.name].emplace_back(TRY(bench.measure(one)));
    rewrites.emplace_back(TRY(rewrite_rings_ms(bench.mesh(), 2 + round)));
    std::fprintf(stderr, "round %u/%u\n", round + 1, rounds);
  }
  mesh::JsonObject named;
  for (const Case& one : cases) named[one.name] = std::move(figures[one.name]);
  const MapMemory memory = TRY(map_memory(bench.mesh()));
  std::puts(mesh::to_text(mesh::JsonObject{{"cases", std::move(named)},
                                           {"rewrite_ms", std::move(rewrites)},
                                           {"table_bytes", memory.tables},
                                           {"flow_bytes", memory.flows}})
                .c_str());
  return {};
}

Status print_sizes() {
  std::puts(mesh::to_text(TRY(program_sizes())).c_str());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("nanoseconds per packet of each program");
  std::uint32_t runs = 1U << 20U;
  std::uint32_t rounds = 1;
  int cpu = -1;
  std::string only;
  bool sizes = false;
  app.add_option("--runs", runs, "packets per figure")->check(CLI::Range(1024U, 1U << 26U));
  app.add_option("--rounds", rounds, "figures per case")->check(CLI::Range(1U, 1000U));
  app.add_option("--cpu", cpu, "pin to this CPU");
  app.add_option("--only", only, "only cases whose name has this text in it");
  app.add_flag("--sizes", sizes, "how large the programs and their tables are");
  CLI11_PARSE(app, argc, argv);
  libbpf_set_print(nullptr);
  Status status = pin_to(cpu);
  if (status) status = sizes ? print_sizes() : run(runs, rounds, only);
  if (status) return 0;
  std::fprintf(stderr, "mesh-packet: %s\n", status.error().message.c_str());
  return 1;
}
