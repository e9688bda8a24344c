// Kernel: taking over the tables of an earlier meshd whose layout is another one. All are filled before a program that
// uses them is attached; what packets change meanwhile in the earlier ones is caught up with.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "dataplane/kernel.h"

namespace mesh::dataplane {
namespace {

// Rows that programs make and find by themselves: taken over around the exchange of programs, not before.
constexpr std::string_view kFlows = "mesh_flows";
constexpr std::string_view kOrigins = "mesh_origins";
constexpr std::string_view kFilters = "mesh_filters";
// Its rows lie where the number of lines says; the first pass writes them, before anything is attached.
constexpr std::string_view kEndpointLines = "mesh_endpoints4";
constexpr std::string_view kBackendCounters = "mesh_backend_counters";

// Records of `set` that were not in it before, or were otherwise.
void add_changed(const mesh_flow_set& set, const mesh_flow_set& before, std::vector<FlowEntry>& changed) {
  for (std::size_t way = 0; way < MESH_FLOW_WAYS; ++way) {
    const bool same = set.tag[way] == before.tag[way] && set.mark[way] == before.mark[way] &&
                      std::memcmp(&set.record[way], &before.record[way], sizeof(mesh_flow)) == 0;
    if (set.tag[way] != 0 && !same) changed.push_back({set.record[way], set.tag[way], set.mark[way]});
  }
}

std::size_t cpu_value_size(std::uint32_t value_size) { return (value_size + 7U) / 8U * 8U; }

}  // namespace

struct Kernel::Earlier {
  Kernel tables;  // its maps only
  Takeover takeover;
  std::optional<bool> caught_up_for_uplinks;
  std::vector<std::string> flows;  // parts of the flow table as they were when they were last read
  std::uint64_t rows = 0;          // copied
  std::uint64_t rows_lost = 0;     // ... or flow records that found no place
};

Kernel::Kernel() = default;
Kernel::Kernel(Kernel&&) noexcept = default;
Kernel& Kernel::operator=(Kernel&&) noexcept = default;
Kernel::~Kernel() = default;

Status Kernel::open_earlier(const Takeover& takeover, const MapShapes& pinned) {
  earlier_ = std::make_unique<Earlier>();
  earlier_->takeover = takeover;
  for (const auto& [name, shape] : pinned) {
    if (!takeover.taken.contains(name)) continue;
    const std::string path = fmt::format("{}/{}", pin_dir_, name);
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) return fail_errno("open " + path, errno);
    TRY(earlier_->tables.take_map(name, std::move(fd)));
  }
  return {};
}

// Rows in use. Of a per-CPU map a value is that of all CPUs, one after the other.
Result<std::vector<Row>> Kernel::rows_of(const std::string& map) const {
  const auto description = std::ranges::find(descriptions_, map, &MapDescription::name);
  std::vector<Row> rows;
  if (!description->is_array) {
    for (auto& [key, value] : TRY(read_table(map))) rows.push_back({key, value});
    return rows;
  }
  if (description->is_per_cpu) {
    for (std::uint32_t index = 0; index < description->rows_max; ++index) {
      std::string value = TRY(read(map, bytes_of(index)));
      if (!is_zero(value)) rows.push_back({bytes_of(index), std::move(value)});
    }
    return rows;
  }
  constexpr std::uint32_t kPart = 4096;
  const std::size_t size = description->value_size;
  for (std::uint32_t first = 0; first < description->rows_max; first += kPart) {
    const std::string part = TRY(read_rows(map, first, kPart));
    for (std::uint32_t i = 0; i < part.size() / size; ++i) {
      std::string value = part.substr(i * size, size);
      if (!is_zero(value)) rows.push_back({bytes_of(first + i), std::move(value)});
    }
  }
  return rows;
}

// `flags`: of bpf_map_update_elem; a row that is there already under BPF_NOEXIST stays.
Status Kernel::copy_rows(const std::string& map, std::uint64_t flags) {
  const int fd = TRY(fd_of(map));
  const auto now = std::ranges::find(descriptions_, map, &MapDescription::name);
  const auto then = std::ranges::find(earlier_->tables.descriptions_, map, &MapDescription::name);
  const auto cpus = now->is_per_cpu ? static_cast<std::size_t>(libbpf_num_possible_cpus()) : 1;
  for (const Row& row : TRY(earlier_->tables.rows_of(map))) {
    Row converted{.key = {}, .value = {}};
    for (std::size_t cpu = 0; cpu < cpus; ++cpu) {
      const std::string value = row.value.substr(cpu * cpu_value_size(then->value_size), then->value_size);
      Row one = convert_row(map, earlier_->takeover.version, {row.key, value});
      if (now->is_per_cpu) one.value.resize(cpu_value_size(now->value_size));
      converted.key = std::move(one.key);
      converted.value += one.value;
    }
    const bool has_place = bpf_map_update_elem(fd, converted.key.data(), converted.value.data(), flags) == 0;
    if (!has_place && errno == EEXIST) continue;
    if (!has_place && errno != E2BIG && errno != ENOSPC) return fail_errno(fmt::format("take over {}", map), errno);
    ++(has_place ? earlier_->rows : earlier_->rows_lost);
  }
  return {};
}

