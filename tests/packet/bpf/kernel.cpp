#include "tests/packet/bpf/kernel.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "bpf/mesh.skel.h"
#include "tests/packet/bpf/world.h"

namespace mesh::packet {
namespace {

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::abort();
}

}  // namespace

struct Kernel::Links {
  std::vector<bpf_link*> all;
};

Kernel::Kernel() : object_(mesh_bpf__open()), links_(std::make_unique<Links>()) {
  if (object_ == nullptr) give_up("opening the BPF object");
  bpf_map* each = nullptr;
  bpf_object__for_each_map(each, object_->obj) bpf_map__set_pin_path(each, nullptr);
  bpf_map__set_max_entries(object_->maps.mesh_flows, kFlowSets);
  if (mesh_bpf__load(object_) != 0) give_up("loading the BPF programs");
}

Kernel::~Kernel() {
  for (bpf_link* link : links_->all) bpf_link__destroy(link);
  mesh_bpf__destroy(object_);
}

int Kernel::map(const std::string& name) const {
  const int fd = bpf_object__find_map_fd_by_name(object_->obj, name.c_str());
  if (fd < 0) give_up("map " + name);
  return fd;
}

int Kernel::program(const std::string& name) const {
  const bpf_program* found = bpf_object__find_program_by_name(object_->obj, name.c_str());
  if (found == nullptr) give_up("program " + name);
  return bpf_program__fd(found);
}

void Kernel::put(const std::string& name, const void* key, const void* value) {
  if (bpf_map_update_elem(map(name), key, value, BPF_ANY) != 0) give_up("writing " + name);
}

void Kernel::erase(const std::string& name, const void* key) { bpf_map_delete_elem(map(name), key); }

bool Kernel::get(const std::string& name, const void* key, void* value) {
  return bpf_map_lookup_elem(map(name), key, value) == 0;
}

__u64 Kernel::total(const std::string& name, __u32 index) {
  std::vector<__u64> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(map(name), &index, values.data()) != 0) give_up("reading " + name);
  __u64 sum = 0;
  for (const __u64 value : values) sum += value;
  return sum;
}

mesh_binding_traffic Kernel::traffic(__u32 binding) {
  std::vector<mesh_binding_traffic> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(map("mesh_binding_counters"), &binding, values.data()) != 0) give_up("reading counters");
  mesh_binding_traffic sum{};
  for (const mesh_binding_traffic& value : values) {
    sum.in.packets += value.in.packets;
    sum.in.bytes += value.in.bytes;
    sum.out.packets += value.out.packets;
    sum.out.bytes += value.out.bytes;
    sum.connections += value.connections;
    sum.resets_in += value.resets_in;
    sum.resets_out += value.resets_out;
  }
  return sum;
}

Outcome Kernel::run(const std::string& name, const Bytes& frame, std::uint32_t gso_size) {
  Outcome outcome;
  outcome.frame.resize(frame.size() + 512);
  __sk_buff skb{};
  skb.gso_size = gso_size;
  bpf_test_run_opts options{};
  options.sz = sizeof(options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.data_out = outcome.frame.data();
  options.data_size_out = static_cast<__u32>(outcome.frame.size());
  if (gso_size != 0) {
    options.ctx_in = &skb;
    options.ctx_size_in = sizeof(skb);
  }
  constexpr std::size_t kHeadersSize = 14 + 40;
  if (bpf_prog_test_run_opts(program(name), &options) != 0) {
    if (errno != EINVAL || frame.size() >= kHeadersSize) give_up("running " + name);
    outcome.refused = true;
    return outcome;
  }
  outcome.verdict = static_cast<int>(options.retval);
  outcome.frame.resize(options.data_size_out);
  return outcome;
}

mesh_sweep Kernel::sweep(__u32 first, __u32 count) {
  mesh_sweep order{};
  order.first = first;
  order.count = count;
  bpf_test_run_opts options{};
  options.sz = sizeof(options);
  options.data_in = options.data_out = &order;
  options.data_size_in = options.data_size_out = sizeof(order);
  if (bpf_prog_test_run_opts(program("mesh_sweep"), &options) != 0) give_up("running mesh_sweep");
  return order;
}

void Kernel::attach_xdp(const std::string& name, int ifindex) {
  if (bpf_xdp_attach(ifindex, program(name), XDP_FLAGS_DRV_MODE, nullptr) != 0) give_up("attaching " + name);
}

void Kernel::attach_tc(const std::string& name, int ifindex) {
  bpf_tc_hook hook{};
  hook.sz = sizeof(hook);
  hook.ifindex = ifindex;
  hook.attach_point = BPF_TC_INGRESS;
  const int made = bpf_tc_hook_create(&hook);
  if (made != 0 && made != -EEXIST) give_up("making clsact for " + name);
  bpf_tc_opts options{};
  options.sz = sizeof(options);
  options.prog_fd = program(name);
  if (bpf_tc_attach(&hook, &options) != 0) give_up("attaching " + name);
}

void Kernel::attach_cgroup(const std::string& name, const std::string& cgroup) {
  const int fd = open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) give_up(cgroup);
  bpf_link* link = bpf_program__attach_cgroup(bpf_object__find_program_by_name(object_->obj, name.c_str()), fd);
  close(fd);
  if (link == nullptr) give_up("attaching " + name);
  links_->all.push_back(link);
}

}  // namespace mesh::packet
