// mesh-packet: nanoseconds per packet of each program, by test runs (bench/harness.bpf.c), as one JSON object: case ->
// nanoseconds with the harness's own cost subtracted. Attaches nothing and pins nothing; run it in a network namespace
// of its own. `--runs N`: packets per figure. The caller repeats and interleaves.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/json.h"
#include "bench/packet_frames.h"
#include "bpf/harness.skel.h"
#include "bpf/mesh.skel.h"

namespace {

using namespace mesh::bench;
using mesh::Result;
using mesh::Status;

// The layout of bench/harness.bpf.c.
struct HarnessConfig {
  std::array<std::uint8_t, 144> frame{};
  std::uint32_t length = 0, vary = 0, flows = 0, address_at = 0, port_at = 0, reserved = 0;
};
enum Vary : std::uint32_t { kOneFlow = 0, kManyFlows = 1, kAllNew = 2 };
constexpr std::uint32_t kFlows = 65536;
constexpr std::uint32_t kFlowSets = MESH_FLOW_SETS;
constexpr std::size_t kHeadroomTail = 64;  // room behind the frame that test runs want

template <class Skeleton, void (*kDestroy)(Skeleton*)>
struct Destroy {
  void operator()(Skeleton* skeleton) const { kDestroy(skeleton); }
};
using Harness = std::unique_ptr<harness_bpf, Destroy<harness_bpf, harness_bpf__destroy>>;
using Mesh = std::unique_ptr<mesh_bpf, Destroy<mesh_bpf, mesh_bpf__destroy>>;

template <class Key, class Value>
Status put(const bpf_map* map, const Key& key, const Value& value) {
  if (bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY) == 0) return {};
  return mesh::fail_errno(std::string("write ") + bpf_map__name(map), errno);
}

std::uint32_t be32(std::uint32_t value) { return __builtin_bswap32(value); }
std::uint16_t be16(std::uint16_t value) { return __builtin_bswap16(value); }

mesh_address mapped(std::uint32_t v4) { return {{0, 0, be32(0xffff), be32(v4)}}; }
mesh_address v6(std::uint32_t v4) { return {{be32(0xfd000000), 0, 0, be32(v4)}}; }

Status publish(const Mesh& mesh, std::uint8_t protocol, std::uint16_t port, std::uint32_t index, std::uint16_t node,
               std::uint16_t binding) {
  const std::uint32_t chunk = index * 4;  // 256 slots
  const mesh_ring_chunk slots{};          // all owned by backend 0
  for (std::uint32_t i = 0; i < 4; ++i) TRY(put(mesh->maps.mesh_rings, chunk + i, slots));
  const std::uint32_t backends = index;
  TRY(put(mesh->maps.mesh_backends, backends,
          mesh_backend{.node = node, .binding = binding, .state = 0, .reserved = {}}));
  const std::uint32_t service = MESH_SERVICE_INDEX(protocol, port);
  const std::uint64_t ring = MESH_RING(chunk, 8, MESH_RING_VALID, 1);
  return put(mesh->maps.mesh_services, service, mesh_service{.ring = ring, .backends = backends, .options = 0});
}

