// Kernel: opening. Adopts what an earlier meshd pinned, or loads the programs and pins them.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <spdlog/spdlog.h>

#include "base/file.h"
#include "base/text.h"
#include "dataplane/features.h"
#include "dataplane/kernel.h"
#include "dataplane/wanted.h"

namespace mesh::dataplane {
namespace {

constexpr std::array<MapId, 4> kMapped = {MapId::kServices, MapId::kRings, MapId::kBackends, MapId::kVipBackends};

constexpr std::array kMapNames = {
#define MESH_X(name, text) #name,
    MESH_MAPS(MESH_X)
#undef MESH_X
};
constexpr std::array kProgramNames = {
#define MESH_X(name, section, where) #name,
    MESH_PROGRAMS(MESH_X)
#undef MESH_X
};

// libbpf's first words about a failure, which are the closest to it; the rest goes to the debug log.
thread_local std::string first_words;

int keep_words(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  std::array<char, 1024> line{};
  const int size = vsnprintf(line.data(), line.size(), format, arguments);
  std::string text(line.data());
  while (text.ends_with('\n')) text.pop_back();
  spdlog::debug("libbpf: {}", text);
  if (first_words.empty()) first_words = std::move(text);
  return size;
}

// FNV-1a over all objects: another build has other programs.
std::string objects_digest() {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const BpfObject& object : bpf_objects()) {
    for (const std::byte byte : object.elf) hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3ULL;
  }
  return fmt::format("{:016x}", hash);
}

Status make_pin_directory(const std::string& path) {
  TRY(check_pin_directory(path));
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail_errno(path, error.value());
  return {};
}

std::unexpected<Error> load_failure(const std::string& object, const std::string& pin_dir, int code) {
  const std::string words = std::exchange(first_words, {});
  const std::vector<std::string> missing = missing_features({pin_dir});
  if (!missing.empty()) {
    return fail(ErrorKind::kUnsupported,
                fmt::format("load BPF object {}: this host lacks {}", object, fmt::join(missing, "; ")));
  }
  return fail_errno(fmt::format("load BPF object {} ({})", object, words), code);
}

// Opened with the sizes that the options and the tables ask for.
Result<Objects> open_objects(const Options& options, const Sizes& sizes) {
  if (options.flow_sets != 0 && !std::has_single_bit(options.flow_sets)) {
    return fail(ErrorKind::kInvalid, fmt::format("flow table of {} sets: must be a power of two", options.flow_sets));
  }
  Objects objects;
  for (const BpfObject& object : bpf_objects()) {
    first_words.clear();
    bpf_object_open_opts how{};
    how.sz = sizeof how;
    how.object_name = object.name.c_str();
    how.pin_root_path = options.pin_dir.c_str();
    ObjectPointer opened(bpf_object__open_mem(object.elf.data(), object.elf.size(), &how));
    if (!opened) return load_failure(object.name, options.pin_dir, errno);
    bpf_map* flows = bpf_object__find_map_by_name(opened.get(), "mesh_flows");
    if (flows != nullptr && options.flow_sets != 0) bpf_map__set_max_entries(flows, options.flow_sets);
    for (const auto& [name, rows] : sizes) {
      if (bpf_map* map = bpf_object__find_map_by_name(opened.get(), name.c_str())) bpf_map__set_max_entries(map, rows);
    }
    objects.push_back(std::move(opened));
  }
  return objects;
}

MapShapes shapes_of(const Objects& objects) {
  MapShapes shapes;
  for (const ObjectPointer& object : objects) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object.get()) {
      if (bpf_map__pin_path(map) == nullptr) continue;
      shapes[bpf_map__name(map)] = {bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map),
                                    bpf_map__max_entries(map), bpf_map__map_flags(map)};
    }
  }
  return shapes;
}

Result<MapShapes> pinned_shapes(const std::string& pin_dir) {
  MapShapes shapes;
  for (const char* name : kMapNames) {
    const std::string path = fmt::format("{}/{}", pin_dir, name);
    const Fd pinned(bpf_obj_get(path.c_str()));
    if (!pinned && errno == ENOENT) continue;
    if (!pinned) return fail_errno("open " + path, errno);
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(pinned.get(), &info, &size) != 0) return fail_errno(path, errno);
    shapes[name] = {info.type, info.key_size, info.value_size, info.max_entries, info.map_flags};
  }
  return shapes;
}

