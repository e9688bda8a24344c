// The kernel's side of the data plane by libbpf: pinned maps, loaded programs, attachments. The only code here that
// makes BPF system calls; no libbpf type leaves it.
//
//   <pin_dir>/mesh_*               maps, by name
//   <pin_dir>/programs_<digest>/*  programs, by the digest of the objects they came from: the next meshd with the same
//                                  programs attaches nothing anew
//   <pin_dir>/links/*              XDP and cgroup attachments; tc filters need no pin
//   <pin_dir>/clsact/<ifindex>     empty directories: interfaces whose clsact qdisc we made
//
// What is pinned is replaced last. Where this meshd wants other tables than those pinned, it fills its own first
// (takeover.h), and they are pinned when its programs are attached and know what the earlier ones knew; until then
// whatever fails leaves programs, tables and pins as they were.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "dataplane/dataplane.h"
#include "dataplane/endpoint_table.h"
#include "dataplane/plan.h"
#include "dataplane/sizes.h"
#include "dataplane/state.h"
#include "dataplane/takeover.h"

struct bpf_object;

namespace mesh::dataplane {

struct CloseObject {
  void operator()(bpf_object* object) const;
};
using ObjectPointer = std::unique_ptr<bpf_object, CloseObject>;
using Objects = std::vector<ObjectPointer>;

// A program in the place of an attached one, for a time: the other one is what observe() sees there.
struct StandIn {
  std::uint32_t program_id = 0, for_id = 0;
};

class Kernel {
 public:
  Kernel(Kernel&&) noexcept;
  Kernel& operator=(Kernel&&) noexcept;
  ~Kernel();

  // `recreated` says which tables of an earlier meshd start empty, and why; empty: none does.
  // `asked`: no table has fewer rows.
  [[nodiscard]] static Result<Kernel> open(const Options& options, const Sizes& asked, std::string& recreated);
  [[nodiscard]] static Status cleanup(const Options& options);

  [[nodiscard]] const HostFacts& facts() const { return facts_; }
  // The cgroup2 directory for the socket hooks; an error leaves them unwanted.
  [[nodiscard]] Status use_cgroup(const std::string& directory);

  [[nodiscard]] Result<Observed> observe() const;
  [[nodiscard]] Status apply(const Action& action);
  // To be called when everything wanted is attached for the first time: pins what open() made in place of an earlier
  // meshd's tables. Says what was taken over, "" if there was nothing to do.
  [[nodiscard]] Result<std::string> finish_takeover();
  // All of them, in order; many writes to one table are one system call. `done` hears what became of each.
  void apply(std::span<const Action> actions, const std::function<void(const Action&, const Status&)>& done);

  // Any map by its name. One value per row; per-CPU maps give all CPUs' values one after the other.
  [[nodiscard]] Result<std::string> read(std::string_view map, const std::string& key) const;
  [[nodiscard]] Result<Table> read_table(std::string_view map) const;  // of a hash map
  [[nodiscard]] Status write(std::string_view map, const std::string& key, const std::string& value);
  // Rows of an array map from `first` on, at most `count`, one after the other; fewer at the map's end.
  [[nodiscard]] Result<std::string> read_rows(std::string_view map, std::uint32_t first, std::uint32_t count) const;
  struct MapDescription {
    std::string name;
    std::uint32_t rows_max = 0;
    std::uint32_t key_size = 0, value_size = 0;
    bool is_array = false, is_per_cpu = false;
  };
  [[nodiscard]] const std::vector<MapDescription>& maps() const { return descriptions_; }
  [[nodiscard]] mesh_traffic traffic_of(std::uint32_t backend) const;   // row of mesh_backends; counted by all CPUs
  [[nodiscard]] Sizes sizes() const;                                    // of all
  [[nodiscard]] Result<int> program_fd(const std::string& name) const;  // of an attached program
  // Puts a program in the place of mesh_uplink_xdp at an uplink, whose link it returns; `expect` says so before. There
  // is one at a time.
  [[nodiscard]] Result<Fd> put_in_place(std::uint32_t uplink, int program) const;
  [[nodiscard]] bool has_stand_in() const { return !stand_in_.expired(); }
  void expect(const std::shared_ptr<const StandIn>& stand_in) { stand_in_ = stand_in; }
  [[nodiscard]] std::uint64_t memory_of(std::string_view map) const;   // bytes, as the kernel accounts it
  [[nodiscard]] std::uint64_t count_rows(std::string_view map) const;  // of a hash map