Status fill(const Mesh& mesh) {
  mesh_config config{};
  config.abi = MESH_ABI_VERSION;
  config.self = 1;
  config.endpoint_mtu = 1450;
  config.ingress_vni = MESH_VNI_MIN;
  config.flow_mask = kFlowSets - 1;
  config.flow_seed = 0x1234567;
  config.tick_shift = 8;
  config.self_address[0] = mapped(kSelf4);
  config.self_address[1] = v6(kSelf4);
  config.ingress_v4 = {mapped(kEndpoint4), {{~0U, ~0U, ~0U, ~0U}}};
  config.ingress_v6 = {v6(kEndpoint4), {{~0U, ~0U, ~0U, ~0U}}};
  TRY(put(mesh->maps.mesh_config, std::uint32_t{0}, config));
  for (const mesh_address& address : {mapped(kSelf4), v6(kSelf4)}) {
    TRY(put(mesh->maps.mesh_addresses, address,
            mesh_address_role{.node = 1, .flags = MESH_ROLE_NODE | MESH_ROLE_SELF}));
  }
  mesh_node self{};
  self.address = self.source = mapped(kSelf4);
  self.ifindex = kLoopback;
  self.flags = MESH_NODE_VALID | MESH_NODE_SELF;
  TRY(put(mesh->maps.mesh_nodes, std::uint32_t{1}, self));
  mesh_node other{};
  other.address = mapped(kOther4);
  other.source = mapped(kSelf4);
  other.ifindex = kLoopback;
  other.inner_mtu = 1450;
  other.flags = MESH_NODE_VALID;
  TRY(put(mesh->maps.mesh_nodes, std::uint32_t{2}, other));
  mesh_binding binding{};
  binding.v4 = be32(kEndpoint4);
  binding.v6 = v6(kEndpoint4);
  binding.ifindex = kLoopback;
  const std::array<std::uint8_t, 6> mac = {0x02, 0x42, 0x0a, 0x00, 0x00, 0x05};
  std::ranges::copy(mac, binding.mac);
  binding.target_port = be16(kTargetPort);
  binding.published_port = be16(kLocalPort);
  std::uint32_t index = 0;
  for (const auto& [protocol, number] : {std::pair{kTcp, kTcpBinding}, std::pair{kUdp, kUdpBinding}}) {
    binding.protocol = protocol;
    TRY(put(mesh->maps.mesh_bindings, std::uint32_t{number}, binding));
    TRY(publish(mesh, protocol, kRemotePort, index++, 2, number));
    TRY(publish(mesh, protocol, kLocalPort, index++, 1, number));
  }
  binding.protocol = kTcp;
  binding.published_port = be16(kBothPort);
  binding.target_port = be16(kBothTargetPort);
  TRY(put(mesh->maps.mesh_bindings, std::uint32_t{kBothBinding}, binding));
  TRY(publish(mesh, kTcp, kBothPort, index, 1, kBothBinding));
  mesh_source source{};
  source.vni = MESH_VNI_MIN;
  std::ranges::copy(mac, source.mac);
  return put(mesh->maps.mesh_sources, mesh_source_key{.ifindex = kLoopback, .address = mapped(kEndpoint4)}, source);
}

Result<Mesh> load_mesh() {
  Mesh mesh(mesh_bpf__open());
  if (!mesh) return mesh::fail_errno("open the programs", errno);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, mesh->obj) bpf_map__set_pin_path(map, nullptr);
  bpf_map__set_max_entries(mesh->maps.mesh_flows, kFlowSets);
  if (mesh_bpf__load(mesh.get()) != 0) return mesh::fail_errno("load the programs (root is needed)", errno);
  TRY(fill(mesh));
  return mesh;
}

struct Case {
  const char* name;
  const bpf_program* program;
  bool xdp;
  Frame frame;
  Vary vary;
  int expected;  // verdict
};

class Bench {
 public:
  Bench(Harness harness, Mesh mesh, std::uint32_t runs)
      : harness_(std::move(harness)), mesh_(std::move(mesh)), runs_(runs) {}

  Result<double> measure(const Case& one, const bpf_program* program) {
    HarnessConfig config{.frame = one.frame.bytes,
                         .length = one.frame.length,
                         .vary = one.vary,
                         .flows = kFlows,
                         .address_at = one.frame.address_at,
                         .port_at = one.frame.port_at};
    TRY(put(harness_->maps.settings, std::uint32_t{0}, config));
    const int fd = bpf_program__fd(program);
    const bpf_map* slot = one.xdp ? harness_->maps.xdp_under_test : harness_->maps.tc_under_test;
    TRY(put(slot, std::uint32_t{0}, fd));
    std::vector<std::uint8_t> out(one.frame.length + MESH_OUTER_SIZE + kHeadroomTail);
    __sk_buff skb{};
    skb.ifindex = skb.ingress_ifindex = kLoopback;
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = one.frame.bytes.data();
    options.data_size_in = one.frame.length;
    options.data_out = out.data();
    options.data_size_out = static_cast<std::uint32_t>(out.size());
    options.repeat = static_cast<int>(runs_);
    if (!one.xdp) {
      options.ctx_in = &skb;
      options.ctx_size_in = sizeof(skb);
    }
    const std::uint64_t failed = harness_->bss->failed;
    const bpf_program* driver = one.xdp ? harness_->progs.harness_xdp : harness_->progs.harness_tc;
    if (bpf_prog_test_run_opts(bpf_program__fd(driver), &options) != 0) {
      return mesh::fail_errno(std::string("test run of ") + one.name, errno);
    }
    if (harness_->bss->failed != failed) {
      return mesh::fail(mesh::ErrorKind::kInternal, std::string(one.name) + ": the harness lost packets");
    }
    if (program != stub(one) && static_cast<int>(options.retval) != one.expected) {
      return mesh::fail(mesh::ErrorKind::kInternal, std::string(one.name) + ": verdict " +
                                                        std::to_string(static_cast<int>(options.retval)) +
                                                        ", expected " + std::to_string(one.expected));
    }
    return options.duration;
  }

