// Kernel: opening. Adopts what an earlier meshd pinned, or loads the programs and pins them.
#include <algorithm>
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
#include "dataplane/features.h"
#include "dataplane/kernel.h"
#include "dataplane/wanted.h"

namespace mesh::dataplane {
namespace {

constexpr std::array<MapId, 4> kMapped = {MapId::kServices, MapId::kRings, MapId::kBackends, MapId::kVipBackends};

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

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using ObjectPointer = std::unique_ptr<bpf_object, CloseObject>;

Result<ObjectPointer> open_object(const BpfObject& object, const std::string& pin_dir) {
  bpf_object_open_opts options{};
  options.sz = sizeof options;
  options.object_name = object.name.c_str();
  options.pin_root_path = pin_dir.c_str();
  ObjectPointer opened(bpf_object__open_mem(object.elf.data(), object.elf.size(), &options));
  if (!opened) return load_failure(object.name, pin_dir, errno);
  return opened;
}

// Why the pinned maps cannot serve these objects; "" if they can (or there are none).
Result<std::string> mismatch(const std::string& pin_dir) {
  for (const BpfObject& object : bpf_objects()) {
    const ObjectPointer opened = TRY(open_object(object, pin_dir));
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, opened.get()) {
      const char* path = bpf_map__pin_path(map);
      if (path == nullptr) continue;
      const Fd pinned(bpf_obj_get(path));
      if (!pinned) continue;
      bpf_map_info info{};
      std::uint32_t size = sizeof info;
      if (bpf_obj_get_info_by_fd(pinned.get(), &info, &size) != 0) return std::string(path) + " is no map";
      if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
          info.value_size != bpf_map__value_size(map) || info.max_entries != bpf_map__max_entries(map) ||
          info.map_flags != bpf_map__map_flags(map)) {
        return fmt::format("map {} has another layout", bpf_map__name(map));
      }
    }
  }
  const Fd config(bpf_obj_get((pin_dir + "/mesh_config").c_str()));
  if (!config) return std::string();
  const std::uint32_t key = 0;
  mesh_config value{};
  if (bpf_map_lookup_elem(config.get(), &key, &value) != 0) return std::string("mesh_config cannot be read");
  // 0: made, but its meshd never came to write it.
  if (value.abi != MESH_ABI_VERSION && value.abi != 0) {
    return fmt::format("the tables have version {}, this meshd has {}", value.abi, MESH_ABI_VERSION);
  }
  return std::string();
}

// Pins of maps and programs. Attachments stay: the old programs go on with the old tables until they are replaced.
void forget_pins(const std::string& pin_dir) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(pin_dir, error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("mesh_") || name.starts_with("programs_")) std::filesystem::remove_all(entry.path(), error);
  }
}

}  // namespace

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

Result<Kernel> Kernel::open(const Options& options, std::string& recreated) {
  libbpf_set_print(keep_words);
  Kernel kernel;
  TRY(kernel.open_state(options, recreated));
  return kernel;
}

Status Kernel::open_state(const Options& options, std::string& recreated) {
  pin_dir_ = options.pin_dir;
  TRY_IN("data plane", make_pin_directory(pin_dir_));
  recreated = TRY(mismatch(pin_dir_));
  if (!recreated.empty()) forget_pins(pin_dir_);

  const std::string directory = pin_dir_ + "/programs_" + objects_digest();
  if (!adopt_maps() || !adopt_programs(directory)) {
    programs_.clear();
    maps_.clear();
    descriptions_.clear();
    TRY(load_programs(directory));
    TRY(adopt_maps());
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(pin_dir_, error)) {
    const bool old = entry.path().filename().string().starts_with("programs_") && entry.path() != directory;
    if (old) std::filesystem::remove_all(entry.path(), error);
  }
  TRY(map_arrays());
  return learn_facts();
}

Status Kernel::adopt_maps() {
  static const std::vector<const char*> kNames = {
#define MESH_X(name, text) #name,
      MESH_MAPS(MESH_X)
#undef MESH_X
  };
  for (const char* name : kNames) {
    const std::string path = fmt::format("{}/{}", pin_dir_, name);
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) return fail_errno(path, errno);
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(path, errno);
    const bool per_cpu = info.type == BPF_MAP_TYPE_PERCPU_ARRAY;
    descriptions_.push_back(
        {name, info.max_entries, info.key_size, info.value_size, info.type == BPF_MAP_TYPE_ARRAY || per_cpu, per_cpu});
    maps_[name] = std::move(fd);
  }
  return {};
}

Status Kernel::adopt_programs(const std::string& directory) {
  std::set<std::uint32_t> pinned;
  for (const auto& [name, fd] : maps_) {
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(name, errno);
    pinned.insert(info.id);
  }
#define MESH_X(name, section, where) #name,
  for (const char* name : {MESH_PROGRAMS(MESH_X)}) {
#undef MESH_X
    const std::string path = directory + "/" + name;
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

Status Kernel::load_programs(const std::string& directory) {
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  std::filesystem::create_directory(directory, error);
  if (error) return fail_errno(directory, error.value());
  for (const BpfObject& object : bpf_objects()) {
    first_words.clear();
    const ObjectPointer opened = TRY(open_object(object, pin_dir_));
    if (const int outcome = bpf_object__load(opened.get()); outcome != 0)
      return load_failure(object.name, pin_dir_, -outcome);
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, opened.get()) {
      const std::string path = directory + "/" + bpf_program__name(program);
      if (bpf_obj_pin(bpf_program__fd(program), path.c_str()) != 0) return fail_errno("pin " + path, errno);
    }
  }
  maps_.clear();
  descriptions_.clear();
  TRY(adopt_maps());
  const Status adopted = adopt_programs(directory);
  maps_.clear();
  descriptions_.clear();
  return adopted;
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
