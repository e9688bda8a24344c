#include "dataplane/tracer.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <numeric>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/pkt_cls.h>

#include "bpf/lib/flow.h"

namespace mesh::dataplane {
namespace {

// What the programs below write; all else they only read (or is private to the object anyway).
constexpr std::array kOwnTables = {"mesh_counters", "mesh_backend_counters", "mesh_binding_counters",
                                   "mesh_flows",    "mesh_filters",          "mesh_leads",
                                   "mesh_leading"};
constexpr std::array<std::string_view, 4> kTraced = {"mesh_uplink_xdp", "mesh_uplink_tc", "mesh_endpoint_tc",
                                                     "mesh_entry_tc"};
constexpr std::size_t kGrowth = 512;  // of a frame: the tunnel's headers, an ICMP error around it

TraceRun::Verdict verdict_of(bool xdp, std::uint32_t code) {
  const std::uint32_t redirect = xdp ? XDP_REDIRECT : TC_ACT_REDIRECT;
  const std::uint32_t pass = xdp ? XDP_PASS : TC_ACT_OK;
  if (code == redirect) return TraceRun::Verdict::kRedirect;
  return code == pass ? TraceRun::Verdict::kPass : TraceRun::Verdict::kDrop;
}

Status copy_rows(const Kernel& kernel, const char* name, int to, std::uint32_t rows_max) {
  constexpr std::uint32_t kPart = Kernel::kSetsPerRead;
  for (std::uint32_t first = 0; first < rows_max; first += kPart) {
    std::uint32_t count = std::min(kPart, rows_max - first);
    const std::string rows = TRY(kernel.read_rows(name, first, count));
    std::vector<std::uint32_t> keys(count);
    std::iota(keys.begin(), keys.end(), first);
    bpf_map_batch_opts options{};
    options.sz = sizeof options;
    if (bpf_map_update_batch(to, keys.data(), rows.data(), &count, &options) != 0) {
      return fail_errno(fmt::format("copy {} for a trace", name), errno);
    }
  }
  return {};
}

}  // namespace

void Tracer::Close::operator()(bpf_object* object) const { bpf_object__close(object); }

Result<Tracer> Tracer::load(const std::string& pin_dir, const Sizes& sizes) {
  Tracer tracer;
  const BpfObject& elf = bpf_objects().front();
  bpf_object_open_opts options{};
  options.sz = sizeof options;
  options.object_name = "mesh_trace";
  options.pin_root_path = pin_dir.c_str();
  tracer.object_.reset(bpf_object__open_mem(elf.elf.data(), elf.elf.size(), &options));
  if (!tracer.object_) return fail_errno("open the programs for a trace", errno);
  for (const char* name : kOwnTables) {
    bpf_map* own = bpf_object__find_map_by_name(tracer.object_.get(), name);
    if (own == nullptr) return fail(ErrorKind::kInternal, fmt::format("no map {}", name));
    if (bpf_map__set_pin_path(own, nullptr) != 0) return fail_errno(name, errno);
  }
  for (const auto& [name, rows] : sizes) {
    bpf_map__set_max_entries(bpf_object__find_map_by_name(tracer.object_.get(), name.c_str()), rows);
  }
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, tracer.object_.get()) {
    const bool traced = std::ranges::find(kTraced, std::string_view(bpf_program__name(program))) != kTraced.end();
    bpf_program__set_autoload(program, traced);
  }
  if (const int code = bpf_object__load(tracer.object_.get()); code != 0) {
    return fail_errno("load the programs for a trace", -code);
  }
  return tracer;
}

int Tracer::map(const char* name) const { return bpf_object__find_map_fd_by_name(object_.get(), name); }

Status Tracer::copy_tables(const Kernel& kernel) {
  TRY(copy_rows(kernel, "mesh_flows", map("mesh_flows"), kernel.facts().flow_mask + 1));
  TRY(copy_rows(kernel, "mesh_filters", map("mesh_filters"), MESH_FILTER_WORDS));
  TRY(copy_rows(kernel, "mesh_leading", map("mesh_leading"), 1));
  mesh_lead_key own{};  // of the trace before
  while (bpf_map_get_next_key(map("mesh_leads"), nullptr, &own) == 0) bpf_map_delete_elem(map("mesh_leads"), &own);
  for (const auto& [key, value] : TRY(kernel.read_table("mesh_leads"))) {
    if (bpf_map_update_elem(map("mesh_leads"), key.data(), value.data(), BPF_ANY) != 0) {
      return fail_errno("copy mesh_leads for a trace", errno);
    }
  }
  return {};
}