// One more than the highest number that a CPU may have.
Result<std::uint32_t> cpu_numbers() {
  constexpr const char* kPossible = "/sys/devices/system/cpu/possible";
  const std::string text = TRY(read_file(kPossible));
  const std::string_view ranges = trim(text);
  const auto last = parse_number<std::uint32_t>(ranges.substr(ranges.find_last_of(",-") + 1));
  if (!last) return fail(ErrorKind::kInternal, fmt::format("{} says {}, which is no list of CPUs", kPossible, ranges));
  return *last + 1;
}

// mesh_config.abi; its place is the first of all versions.
std::uint32_t pinned_version(const std::string& pin_dir, const MapShapes& shapes) {
  const auto shape = shapes.find("mesh_config");
  if (shape == shapes.end() || shape->second.type != BPF_MAP_TYPE_ARRAY) return 0;
  const Fd config(bpf_obj_get((pin_dir + "/mesh_config").c_str()));
  std::string value(std::max<std::size_t>(shape->second.value_size, sizeof(std::uint32_t)), '\0');
  const std::uint32_t key = 0;
  if (!config || bpf_map_lookup_elem(config.get(), &key, value.data()) != 0) return 0;
  return value_of<std::uint32_t>(value.substr(0, sizeof key));
}

Result<Fd> copy_of(int fd, const std::string& what) {
  Fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return fail_errno(what, errno);
  return copy;
}

}  // namespace

void CloseObject::operator()(bpf_object* object) const { bpf_object__close(object); }

Kernel::Mapping::Mapping(Mapping&& other) noexcept
    : data(std::exchange(other.data, nullptr)), size(other.size), stride(other.stride) {}
Kernel::Mapping& Kernel::Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data, other.data);
  std::swap(size, other.size);
  std::swap(stride, other.stride);
  return *this;
}
Kernel::Mapping::~Mapping() {
  if (data != nullptr) munmap(data, size);
}

Result<Kernel> Kernel::open(const Options& options, const Sizes& asked, std::string& recreated) {
  libbpf_set_print(keep_words);
  Kernel kernel;
  TRY(kernel.open_state(options, asked, recreated));
  return kernel;
}

Status Kernel::open_state(const Options& options, const Sizes& asked, std::string& recreated) {
  pin_dir_ = options.pin_dir;
  program_dir_ = pin_dir_ + "/programs_" + objects_digest();
  TRY_IN("data plane", make_pin_directory(pin_dir_));
  const MapShapes pinned = TRY_IN("data plane", pinned_shapes(pin_dir_));
  const std::uint32_t version = pinned_version(pin_dir_, pinned);
  const std::uint32_t cpus = TRY(cpu_numbers());
  const Objects objects = TRY(open_objects(options, sizes_to_make(pinned, asked, cpus)));
  const Takeover takeover = take_over(shapes_of(objects), pinned, version);
  recreated = takeover.lost;

  const bool adopted = takeover.anew.empty() && adopt_maps() && adopt_programs();
  if (!adopted) {
    Status loaded = load(objects, takeover, pinned);
    if (!loaded && pinned.empty()) return loaded;
    TRY_IN("nothing was changed, what an earlier meshd loaded goes on; data plane", std::move(loaded));
  }
  TRY(map_arrays());
  TRY(learn_facts());
  if (earlier_) return {};
  if (!adopted) TRY(pin_all());
  forget_old_programs();
  return {};
}

Status Kernel::take_map(const std::string& name, Fd fd) {
  bpf_map_info info{};
  std::uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno("map " + name, errno);
  const bool per_cpu = info.type == BPF_MAP_TYPE_PERCPU_ARRAY;
  descriptions_.push_back(
      {name, info.max_entries, info.key_size, info.value_size, info.type == BPF_MAP_TYPE_ARRAY || per_cpu, per_cpu});
  maps_[name] = std::move(fd);
  return {};
}