// The rows of a CPU lie where their number says; in the previous version they were those of a per-CPU array.
Status Kernel::copy_backend_counters() {
  const std::string map(kBackendCounters);
  const auto rows_of_backends = [](const Kernel& kernel) {
    return std::ranges::find(kernel.descriptions_, "mesh_backends", &MapDescription::name)->rows_max;
  };
  const std::uint32_t then = rows_of_backends(earlier_->tables), now = rows_of_backends(*this);
  const auto put = [&](std::uint32_t cpu, std::uint32_t backend, const std::string& value) -> Status {
    if (is_zero(value)) return {};
    ++(backend < now ? earlier_->rows : earlier_->rows_lost);
    return backend < now ? write(map, bytes_of(cpu * now + backend), value) : Status();
  };
  const auto earlier = std::ranges::find(earlier_->tables.descriptions_, map, &MapDescription::name);
  const bool was_per_cpu = earlier->is_per_cpu;
  for (const Row& row : TRY(earlier_->tables.rows_of(map))) {
    const auto index = value_of<std::uint32_t>(row.key);
    if (!was_per_cpu) TRY(put(index / then, index % then, row.value));
    for (std::uint32_t cpu = 0; was_per_cpu && cpu < row.value.size() / sizeof(mesh_traffic); ++cpu) {
      TRY(put(cpu, index, row.value.substr(cpu * sizeof(mesh_traffic), sizeof(mesh_traffic))));
    }
  }
  return {};
}

// Everything but what the programs will have changed by the time that they are exchanged.
Status Kernel::fill_from_earlier() {
  for (const std::string& map : earlier_->takeover.taken) {
    if (map == kFlows || map == kOrigins || map == kFilters || map == kEndpointLines) continue;
    TRY(map == kBackendCounters ? copy_backend_counters() : copy_rows(map, BPF_ANY));
  }
  if (!earlier_->takeover.taken.contains(kFilters)) return {};
  // Whichever flows there are, they are looked up until the programs and the next scan know better.
  const std::string asked = bytes_of(mesh_filter{.rewritten = ~0ULL, .trusted = 0});
  for (std::uint32_t word = 0; word < MESH_FILTER_WORDS; ++word) TRY(write(kFilters, bytes_of(word), asked));
  return {};
}

// Records that have changed since the last time. One that is newer in this table stays.
Status Kernel::carry_flows() {
  const std::string map(kFlows);
  const auto size = std::ranges::find(earlier_->tables.descriptions_, map, &MapDescription::name)->value_size;
  const auto set_in = [&](const std::string& rows, std::size_t at) {
    return value_of<mesh_flow_set>(convert_row(map, earlier_->takeover.version, {{}, rows.substr(at, size)}).value);
  };
  std::vector<FlowEntry> changed;
  for (std::uint32_t first = 0, part = 0;; first += kSetsPerRead, ++part) {
    std::string rows = TRY(earlier_->tables.read_rows(map, first, kSetsPerRead));
    if (rows.empty()) break;
    if (part == earlier_->flows.size()) earlier_->flows.emplace_back(rows.size(), '\0');
    std::string& before = earlier_->flows.at(part);
    for (std::size_t at = 0; at < rows.size() && rows != before; at += size) {
      if (rows.compare(at, size, before, at, size) != 0) add_changed(set_in(rows, at), set_in(before, at), changed);
    }
    before = std::move(rows);
  }
  sort_for_carrying(changed, TRY(now()));
  for (const FlowEntry& flow : changed) {
    if (!TRY(carry(flow))) ++earlier_->rows_lost;
  }
  return {};
}

Status Kernel::catch_up() {
  const auto& taken = earlier_->takeover.taken;
  if (taken.contains(kFlows)) TRY(carry_flows());
  if (taken.contains(kOrigins)) TRY(copy_rows(std::string(kOrigins), BPF_NOEXIST));
  return {};
}

// Uplinks are the first: from then on flows begin in the new table, so that those of before can all be caught up with
// before an endpoint's answers are looked up there.
Status Kernel::catch_up_before(const Hook& hook) {
  if (!earlier_) return {};
  const bool is_uplink = hook.kind == Hook::Kind::kUplinkXdp || hook.kind == Hook::Kind::kUplinkTc;
  if (std::exchange(earlier_->caught_up_for_uplinks, is_uplink) == is_uplink) return {};
  return catch_up();
}

Result<std::string> Kernel::finish_takeover() {
  if (!earlier_) return std::string();
  TRY(catch_up());
  TRY(pin_all());
  forget_old_programs();
  std::string said;
  if (!earlier_->takeover.taken.empty()) {
    said = fmt::format("{} tables of version {} taken over, {} rows{}", earlier_->takeover.taken.size(),
                       earlier_->takeover.version, earlier_->rows,
                       earlier_->takeover.taken.contains(kFlows) ? " and the flow records" : "");
    if (earlier_->rows_lost > 0) said += fmt::format("; {} have no place any more", earlier_->rows_lost);
  }
  earlier_.reset();
  return said;
}

}  // namespace mesh::dataplane