  const bpf_program* stub(const Case& one) const {
    return one.xdp ? harness_->progs.stub_xdp : harness_->progs.stub_tc;
  }

  std::vector<Case> cases() const {
    constexpr int kRedirected = 4, kPassed = 2, kTcRedirected = 7;
    const bpf_program* uplink = mesh_->progs.mesh_uplink_xdp;
    const bpf_program* endpoint = mesh_->progs.mesh_endpoint_tc;
    const Frame entry = client_frame(Family::kV4, kTcp, kAck, kRemotePort);
    const Frame backend = tunnel_frame(Family::kV4, kTcp, kAck);
    const Frame begin = tunnel_frame(Family::kV4, kTcp, kSyn);
    const Frame both = client_frame(Family::kV4, kTcp, kSyn, kBothPort);
    // In this order: the SYNs with entry and backend here make the records that the replies look up. (A reply to
    // another entry host would be encapsulated, and a socket buffer cannot be taken out of that again by a program.)
    return {
        {"not ours, passed", uplink, true, other_frame(), kManyFlows, kPassed},
        {"entry, 1 flow", uplink, true, entry, kOneFlow, kRedirected},
        {"entry, 64 Ki flows", uplink, true, entry, kManyFlows, kRedirected},
        {"entry, all new", uplink, true, entry, kAllNew, kRedirected},
        {"entry UDP, 64 Ki flows", uplink, true, client_frame(Family::kV4, kUdp, 0, kRemotePort), kManyFlows,
         kRedirected},
        {"entry IPv6, 64 Ki flows", uplink, true, client_frame(Family::kV6, kTcp, kAck, kRemotePort), kManyFlows,
         kRedirected},
        {"backend data, 1 flow", uplink, true, backend, kOneFlow, kRedirected},
        {"backend data, 64 Ki flows", uplink, true, backend, kManyFlows, kRedirected},
        {"backend SYN, 1 flow", uplink, true, begin, kOneFlow, kRedirected},
        {"backend SYN, 64 Ki flows", uplink, true, begin, kManyFlows, kRedirected},
        {"entry and backend here SYN, 1 flow", uplink, true, both, kOneFlow, kRedirected},
        {"reply, 1 flow", endpoint, false, reply_frame(), kOneFlow, kTcRedirected},
        {"entry and backend here SYN, 64 Ki flows", uplink, true, both, kManyFlows, kRedirected},
        {"reply, 64 Ki flows", endpoint, false, reply_frame(), kManyFlows, kTcRedirected},
        {"backend SYN, all new", uplink, true, begin, kAllNew, kRedirected},
    };
  }

 private:
  Harness harness_;
  Mesh mesh_;
  std::uint32_t runs_;
};

Status run(std::uint32_t runs) {
  Harness harness(harness_bpf__open_and_load());
  if (!harness) return mesh::fail_errno("load the harness (root is needed)", errno);
  Bench bench(std::move(harness), TRY(load_mesh()), runs);
  mesh::JsonObject figures;
  for (const Case& one : bench.cases()) {
    const double with = TRY(bench.measure(one, one.program));
    const double without = TRY(bench.measure(one, bench.stub(one)));
    figures[one.name] = std::max(0.0, with - without);
  }
  std::puts(mesh::to_text(figures).c_str());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("nanoseconds per packet of each program");
  std::uint32_t runs = 1U << 20U;
  app.add_option("--runs", runs, "packets per figure")->check(CLI::Range(1024U, 1U << 26U));
  CLI11_PARSE(app, argc, argv);
  libbpf_set_print(nullptr);
  const Status status = run(runs);
  if (status) return 0;
  std::fprintf(stderr, "mesh-packet: %s\n", status.error().message.c_str());
  return 1;
}