Status Tracer::put_back(const MetTables& met) {
  if (bpf_map_update_elem(map("mesh_flows"), &met.flow_index, met.flows.data(), BPF_ANY) != 0 ||
      bpf_map_update_elem(map("mesh_filters"), &met.filter_index, met.filter.data(), BPF_ANY) != 0) {
    return fail_errno("put back what the caught packet met", errno);
  }
  return {};
}

Result<std::vector<std::uint64_t>> Tracer::counted() const {
  std::vector<std::uint64_t> sums(MESH_COUNTERS);
  std::vector<std::uint64_t> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  for (std::uint32_t i = 0; i < MESH_COUNTERS; ++i) {
    if (bpf_map_lookup_elem(map("mesh_counters"), &i, values.data()) != 0) return fail_errno("read counters", errno);
    sums[i] = std::accumulate(values.begin(), values.end(), std::uint64_t{0});
  }
  return sums;
}

Result<TraceRun> Tracer::run(const TraceOrder& order) {
  const bpf_program* program = bpf_object__find_program_by_name(object_.get(), order.program.c_str());
  if (program == nullptr) return fail(ErrorKind::kInternal, "no program " + order.program);
  const bool xdp = bpf_program__type(program) == BPF_PROG_TYPE_XDP;
  TraceRun run;
  run.frame.resize(order.frame.size() + kGrowth);
  __sk_buff skb{};
  skb.ifindex = order.ifindex;
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = order.frame.data();
  options.data_size_in = static_cast<std::uint32_t>(order.frame.size());
  options.data_out = run.frame.data();
  options.data_size_out = static_cast<std::uint32_t>(run.frame.size());
  options.repeat = 1;
  // XDP asks the interface only for its route, which is the same from any of this host.
  if (!xdp) {
    options.ctx_in = &skb;
    options.ctx_size_in = sizeof skb;
  }
  const std::vector<std::uint64_t> before = TRY(counted());
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) != 0) {
    return fail_errno("run " + order.program + " for a trace", errno);
  }
  const std::vector<std::uint64_t> after = TRY(counted());
  run.frame.resize(options.data_size_out);
  run.verdict = verdict_of(xdp, options.retval);
#define MESH_X(NAME, name, text) \
  if (after[MESH_COUNT_##NAME] != before[MESH_COUNT_##NAME]) run.drops.emplace_back(name ": " text);
  MESH_DROP_REASONS(MESH_X)
#undef MESH_X
#define MESH_X(NAME, name, text) \
  if (after[MESH_COUNT_##NAME] != before[MESH_COUNT_##NAME]) run.events.emplace_back(name);
  MESH_EVENTS(MESH_X)
#undef MESH_X
  return run;
}

Result<std::optional<FlowEntry>> Tracer::find_flow(const TracedPacket& packet, std::uint32_t ifindex,
                                                   const HostFacts& facts) const {
  mesh_flow_key key{};
  const bool reverse = ifindex != 0;
  const SocketAddress& client = reverse ? packet.destination : packet.source;
  key.client = to_abi(client.ip);
  key.client_port = htons(client.port);
  if (!reverse) key.original = to_abi(packet.destination.ip);
  key.port = htons(reverse ? packet.source.port : packet.destination.port);
  key.ifindex = ifindex;
  key.kind = reverse ? MESH_FLOW_REVERSE : MESH_FLOW_FORWARD;
  key.protocol = packet.protocol;
  const std::uint64_t hash = mesh_flow_key_hash(&key, facts.flow_seed);
  const std::uint32_t index = mesh_flow_set_index(hash, facts.flow_mask);
  mesh_flow_set set{};
  if (bpf_map_lookup_elem(map("mesh_flows"), &index, &set) != 0) return fail_errno("read the flow table", errno);
  const std::uint32_t tag = mesh_flow_tag(hash);
  const std::uint32_t way = mesh_flow_find(&set, &key, tag);
  if (way >= MESH_FLOW_WAYS) return std::optional<FlowEntry>();
  FlowEntry entry{};
  entry.tag = tag;
  entry.mark = set.mark[way];
  entry.record = set.record[way];
  return std::optional(entry);
}

}  // namespace mesh::dataplane
