// Kernel: the flow table. It is read from outside, but changed only by the programs, under the locks of its sets.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include <bpf/bpf.h>

#include "dataplane/kernel.h"

namespace mesh::dataplane {
namespace {

constexpr std::uint32_t kSetsPerSweep = 1024;  // half a MiB to read, while the CPU's packets wait
static_assert(kSetsPerSweep <= MESH_SWEEP_SETS_MAX);
constexpr auto kHzSample = std::chrono::milliseconds(30);  // 3 jiffies at HZ 100, 8 at 250: told apart by either end

// 2^n jiffies are about a second.
std::uint8_t shift_of(double hz) {
  // Half way between the usual ones: 100, 250 or 300, 1000.
  constexpr double kOver100 = 175, kOver300 = 650;
  return hz < kOver100 ? 7 : hz < kOver300 ? 8 : 10;
}

mesh_filter& filter_at(void* filters, std::uint32_t word) {
  return static_cast<mesh_filter*>(filters)[word % MESH_FILTER_WORDS];
}

std::atomic_ref<__u64> word_at(void* filters, std::uint32_t word) {
  return std::atomic_ref(filter_at(filters, word).rewritten);
}

}  // namespace

Result<mesh_sweep> Kernel::sweep(std::uint32_t first, std::uint32_t count) const {
  mesh_sweep order{};
  order.first = first;
  order.count = count;
  TRY(run_with("mesh_sweep", &order, sizeof order));
  return order;
}

// Whether the table knows the flow now.
Result<bool> Kernel::carry(const FlowEntry& flow) const {
  mesh_carry order{.record = flow.record, .mark = flow.mark, .reserved = 0};
  const std::uint32_t answer = TRY(run_with("mesh_carry", &order, sizeof order));
  if (answer == XDP_ABORTED) return fail(ErrorKind::kInternal, "run mesh_carry: this host's settings are not written");
  return answer == XDP_PASS;
}

// Runs a program that takes orders in place of a packet, and answers in them. Returns what it returned.
Result<std::uint32_t> Kernel::run_with(const std::string& name, void* order, std::uint32_t size) const {
  const auto program = programs_.find(name);
  if (program == programs_.end()) return fail(ErrorKind::kInternal, "no program " + name);
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = options.data_out = order;
  options.data_size_in = options.data_size_out = size;
  options.repeat = 1;
  if (bpf_prog_test_run_opts(program->second.get(), &options) != 0) return fail_errno("run " + name, errno);
  return options.retval;
}

Result<std::uint64_t> Kernel::sweep_flows() {
  std::uint64_t removed = 0;
  const std::uint32_t sets = facts_.flow_mask + 1;
  for (std::uint32_t first = 0; first < sets; first += kSetsPerSweep) {
    removed += TRY(sweep(first, std::min(kSetsPerSweep, sets - first))).removed;
  }
  return removed;
}

Status Kernel::run(const RemoveFlows&) {
  // Their bindings are closed by now, which is what a sweep goes by.
  TRY(sweep_flows());
  return {};
}

Result<std::uint32_t> Kernel::now() const { return TRY(sweep(0, 0)).tick; }

// The kernel's HZ can be learned only by watching its jiffies. As old as the table, whose marks are made of it.
Status Kernel::learn_tick() {
  const auto config = value_of<mesh_config>(TRY(read("mesh_config", bytes_of(std::uint32_t{0}))));
  facts_.tick_shift = config.tick_shift;
  if (facts_.tick_shift != 0) return {};
  const mesh_sweep before = TRY(sweep(0, 0));
  std::this_thread::sleep_for(kHzSample);
  const mesh_sweep after = TRY(sweep(0, 0));
  const auto seconds = static_cast<double>(after.nanoseconds - before.nanoseconds) / 1e9;
  facts_.tick_shift = shift_of(static_cast<double>(after.jiffies - before.jiffies) / seconds);
  return {};
}

void Kernel::visit_flows(const std::string& rows, const std::function<void(const FlowEntry&)>& visit) {
  mesh_flow_set set;
  for (std::size_t at = 0; at + sizeof set <= rows.size(); at += sizeof set) {
    std::memcpy(&set, rows.data() + at, sizeof set);
    for (std::size_t way = 0; way < MESH_FLOW_WAYS; ++way) {
      if (set.tag[way] != 0) visit({set.record[way], set.tag[way], set.mark[way]});
    }
  }
}

Status Kernel::for_each_flow(const std::function<void(const FlowEntry&)>& visit) const {
  for (std::uint32_t first = 0;; first += kSetsPerRead) {
    const std::string rows = TRY(read_rows("mesh_flows", first, kSetsPerRead));
    if (rows.empty()) return {};
    visit_flows(rows, visit);
  }
}

std::uint64_t Kernel::rewritten_word(std::uint32_t word) const { return word_at(filters_.data, word).load(); }
void Kernel::clear_rewritten(std::uint32_t word, std::uint64_t bits) { word_at(filters_.data, word).fetch_and(~bits); }
void Kernel::set_rewritten(std::uint32_t word, std::uint64_t bits) { word_at(filters_.data, word).fetch_or(bits); }

void Kernel::clear_trusted() {
  for (std::uint32_t word = 0; word < MESH_FILTER_WORDS; ++word) {
    std::atomic_ref(filter_at(filters_.data, word).trusted).store(0);
  }
}

}  // namespace mesh::dataplane
