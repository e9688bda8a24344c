// Kernel: reading and writing maps.
#include "dataplane/kernel.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "base/file.h"
#include "base/text.h"
#include "dataplane/layout.h"

namespace mesh::dataplane {
namespace {

bool is_mapped(MapId map) {
  return map == MapId::kServices || map == MapId::kRings || map == MapId::kBackends || map == MapId::kVipBackends;
}

// The services of SCTP, which come after all others, are in a table of their own.
bool is_sctp_service(MapId map, const std::string& key) {
  return map == MapId::kServices && value_of<std::uint32_t>(key) >= MESH_SERVICES_MAX;
}

}  // namespace

Result<int> Kernel::fd_of(std::string_view map) const {
  const auto found = maps_.find(map);
  if (found == maps_.end()) return fail(ErrorKind::kInternal, fmt::format("no map {}", map));
  return found->second.get();
}

Result<std::string> Kernel::read(std::string_view map, const std::string& key) const {
  const int fd = TRY(fd_of(map));
  const auto description = std::ranges::find(descriptions_, map, &MapDescription::name);
  std::size_t size = description->value_size;
  if (description->is_per_cpu) size = (size + 7U) / 8U * 8U * static_cast<std::size_t>(libbpf_num_possible_cpus());
  std::string value(size, '\0');
  if (bpf_map_lookup_elem(fd, key.data(), value.data()) != 0) {
    return fail_errno(fmt::format("read {}", map), errno);
  }
  return value;
}

Status Kernel::write(std::string_view map, const std::string& key, const std::string& value) {
  if (bpf_map_update_elem(TRY(fd_of(map)), key.data(), value.data(), BPF_ANY) != 0) {
    const int code = errno;
    if (code == E2BIG) {
      return fail(ErrorKind::kExhausted, fmt::format("kernel table {} is full; this host cannot take more", map));
    }
    return fail_errno(fmt::format("write {}", map), code);
  }
  return {};
}

Result<std::string> Kernel::read_rows(std::string_view map, std::uint32_t first, std::uint32_t count) const {
  const int fd = TRY(fd_of(map));
  const auto description = std::ranges::find(descriptions_, map, &MapDescription::name);
  count = first >= description->rows_max ? 0 : std::min(count, description->rows_max - first);
  std::string rows;
  rows.resize(std::size_t{count} * description->value_size);
  std::uint32_t done = 0;
  bpf_map_batch_opts options{};
  options.sz = sizeof options;
  while (done < count) {
    // The position of an array's batch is the index before the next row.
    std::uint32_t before = first + done - 1;
    std::uint32_t next = 0;
    std::uint32_t part = count - done;
    std::vector<std::uint32_t> keys(part);
    void* position = first + done == 0 ? nullptr : &before;
    const int outcome = bpf_map_lookup_batch(
        fd, position, &next, keys.data(), rows.data() + std::size_t{done} * description->value_size, &part, &options);
    if (outcome != 0 && !(errno == ENOENT && part > 0)) return fail_errno(fmt::format("read {}", map), errno);
    done += part;
  }
  return rows;
}

// What each CPU has counted.
template <class Visit>
void Kernel::for_each_cpu(std::uint32_t backend, const Visit& visit) const {
  const std::size_t rows = backend_traffic_.size / sizeof(mesh_traffic);
  auto* traffic = static_cast<mesh_traffic*>(backend_traffic_.data);
  if (backend >= facts_.backend_rows) return;
  for (std::size_t row = backend; row < rows; row += facts_.backend_rows) visit(traffic[row]);
}

mesh_traffic Kernel::traffic_of(std::uint32_t backend) const {
  mesh_traffic sum{};
  for_each_cpu(backend, [&](mesh_traffic& traffic) {
    sum.packets += std::atomic_ref(traffic.packets).load(std::memory_order_relaxed);
    sum.bytes += std::atomic_ref(traffic.bytes).load(std::memory_order_relaxed);
  });
  return sum;
}

Sizes Kernel::sizes() const {
  Sizes sizes;
  for (const MapDescription& map : descriptions_) sizes[map.name] = map.rows_max;
  return sizes;
}

Result<int> Kernel::program_fd(const std::string& name) const {
  const auto program = programs_.find(name);
  if (program == programs_.end()) return fail(ErrorKind::kInternal, "no program " + name);
  return program->second.get();
}

std::uint64_t Kernel::memory_of(std::string_view map) const {
  const Result<int> fd = fd_of(map);
  if (!fd) return 0;
  constexpr std::string_view kKey = "memlock:";
  const std::string info = read_file(fmt::format("/proc/self/fdinfo/{}", *fd)).value_or("");
  for (const std::string_view line : split(info, '\n')) {
    if (line.starts_with(kKey)) return parse_number<std::uint64_t>(trim(line.substr(kKey.size()))).value_or(0);
  }
  return 0;
}

std::uint64_t Kernel::count_rows(std::string_view map) const {
  const Result<int> fd = fd_of(map);
  const auto description = std::ranges::find(descriptions_, map, &MapDescription::name);
  if (!fd || description == descriptions_.end()) return 0;
  std::uint64_t count = 0;
  std::string key(description->key_size, '\0');
  std::string next(description->key_size, '\0');
  for (int outcome = bpf_map_get_next_key(*fd, nullptr, next.data()); outcome == 0 && count < description->rows_max;
       outcome = bpf_map_get_next_key(*fd, key.data(), next.data())) {
    ++count;
    key = next;
  }
  return count;
}

std::string Kernel::mapped_row(MapId map, std::uint32_t row) const {
  const Mapping& mapping = mappings_.at(map);
  const auto description = std::ranges::find(descriptions_, map_info(map).name, &MapDescription::name);
  if (row >= description->rows_max) return std::string(description->value_size, '\0');
  return std::string(static_cast<const char*>(mapping.data) + std::size_t{row} * mapping.stride,
                     description->value_size);
}

Status Kernel::write_mapped(MapId map, std::uint32_t row, const std::string& value) {
  const MapInfo& info = map_info(map);
  Mapping& mapping = mappings_.at(map);
  if (row >= mapping.size / mapping.stride || value.size() > mapping.stride) {
    return fail(ErrorKind::kInternal, fmt::format("write {}: row {} is outside of it", info.name, row));
  }
  char* place = static_cast<char*>(mapping.data) + std::size_t{row} * mapping.stride;
  // Programs read meanwhile: whole words, and a service's ring last (or first, when it goes).
  auto* words = reinterpret_cast<std::uint64_t*>(place);
  std::string padded = value;
  padded.resize(mapping.stride);
  const auto* source = reinterpret_cast<const std::uint64_t*>(padded.data());
  const std::size_t count = mapping.stride / sizeof(std::uint64_t);
  const auto store = [&](std::size_t i) { std::atomic_ref(words[i]).store(source[i], std::memory_order_release); };
  const bool vanishes = source[0] == 0;
  if (vanishes) store(0);
  for (std::size_t i = 1; i < count; ++i) store(i);
  if (!vanishes) store(0);
  return {};
}

Result<Observed> Kernel::observe() const {
  Observed observed;
  for (std::size_t i = 0; i < kMapCount; ++i) {
    const auto map = static_cast<MapId>(i);
    if (is_mapped(map)) continue;
    if (map == MapId::kEndpoints4) {
      observed[map] = endpoints_->rows();
    } else if (map_info(map).is_array) {
      TRY(observe_array(map, observed));
    } else {
      observed[map] = TRY(read_table(map_info(map).name));
    }
  }
  observed[MapId::kServices] = TRY(read_table(kSctpServices));
  observe_services(observed);
  observe_pieces(observed);
  observe_links(observed);
  observe_filters(observed);
  return observed;
}

Result<Table> Kernel::read_table(std::string_view map) const {
  const int fd = TRY(fd_of(map));
  const auto description = std::ranges::find(descriptions_, map, &MapDescription::name);
  Table table;
  if (observe_batches(fd, *description, table)) return table;
  table.clear();
  std::string key(description->key_size, '\0'), next(description->key_size, '\0');
  std::string value(description->value_size, '\0');
  // Nobody else writes these maps; the limit is against a table that someone changes under us without end.
  std::uint64_t left = std::uint64_t{description->rows_max} * 2;
  for (int outcome = bpf_map_get_next_key(fd, nullptr, next.data()); outcome == 0 && left > 0;
       outcome = bpf_map_get_next_key(fd, key.data(), next.data()), --left) {
    if (bpf_map_lookup_elem(fd, next.data(), value.data()) == 0) table[next] = value;
    key = next;
  }
  return table;
}

// False: not all could be read so; this kernel has no batches for this kind of table, or more rows fell on one bucket.
bool Kernel::observe_batches(int fd, const MapDescription& description, Table& table) {
  constexpr std::uint32_t kBatch = 4096;
  std::string keys(std::size_t{kBatch} * description.key_size, '\0');
  std::string values(std::size_t{kBatch} * description.value_size, '\0');
  std::string position(std::max<std::size_t>(description.key_size, sizeof(std::uint32_t)), '\0'), next = position;
  bpf_map_batch_opts options{};
  options.sz = sizeof options;
  for (std::uint64_t rows = 0; rows <= std::uint64_t{description.rows_max} * 2;) {
    std::uint32_t count = kBatch;
    void* from = rows == 0 ? nullptr : position.data();
    const int outcome = bpf_map_lookup_batch(fd, from, next.data(), keys.data(), values.data(), &count, &options);
    const bool is_last = outcome != 0 && errno == ENOENT;
    if (outcome != 0 && !is_last) return false;
    for (std::size_t i = 0; i < count; ++i) {
      table[keys.substr(i * description.key_size, description.key_size)] =
          values.substr(i * description.value_size, description.value_size);
    }
    if (is_last) return true;
    rows += std::max<std::uint32_t>(count, 1);
    position.swap(next);
  }
  return false;
}

Status Kernel::observe_array(MapId map, Observed& observed) const {
  const char* name = map_info(map).name;
  const auto description = std::ranges::find(descriptions_, name, &MapDescription::name);
  const std::string rows = TRY(read_rows(name, 0, description->rows_max));
  const std::size_t size = description->value_size;
  for (std::uint32_t row = 0; row < rows.size() / size; ++row) {
    std::string value = rows.substr(row * size, size);
    if (!is_zero(value)) observed[map][bytes_of(row)] = std::move(value);
  }
  return {};
}

void Kernel::observe_services(Observed& observed) const {
  for (std::uint32_t index = 0; index < MESH_SERVICES_MAX; ++index) {
    const auto* ring = reinterpret_cast<const std::uint64_t*>(
        static_cast<const char*>(mappings_.at(MapId::kServices).data) + std::size_t{index} * sizeof(mesh_service));
    if (*ring != 0) observed[MapId::kServices][bytes_of(index)] = mapped_row(MapId::kServices, index);
  }
}

// Of the arrays behind services and virtual IPs what these point at.
void Kernel::observe_pieces(Observed& observed) const {
  std::vector<std::uint32_t> blocks;
  for (const auto& [key, value] : observed[MapId::kServices]) {
    const auto service = value_of<mesh_service>(value);
    for (std::uint32_t i = 0; i < ring_chunks(service.ring); ++i) {
      const std::uint32_t chunk = MESH_RING_CHUNK(service.ring) + i;
      observed[MapId::kRings][bytes_of(chunk)] = mapped_row(MapId::kRings, chunk);
    }
    blocks.push_back(service.backends);
  }
  // As far as programs could be led, each row once.
  std::ranges::sort(blocks);
  std::uint32_t row = 0;
  for (const std::uint32_t first : blocks) {
    const std::uint32_t end = std::min(first, MESH_BACKENDS_MAX) + MESH_SERVICE_BACKENDS_MAX;
    for (row = std::max(row, first); row < end; ++row) {
      std::string value = mapped_row(MapId::kBackends, row);
      if (!is_zero(value)) observed[MapId::kBackends][bytes_of(row)] = std::move(value);
    }
  }
  for (const auto& [key, value] : observed[MapId::kVips]) {
    const auto vip = value_of<mesh_vip>(value);
    const std::uint32_t count = std::min(vip.count, MESH_VIP_BACKENDS_MAX);
    for (std::uint32_t i = 0; i < count; ++i) {
      observed[MapId::kVipBackends][bytes_of(vip.first + i)] = mapped_row(MapId::kVipBackends, vip.first + i);
    }
  }
}

Status Kernel::apply(const Action& action) {
  return std::visit([&](const auto& one) { return run(one); }, action);
}

void Kernel::apply(std::span<const Action> actions, const std::function<void(const Action&, const Status&)>& done) {
  while (!actions.empty()) {
    const std::size_t written = write_batch(actions);
    for (const Action& action : actions.first(written)) done(action, {});
    actions = actions.subspan(written);
    if (written > 0 || actions.empty()) continue;
    done(actions.front(), apply(actions.front()));
    actions = actions.subspan(1);
  }
}

// How many of the first actions, all of them writes to the same table, could be done at once.
std::size_t Kernel::write_batch(std::span<const Action> actions) {
  constexpr std::size_t kBatchMax = 4096;
  const auto* first = std::get_if<WriteRow>(&actions.front());
  if (first == nullptr || is_mapped(first->map) || first->map == MapId::kEndpoints4) return 0;
  const auto same_table = [&](const Action& action) {
    const auto* write = std::get_if<WriteRow>(&action);
    return write != nullptr && write->map == first->map && write->key.size() == first->key.size() &&
           write->value.size() == first->value.size();
  };
  std::size_t size = 0;
  while (size < std::min(actions.size(), kBatchMax) && same_table(actions[size])) ++size;
  const Result<int> fd = fd_of(map_info(first->map).name);
  if (size < 2 || !fd) return 0;
  std::string keys, values;
  for (const Action& action : actions.first(size)) {
    const auto& write = std::get<WriteRow>(action);
    keys += write.key;
    values += write.value;
  }
  auto count = static_cast<std::uint32_t>(size);
  bpf_map_batch_opts options{};
  options.sz = sizeof options;
  // After a failure `count` says how many were written before it; where the kernel has no batches for this kind of
  // table it is not touched.
  if (bpf_map_update_batch(*fd, keys.data(), values.data(), &count, &options) == 0) return size;
  return count < size ? count : 0;
}

Status Kernel::run(const WriteRow& action) {
  if (is_sctp_service(action.map, action.key)) return write(kSctpServices, action.key, action.value);
  if (action.map == MapId::kEndpoints4) {
    const auto key = value_of<mesh_endpoint4_key>(action.key);
    if (endpoints_->put(key, value_of<mesh_endpoint4_place>(action.value))) return {};
    return fail(ErrorKind::kExhausted, "kernel table mesh_endpoints4 is full; this host cannot take more");
  }
  if (is_mapped(action.map)) return write_mapped(action.map, value_of<std::uint32_t>(action.key), action.value);
  return write(map_info(action.map).name, action.key, action.value);
}

Status Kernel::run(const DeleteRow& action) {
  if (action.map == MapId::kEndpoints4) {
    endpoints_->erase(value_of<mesh_endpoint4_key>(action.key));
    return {};
  }
  const MapInfo& info = map_info(action.map);
  const bool is_sctp = is_sctp_service(action.map, action.key);
  const char* name = is_sctp ? kSctpServices : info.name;
  const auto description = std::ranges::find(descriptions_, info.name, &MapDescription::name);
  const std::string zeros(description->value_size, '\0');
  if (is_mapped(action.map) && !is_sctp) return write_mapped(action.map, value_of<std::uint32_t>(action.key), zeros);
  if (info.is_array && !is_sctp) return write(name, action.key, zeros);
  if (bpf_map_delete_elem(TRY(fd_of(name)), action.key.data()) != 0 && errno != ENOENT) {
    return fail_errno(fmt::format("delete from {}", name), errno);
  }
  return {};
}

Status Kernel::run(const ResetTraffic& action) {
  if (action.of == ResetTraffic::Of::kBackends) {
    for (std::uint32_t i = 0; i < action.count; ++i) {
      for_each_cpu(action.first + i, [](mesh_traffic& traffic) {
        std::atomic_ref(traffic.packets).store(0, std::memory_order_relaxed);
        std::atomic_ref(traffic.bytes).store(0, std::memory_order_relaxed);
      });
    }
    return {};
  }
  const char* map = "mesh_binding_counters";
  const auto description = std::ranges::find(descriptions_, map, &MapDescription::name);
  const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
  const std::string zeros((description->value_size + 7U) / 8U * 8U * cpus, '\0');
  for (std::uint32_t i = 0; i < action.count; ++i) TRY(write(map, bytes_of(action.first + i), zeros));
  return {};
}

}  // namespace mesh::dataplane