  static constexpr std::uint32_t kSetsPerRead = 1024;  // of mesh_flows, 512 KiB
  // Every record in use, once.
  [[nodiscard]] Status for_each_flow(const std::function<void(const FlowEntry&)>& visit) const;
  // The records among rows of mesh_flows, as read_rows() gives them.
  static void visit_flows(const std::string& rows, const std::function<void(const FlowEntry&)>& visit);
  // Removes the records of flows that are over, silent for too long, or whose binding is gone. Returns how many.
  [[nodiscard]] Result<std::uint64_t> sweep_flows();
  [[nodiscard]] Result<std::uint32_t> now() const;  // tick
  // Words of mesh_filter.rewritten. Programs change them at the same time.
  [[nodiscard]] std::uint64_t rewritten_word(std::uint32_t word) const;
  void clear_rewritten(std::uint32_t word, std::uint64_t bits);
  void set_rewritten(std::uint32_t word, std::uint64_t bits);
  // The next packet of every flow is looked up.
  void clear_trusted();

 private:
  Kernel();

  struct Mapping {  // an mmapped array
    void* data = nullptr;
    std::size_t size = 0;
    std::uint32_t stride = 0;
    Mapping() = default;
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping();
  };

  struct Earlier;

  [[nodiscard]] Status open_state(const Options& options, const Sizes& asked, std::string& recreated);
  [[nodiscard]] Status take_map(const std::string& name, Fd fd);
  [[nodiscard]] Status adopt_maps();
  [[nodiscard]] Status adopt_programs();
  [[nodiscard]] Status load(const Objects& objects, const Takeover& takeover, const MapShapes& pinned);
  [[nodiscard]] Status load_object(bpf_object* object);
  [[nodiscard]] Status pin_all() const;
  [[nodiscard]] Status pin_in(const std::string& directory) const;
  void forget_old_programs() const;
  [[nodiscard]] Status open_earlier(const Takeover& takeover, const MapShapes& pinned);
  [[nodiscard]] Status fill_from_earlier();
  [[nodiscard]] Status copy_rows(const std::string& map, std::uint64_t flags);
  [[nodiscard]] Status copy_backend_counters();
  template <class Visit>
  void for_each_cpu(std::uint32_t backend, const Visit& visit) const;
  [[nodiscard]] Result<std::vector<Row>> rows_of(const std::string& map) const;
  [[nodiscard]] Status carry_flows();
  [[nodiscard]] Result<bool> carry(const FlowEntry& flow) const;
  [[nodiscard]] Status catch_up();
  [[nodiscard]] Status catch_up_before(const Hook& hook);
  [[nodiscard]] Result<Mapping> map_array(std::string_view map) const;
  [[nodiscard]] Status map_arrays();
  [[nodiscard]] Status learn_facts();
  [[nodiscard]] Status learn_tick();
  [[nodiscard]] Result<std::uint32_t> run_with(const std::string& program, void* order, std::uint32_t size) const;
  [[nodiscard]] Result<mesh_sweep> sweep(std::uint32_t first, std::uint32_t count) const;
  [[nodiscard]] Result<int> fd_of(std::string_view map) const;
  static bool observe_batches(int fd, const MapDescription& description, Table& table);
  [[nodiscard]] Status observe_array(MapId map, Observed& observed) const;
  void observe_services(Observed& observed) const;
  void observe_pieces(Observed& observed) const;
  void observe_links(Observed& observed) const;
  void observe_filters(Observed& observed) const;
  [[nodiscard]] std::string mapped_row(MapId map, std::uint32_t row) const;
  [[nodiscard]] Status write_mapped(MapId map, std::uint32_t row, const std::string& value);
  [[nodiscard]] std::size_t write_batch(std::span<const Action> actions);
  [[nodiscard]] Status run(const WriteRow& action);
  [[nodiscard]] Status run(const DeleteRow& action);
  [[nodiscard]] Status run(const ResetTraffic& action);
  [[nodiscard]] Status run(const RemoveFlows& action);
  [[nodiscard]] Status run(const Attach& action);
  [[nodiscard]] Status run(const Detach& action);
  [[nodiscard]] Status attach_filter(const Hook& hook, int program);
  [[nodiscard]] Status attach_link(const Hook& hook, int program);
  [[nodiscard]] std::string link_path(const Hook& hook) const;

  std::string pin_dir_;
  std::string program_dir_;  // below it, of this build
  HostFacts facts_;
  std::map<std::string, Fd, std::less<>> maps_;
  std::vector<MapDescription> descriptions_;
  std::map<std::string, Fd> programs_;
  std::map<MapId, Mapping> mappings_;
  Mapping filters_;
  Mapping backend_traffic_;
  Mapping endpoint_lines_;
  std::optional<EndpointTable> endpoints_;  // in them
  Fd cgroup_;
  std::set<std::string, std::less<>> anew_;  // maps that this object made
  std::weak_ptr<const StandIn> stand_in_;
  std::unique_ptr<Earlier> earlier_;  // an earlier meshd's tables, until its programs are replaced
};

// The BPF objects that are built into this program.
struct BpfObject {
  std::string name;
  std::span<const std::byte> elf;
};
[[nodiscard]] const std::vector<BpfObject>& bpf_objects();

}  // namespace mesh::dataplane
