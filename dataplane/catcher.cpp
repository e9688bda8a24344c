#include "dataplane/catcher.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "bpf/catch.h"
#include "bpf/catch.skel.h"
#include "bpf/lib/tunnel.h"
#include "dataplane/state.h"
#include "dataplane/wanted.h"

namespace mesh::dataplane {
namespace {

struct CloseRing {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};
struct DestroyLink {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);  // BPF_TCX_INGRESS, of newer headers

// By enum mesh_catch_place.
struct Place {
  const char* at_entry;
  const char* before;
  const char* target;
};
constexpr std::array kPlaces = {Place{"mesh_catch_xdp", kUplinkXdpStandIn, kUplinkXdpProgram},
                                Place{"mesh_catch_tc", "mesh_before_tc", "mesh_uplink_tc"},
                                Place{"mesh_catch_endpoint", "mesh_before_endpoint", "mesh_endpoint_tc"}};

// Those that packets of this host meet. In xdp mode the tc program of an uplink sees what XDP has seen before.
std::vector<Place> places_of(const CatchPlaces& places) {
  std::vector<Place> all = {kPlaces.at(MESH_CAUGHT_FROM_ENDPOINT)};
  if (!places.xdp_uplinks.empty()) all.push_back(kPlaces.at(MESH_CAUGHT_BY_XDP));
  if (!places.tc_uplinks.empty()) all.push_back(kPlaces.at(MESH_CAUGHT_BY_TC));
  return all;
}

std::uint32_t id_of(int program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  return bpf_obj_get_info_by_fd(program, &info, &size) == 0 ? info.id : 0;
}

// Where an IP header's length is, and what it says.
void write_length(std::uint8_t* l3, bool v6, std::uint32_t length) {
  const __be16 wire = htons(static_cast<std::uint16_t>(v6 ? length - sizeof(mesh_ipv6) : length));
  std::memcpy(l3 + (v6 ? offsetof(mesh_ipv6, payload_length) : offsetof(mesh_ipv4, length)), &wire, sizeof wire);
}

// The first of the packets that a large one stands for: as it was on the wire, or will be.
void cut_to_segment(CaughtPacket& caught, std::uint32_t gso_size) {
  const bool tunnel = read_frame(caught.frame).tunnel.has_value();
  const std::size_t at = tunnel ? MESH_ENCAPSULATION_SIZE : MESH_ETH_SIZE;
  std::uint8_t* l3 = caught.frame.data() + at;
  __be16 type = 0;
  std::memcpy(&type, l3 - sizeof type, sizeof type);
  mesh_packet packet{};
  const std::uint8_t* end = caught.frame.data() + caught.frame.size();
  if (mesh_parse_ip(type, l3, end, static_cast<__u32>(end - l3), &packet) != MESH_PARSED || packet.has_ports == 0)
    return;
  const std::uint32_t headers = packet.l4_offset + packet.l4_size;
  if (packet.length <= headers + gso_size) return;
  caught.segments = (packet.length - headers + gso_size - 1) / gso_size;
  write_length(l3, packet.v6 != 0, headers + gso_size);
  if (tunnel) {
    const std::uint32_t outer = headers + gso_size + MESH_OUTER_SIZE;
    write_length(caught.frame.data() + MESH_ETH_SIZE, false, outer);
    const __be16 udp = htons(static_cast<std::uint16_t>(outer - sizeof(mesh_ipv4)));
    std::memcpy(caught.frame.data() + MESH_ETH_SIZE + sizeof(mesh_ipv4) + offsetof(mesh_udp, length), &udp, sizeof udp);
  }
  caught.frame.resize(at + headers + gso_size);
}

}  // namespace

struct Catcher::State {
  std::unique_ptr<bpf_object, CloseObject> object;
  std::vector<std::unique_ptr<bpf_link, DestroyLink>> entries;
  std::vector<Fd> before;
  std::vector<Fd> replaced;  // links of uplinks, to be given `target` again
  Fd target;
  std::shared_ptr<const StandIn> stand_in;
  std::unique_ptr<ring_buffer, CloseRing> ring;
  std::optional<CaughtPacket> caught;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State();