Status Kernel::adopt_maps() {
  for (const char* name : kMapNames) {
    const std::string path = fmt::format("{}/{}", pin_dir_, name);
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) return fail_errno(path, errno);
    TRY(take_map(name, std::move(fd)));
  }
  return {};
}

Status Kernel::adopt_programs() {
  std::set<std::uint32_t> pinned;
  for (const auto& [name, fd] : maps_) {
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(name, errno);
    pinned.insert(info.id);
  }
  for (const char* name : kProgramNames) {
    const std::string path = program_dir_ + "/" + name;
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) return fail_errno(path, errno);
    std::array<std::uint32_t, 64> map_ids{};
    bpf_prog_info info{};
    info.nr_map_ids = map_ids.size();
    info.map_ids = reinterpret_cast<std::uint64_t>(map_ids.data());
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(path, errno);
    // A program of maps that were unpinned since would work on tables that nobody writes.
    const auto end = map_ids.begin() + std::min<std::uint32_t>(info.nr_map_ids, map_ids.size());
    if (std::none_of(map_ids.begin(), end, [&](std::uint32_t id) { return pinned.contains(id); })) {
      return fail(ErrorKind::kConflict, path + " belongs to other maps");
    }
    facts_.program_ids[name] = info.id;
    programs_[name] = std::move(fd);
  }
  return {};
}

// Nothing of it is pinned yet.
Status Kernel::load(const Objects& objects, const Takeover& takeover, const MapShapes& pinned) {
  programs_.clear();
  maps_.clear();
  descriptions_.clear();
  anew_ = takeover.anew;
  for (const ObjectPointer& object : objects) TRY(load_object(object.get()));
  for (const char* name : kMapNames) {
    if (!maps_.contains(name)) return fail(ErrorKind::kInternal, fmt::format("no map {} in the BPF objects", name));
  }
  if (pinned.empty() || takeover.anew.empty()) return {};
  TRY(open_earlier(takeover, pinned));
  return fill_from_earlier();
}

Status Kernel::load_object(bpf_object* object) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (anew_.contains(bpf_map__name(map))) bpf_map__set_pin_path(map, nullptr);
  }
  first_words.clear();
  if (const int outcome = bpf_object__load(object); outcome != 0) {
    return load_failure(bpf_object__name(object), pin_dir_, -outcome);
  }
  bpf_object__for_each_map(map, object) {
    const std::string name = bpf_map__name(map);
    if (std::ranges::find(kMapNames, name) == kMapNames.end()) continue;
    TRY(take_map(name, TRY(copy_of(bpf_map__fd(map), name))));
  }
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    const std::string name = bpf_program__name(program);
    Fd fd = TRY(copy_of(bpf_program__fd(program), name));
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(name, errno);
    facts_.program_ids[name] = info.id;
    programs_[name] = std::move(fd);
  }
  return {};
}

// All are pinned beside what is there, then take its place. mesh_config is the last of the maps: it tells the version.
Status Kernel::pin_all() const {
  const std::string next = pin_dir_ + "/next";
  std::error_code error;
  std::filesystem::remove_all(next, error);
  const Status pinned = pin_in(next);
  if (!pinned) std::filesystem::remove_all(next, error);
  TRY(pinned);
  std::filesystem::remove_all(program_dir_, error);
  std::vector<std::string> maps(anew_.begin(), anew_.end());
  std::ranges::partition(maps, [](const std::string& map) { return map != "mesh_config"; });
  for (const std::string& map : maps) {
    const std::string to = pin_dir_ + "/" + map;
    std::filesystem::rename(next + "/" + map, to, error);
    if (error) return fail_errno("rename to " + to, error.value());
  }
  std::filesystem::rename(next, program_dir_, error);
  if (error) return fail_errno("rename to " + program_dir_, error.value());
  return {};
}

Status Kernel::pin_in(const std::string& directory) const {
  std::error_code error;
  std::filesystem::create_directory(directory, error);
  if (error) return fail_errno(directory, error.value());
  const auto pin = [&](const std::string& name, int fd) -> Status {
    const std::string path = directory + "/" + name;
    if (bpf_obj_pin(fd, path.c_str()) != 0) return fail_errno("pin " + path, errno);
    return {};
  };
  for (const auto& [name, fd] : programs_) TRY(pin(name, fd.get()));
  for (const std::string& name : anew_) TRY(pin(name, maps_.at(name).get()));
  return {};
}

void Kernel::forget_old_programs() const {
  std::error_code error;
  std::vector<std::filesystem::path> old;
  for (const auto& entry : std::filesystem::directory_iterator(pin_dir_, error)) {
    if (entry.path().filename().string().starts_with("programs_") && entry.path() != program_dir_) {
      old.push_back(entry.path());
    }
  }
  for (const std::filesystem::path& path : old) std::filesystem::remove_all(path, error);
}

Result<Kernel::Mapping> Kernel::map_array(std::string_view map) const {
  const auto description = std::ranges::find(descriptions_, map, &MapDescription::name);
  Mapping mapping;
  mapping.stride = (description->value_size + 7U) / 8U * 8U;  // array elements round up to 8 bytes
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapping.size = (std::size_t{mapping.stride} * description->rows_max + page - 1) / page * page;
  mapping.data = mmap(nullptr, mapping.size, PROT_READ | PROT_WRITE, MAP_SHARED, TRY(fd_of(map)), 0);
  if (mapping.data == MAP_FAILED) {
    mapping.data = nullptr;
    return fail_errno(fmt::format("map {}", map), errno);
  }
  return mapping;
}

Status Kernel::map_arrays() {
  for (const MapId map : kMapped) mappings_[map] = TRY(map_array(map_info(map).name));
  filters_ = TRY(map_array("mesh_filters"));
  backend_traffic_ = TRY(map_array("mesh_backend_counters"));
  endpoint_lines_ = TRY(map_array("mesh_endpoints4"));
  const auto lines = std::ranges::find(descriptions_, "mesh_endpoints4", &MapDescription::name)->rows_max;
  endpoints_.emplace(std::span(static_cast<mesh_endpoint_line*>(endpoint_lines_.data), lines));
  return {};
}

Status Kernel::learn_facts() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket", errno);
  socklen_t size = sizeof facts_.netns_cookie;
  constexpr int kSoNetnsCookie = 71;  // since Linux 5.14; libc's header may be older
  if (getsockopt(socket.get(), SOL_SOCKET, kSoNetnsCookie, &facts_.netns_cookie, &size) != 0) {
    return fail_errno("SO_NETNS_COOKIE (Linux 5.14 or later is needed)", errno);
  }
  const auto flows = std::ranges::find(descriptions_, "mesh_flows", &MapDescription::name);
  facts_.flow_mask = flows->rows_max - 1;
  facts_.backend_rows = std::ranges::find(descriptions_, "mesh_backends", &MapDescription::name)->rows_max;
  facts_.endpoint_lines = std::ranges::find(descriptions_, "mesh_endpoints4", &MapDescription::name)->rows_max;
  // The seed is as old as the table: records are found by it.
  facts_.flow_seed = value_of<mesh_config>(TRY(read("mesh_config", bytes_of(std::uint32_t{0})))).flow_seed;
  while (facts_.flow_seed == 0) {
    if (getrandom(&facts_.flow_seed, sizeof facts_.flow_seed, 0) < 0) return fail_errno("getrandom", errno);
  }
  return learn_tick();
}

Status Kernel::use_cgroup(const std::string& directory) {
  facts_.cgroup_id = 0;
  struct statfs info{};
  if (statfs(directory.c_str(), &info) != 0) return fail_errno("cgroup root " + directory, errno);
  if (info.f_type != CGROUP2_SUPER_MAGIC) {
    return fail(ErrorKind::kUnsupported,
                fmt::format("cgroup root {} is not in a cgroup2 file system, so virtual IPs, names and localhost ports "
                            "will not work; name a cgroup2 directory with --cgroup-root (mount -t cgroup2)",
                            directory));
  }
  cgroup_.reset(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup_) return fail_errno("cgroup root " + directory, errno);
  struct stat status{};
  if (fstat(cgroup_.get(), &status) != 0) return fail_errno("cgroup root " + directory, errno);
  facts_.cgroup_id = status.st_ino;  // a cgroup's id is its directory's inode (64-bit kernels)
  return {};
}

}  // namespace mesh::dataplane