  static int take(void* context, void* row, std::size_t size);
  Status open(const Kernel& kernel, const std::string& pin_dir);
  Status load(const std::vector<const char*>& programs, const CatchOrder& order);
  Status attach_entries(const Kernel& kernel, const CatchPlaces& places, const CatchOrder& order);
  Status attach_before(Kernel& kernel, const CatchPlaces& places, const CatchOrder& order);
  Status attach_tcx(const char* name, const std::vector<std::uint32_t>& interfaces);
  Status stand_in_for_xdp(Kernel& kernel, const std::vector<std::uint32_t>& uplinks);
  [[nodiscard]] int program(const char* name) const {
    return bpf_program__fd(bpf_object__find_program_by_name(object.get(), name));
  }
  [[nodiscard]] int map(const char* name) const { return bpf_object__find_map_fd_by_name(object.get(), name); }
};

// Only where it still stands in: the uplink may have got other programs meanwhile.
Catcher::State::~State() {
  bpf_link_update_opts options{};
  options.sz = sizeof options;
  options.flags = BPF_F_REPLACE;
  if (!replaced.empty()) options.old_prog_fd = static_cast<__u32>(program(kPlaces.at(MESH_CAUGHT_BY_XDP).before));
  for (const Fd& link : replaced) bpf_link_update(link.get(), target.get(), &options);
}

int Catcher::State::take(void* context, void* row, std::size_t size) {
  auto& self = *static_cast<State*>(context);
  if (!self.caught) self.caught = read_caught({static_cast<const char*>(row), size});
  return 0;
}

Status Catcher::State::open(const Kernel& kernel, const std::string& pin_dir) {
  std::size_t size = 0;
  const void* elf = catch_bpf::elf_bytes(&size);
  bpf_object_open_opts options{};
  options.sz = sizeof options;
  options.object_name = "mesh_catch";
  options.pin_root_path = pin_dir.c_str();
  object.reset(bpf_object__open_mem(elf, size, &options));
  if (!object) return fail_errno("open the programs that catch a packet", errno);
  for (const auto& [name, rows] : kernel.sizes()) {
    if (bpf_map* table = bpf_object__find_map_by_name(object.get(), name.c_str()))
      bpf_map__set_max_entries(table, rows);
  }
  return {};
}

// These programs of the object, told what is wanted.
Status Catcher::State::load(const std::vector<const char*>& programs, const CatchOrder& order) {
  bpf_program* each = nullptr;
  bpf_object__for_each_program(each, object.get()) {
    const std::string_view name = bpf_program__name(each);
    bpf_program__set_autoload(each, std::ranges::find(programs, name) != programs.end());
  }
  if (const int code = bpf_object__load(object.get()); code != 0) {
    return fail_errno("load the programs that catch a packet", -code);
  }
  const mesh_catch wanted{.source = to_abi(order.source.ip),
                          .destination = to_abi(order.destination.ip),
                          .source_port = htons(order.source.port),
                          .destination_port = htons(order.destination.port),
                          .protocol = order.protocol,
                          .in_tunnel = static_cast<__u8>(order.in_tunnel ? 1 : 0),
                          .reserved = 0};
  const std::uint32_t key = 0;
  if (bpf_map_update_elem(map("mesh_catch_wanted"), &key, &wanted, BPF_ANY) != 0) {
    return fail_errno("tell the kernel which packet to catch", errno);
  }
  ring.reset(ring_buffer__new(map("mesh_catch_ring"), take, this, nullptr));
  if (!ring) return fail_errno("read what is caught", errno);
  return {};
}

Status Catcher::State::attach_entries(const Kernel& kernel, const CatchPlaces& places, const CatchOrder& order) {
  const std::vector<Place> all = places_of(places);
  std::vector<const char*> programs;
  for (const Place& place : all) {
    programs.push_back(place.at_entry);
    const int attached = TRY(kernel.program_fd(place.target));
    bpf_program* own = bpf_object__find_program_by_name(object.get(), place.at_entry);
    if (const int code = bpf_program__set_attach_target(own, attached, place.target); code != 0) {
      return fail_errno("fentry", -code);
    }
  }
  TRY(load(programs, order));
  for (const Place& place : all) {
    bpf_link* link = bpf_program__attach_trace(bpf_object__find_program_by_name(object.get(), place.at_entry));
    if (link == nullptr) return fail_errno("fentry", errno);
    entries.emplace_back(link);
  }
  return {};
}

Status Catcher::State::attach_tcx(const char* name, const std::vector<std::uint32_t>& interfaces) {
  for (const std::uint32_t ifindex : interfaces) {
    Fd link(bpf_link_create(program(name), static_cast<int>(ifindex), kTcxIngress, nullptr));
    if (!link && errno == ENODEV) continue;  // an endpoint that goes
    if (!link) return fail_errno("TCX", errno);
    before.push_back(std::move(link));
  }
  return {};
}

Status Catcher::State::stand_in_for_xdp(Kernel& kernel, const std::vector<std::uint32_t>& uplinks) {
  if (kernel.has_stand_in()) {
    return fail(ErrorKind::kExhausted,
                "a trace waits for a packet here already, and in xdp mode this kernel, which refuses fentry on BPF "
                "programs, lets only one: end that one (Ctrl-C) or wait until its time is over");
  }
  const int attached = TRY(kernel.program_fd(kPlaces.at(MESH_CAUGHT_BY_XDP).target));
  target.reset(fcntl(attached, F_DUPFD_CLOEXEC, 3));
  const std::uint32_t key = 0;
  if (!target || bpf_map_update_elem(map("mesh_catch_next"), &key, &attached, BPF_ANY) != 0) {
    return fail_errno("pass packets on to mesh_uplink_xdp", errno);
  }
  const int own = program(kPlaces.at(MESH_CAUGHT_BY_XDP).before);
  stand_in = std::make_shared<const StandIn>(StandIn{.program_id = id_of(own), .for_id = id_of(attached)});
  kernel.expect(stand_in);
  for (const std::uint32_t uplink : uplinks) replaced.push_back(TRY(kernel.put_in_place(uplink, own)));
  return {};
}

Status Catcher::State::attach_before(Kernel& kernel, const CatchPlaces& places, const CatchOrder& order) {
  std::vector<const char*> programs;
  for (const Place& place : places_of(places)) programs.push_back(place.before);
  TRY(load(programs, order));
  TRY(attach_tcx(kPlaces.at(MESH_CAUGHT_FROM_ENDPOINT).before, places.endpoints));
  TRY(attach_tcx(kPlaces.at(MESH_CAUGHT_BY_TC).before, places.tc_uplinks));
  return places.xdp_uplinks.empty() ? Status() : stand_in_for_xdp(kernel, places.xdp_uplinks);
}

Catcher::Catcher(std::unique_ptr<State> state) : state_(std::move(state)) {}
Catcher::Catcher(Catcher&&) noexcept = default;
Catcher& Catcher::operator=(Catcher&&) noexcept = default;
Catcher::~Catcher() = default;

Result<Catcher> Catcher::attach(Kernel& kernel, const std::string& pin_dir, const CatchPlaces& places,
                                const CatchOrder& order) {
  auto state = std::make_unique<State>();
  TRY(state->open(kernel, pin_dir));
  const Status entered = state->attach_entries(kernel, places, order);
  if (entered) return Catcher(std::move(state));
  state = std::make_unique<State>();
  TRY(state->open(kernel, pin_dir));
  const Status stands = state->attach_before(kernel, places, order);
  if (stands) return Catcher(std::move(state));
  if (stands.error().kind == ErrorKind::kExhausted) return std::unexpected(stands.error());
  return fail(
      ErrorKind::kUnsupported,
      fmt::format("catching a real packet needs fentry on BPF programs (CONFIG_DEBUG_INFO_BTF, CONFIG_BPF_JIT), "
                  "which this kernel refuses ({}), or TCX (Linux 6.6; {}): trace a made-up packet, without --next",
                  entered.error().message, stands.error().message));
}

Result<std::optional<CaughtPacket>> Catcher::wait(std::chrono::milliseconds timeout) {
  if (const int code = ring_buffer__poll(state_->ring.get(), static_cast<int>(timeout.count()));
      code < 0 && code != -EINTR) {
    return fail_errno("wait for a packet", -code);
  }
  return std::exchange(state_->caught, std::nullopt);
}

std::optional<CaughtPacket> read_caught(std::string_view row) {
  mesh_caught caught{};
  if (row.size() < sizeof caught) return std::nullopt;
  std::memcpy(&caught, row.data(), sizeof caught);
  if (caught.program >= kPlaces.size() || caught.captured > MESH_CAUGHT_BYTES) return std::nullopt;
  CaughtPacket packet{.program = kPlaces.at(caught.program).target, .ifindex = caught.ifindex, .length = caught.length};
  packet.frame.assign(&caught.bytes[0], &caught.bytes[0] + caught.captured);
  packet.frame.resize(caught.length);
  if (caught.gso_size != 0) cut_to_segment(packet, caught.gso_size);
  if (caught.flow_index == MESH_CAUGHT_NO_SET) return packet;
  packet.met = MetTables{.flow_index = caught.flow_index, .filter_index = caught.filter_index};
  // The lock is not the reader's: zeros.
  packet.met->flows.assign(sizeof(bpf_spin_lock), '\0');
  packet.met->flows.append(reinterpret_cast<const char*>(&caught.flows[0]), sizeof caught.flows);
  packet.met->filter.assign(reinterpret_cast<const char*>(&caught.filter), sizeof caught.filter);
  return packet;
}

}  // namespace mesh::dataplane
