// mesh-frames: packets per second, without hardware.
//   mesh-frames send  --interface veth0 --source 192.0.2.2 --destination 192.0.2.1 --next-hop 02:… --port 8010
//                     [--flows 1024] [--seconds 1] [--cpu 0]     sends 60-byte UDP frames as fast as one CPU can
//   mesh-frames count --interface veth1 --port 8010 --seconds 1  counts and drops them at the far end
//               [--tc]                                           as skbs: for an interface inside a container
//   mesh-frames send  … --inner-source 192.0.2.3 --inner-destination 192.0.2.4 --tunnel-binding 1 | --tunnel-to 02:…
//     the frame of the inner addresses in VXLAN, for a backend's host of the mesh, or for a bridge
// Prints one JSON object. `count` prints "ready" on standard error once it counts, and ends by SIGTERM or the time.
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <net/if.h>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "base/address.h"
#include "bench/frame_bytes.h"
#include "bench/pin_to.h"
#include "bpf/frames.skel.h"
#include "bpf/lib/tunnel.h"

namespace {

using mesh::IpAddress;
using mesh::MacAddress;
using mesh::Status;
using mesh::bench::put16;

constexpr std::size_t kFrameBytes = 60;  // the smallest frame without its checksum
constexpr std::size_t kEth = 14;
// Node numbers in the mesh's tunnel: this generator is an entry host for the host under test.
constexpr unsigned kReceiver = 1, kSender = 2;
constexpr unsigned kBatch = 64;  // frames per NAPI poll
constexpr unsigned kRunsPerCall = 1U << 16U;

// The layout of bench/frames.bpf.c.
struct FramesConfig {
  std::array<std::uint8_t, 112> frame{};
  std::uint32_t ifindex = 0;
  std::uint32_t flows = 0;
  std::uint32_t length = kFrameBytes;
  std::uint32_t port_at = 34;
  std::uint16_t port_be = 0;
  std::array<std::uint8_t, 6> reserved{};
};
static_assert(sizeof(FramesConfig) == 136);

struct Arguments {
  std::string interface, source, destination, next_hop, own;
  std::string inner_source, inner_destination, tunnel_to;
  std::uint16_t binding = 0;
  bool tc = false;
  std::uint16_t port = 0;
  std::uint32_t flows = 1024;
  double seconds = 1;
  int cpu = -1;
};

struct Close {
  void operator()(frames_bpf* object) const { frames_bpf__destroy(object); }
};
using Frames = std::unique_ptr<frames_bpf, Close>;

volatile std::sig_atomic_t stopped = 0;

void put_mac(std::uint8_t* at, const MacAddress& mac) { std::memcpy(at, mac.bytes.data(), 6); }

// IPv4 and UDP headers of a packet of `length` bytes. No UDP checksum.
void put_udp(std::uint8_t* ip, std::size_t length, const IpAddress& source, const IpAddress& destination,
             std::uint16_t port) {
  ip[0] = 0x45;
  put16(ip + 2, static_cast<unsigned>(length));
  ip[8] = 64;
  ip[9] = 17;
  std::memcpy(ip + 12, source.bytes().data() + 12, 4);
  std::memcpy(ip + 16, destination.bytes().data() + 12, 4);
  mesh::bench::put_checksum(ip);
  put16(ip + 22, port);
  put16(ip + 24, static_cast<unsigned>(length - 20));
}

// What comes before the inner IP packet: for the mesh its header, for a bridge the MAC address of the receiver.
Status put_tunnel(std::uint8_t* at, const Arguments& arguments) {
  mesh_tunnel tunnel{};
  if (arguments.tunnel_to.empty()) {
    const mesh_header header{.vni = MESH_VNI_MIN,
                             .ring_version = 1,
                             .binding = arguments.binding,
                             .entry = kSender,
                             .stop = kReceiver,
                             .kind = MESH_KIND_FORWARD};
    mesh_tunnel_encode(&tunnel, &header);
    std::memcpy(at, &tunnel, sizeof tunnel);
  } else {
    tunnel.vxlan_flags = MESH_VXLAN_FLAGS;
    tunnel.vni[1] = MESH_VNI_MIN >> 8U;
    std::memcpy(at, &tunnel, sizeof tunnel);
    put_mac(at + 8, TRY_IN("--tunnel-to", MacAddress::parse(arguments.tunnel_to)));
    put_mac(at + 14, MacAddress{{0x02, 0, 0, 0, 0, 0x01}});
  }
  put16(at + 20, 0x0800);
  return {};
}

mesh::Result<FramesConfig> make_config(const Arguments& arguments, unsigned ifindex) {
  FramesConfig config;
  config.ifindex = ifindex;
  config.flows = arguments.flows;
  put16(reinterpret_cast<std::uint8_t*>(&config.port_be), arguments.port);
  if (arguments.source.empty()) return config;
  const IpAddress source = TRY_IN("--source", IpAddress::parse(arguments.source));
  const IpAddress destination = TRY_IN("--destination", IpAddress::parse(arguments.destination));
  std::uint8_t* frame = config.frame.data();
  put_mac(frame, TRY_IN("--next-hop", MacAddress::parse(arguments.next_hop)));
  put_mac(frame + 6, TRY_IN("--own", MacAddress::parse(arguments.own)));
  put16(frame + 12, 0x0800);
  if (arguments.binding == 0 && arguments.tunnel_to.empty()) {
    put_udp(frame + kEth, kFrameBytes - kEth, source, destination, arguments.port);
    return config;
  }
  const IpAddress inner_source = TRY_IN("--inner-source", IpAddress::parse(arguments.inner_source));
  const IpAddress inner_destination = TRY_IN("--inner-destination", IpAddress::parse(arguments.inner_destination));
  config.length = kFrameBytes + MESH_OUTER_SIZE;
  config.port_at += MESH_OUTER_SIZE;
  put_udp(frame + kEth, config.length - kEth, source, destination, MESH_VXLAN_PORT);
  put16(frame + kEth + 20, 40000);
  TRY(put_tunnel(frame + kEth + 28, arguments));
  put_udp(frame + MESH_OUTER_SIZE + kEth, kFrameBytes - kEth, inner_source, inner_destination, arguments.port);
  return config;
}

// Attached for the life of the process: the link goes with its descriptor.
Status attach(bpf_program* program, unsigned ifindex, const Arguments& arguments) {
  if (bpf_program__attach_xdp(program, static_cast<int>(ifindex)) == nullptr) {
    return mesh::fail_errno("attach to " + arguments.interface, errno);
  }
  return {};
}

Status send(frames_bpf* object, unsigned ifindex, const Arguments& arguments, std::uint32_t length) {
  TRY(attach(object->progs.generate, ifindex, arguments));
  const int program = bpf_program__fd(object->progs.generate);
  std::vector<std::uint8_t> data(length);
  xdp_md context{};
  context.data_end = length;
  std::uint64_t sent = 0;
  const auto start = std::chrono::steady_clock::now();
  std::chrono::duration<double> elapsed{};
  do {
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = data.data();
    options.data_size_in = length;
    options.ctx_in = &context;
    options.ctx_size_in = sizeof(context);
    options.repeat = static_cast<int>(kRunsPerCall);
    options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    options.batch_size = kBatch;
    if (bpf_prog_test_run_opts(program, &options) != 0) {
      return mesh::fail_errno("send live frames on " + arguments.interface + " (needs kernel 5.18)", errno);
    }
    sent += kRunsPerCall;
    elapsed = std::chrono::steady_clock::now() - start;
  } while (elapsed.count() < arguments.seconds && !stopped);
  std::printf("{\"sent\": %llu, \"seconds\": %.4f, \"pps\": %.0f}\n", static_cast<unsigned long long>(sent),
              elapsed.count(), static_cast<double>(sent) / elapsed.count());
  return {};
}

std::uint64_t total(frames_bpf* object) {
  std::vector<std::uint64_t> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  const std::uint32_t key = 0;
  bpf_map_lookup_elem(bpf_map__fd(object->maps.counted), &key, values.data());
  std::uint64_t sum = 0;
  for (const std::uint64_t value : values) sum += value;
  return sum;
}

// The filter goes with the network namespace.
Status attach_tc(const bpf_program* program, unsigned ifindex, const Arguments& arguments) {
  LIBBPF_OPTS(bpf_tc_hook, hook);
  hook.ifindex = static_cast<int>(ifindex);
  hook.attach_point = BPF_TC_INGRESS;
  libbpf_set_print(nullptr);  // it complains about a hook that is there already, from an earlier count
  const int made = bpf_tc_hook_create(&hook);
  LIBBPF_OPTS(bpf_tc_opts, options);
  options.prog_fd = bpf_program__fd(program);
  options.handle = options.priority = 1;
  options.flags = BPF_TC_F_REPLACE;
  if ((made != 0 && made != -EEXIST) || bpf_tc_attach(&hook, &options) != 0) {
    return mesh::fail_errno("attach to " + arguments.interface, errno);
  }
  return {};
}

Status count(frames_bpf* object, unsigned ifindex, const Arguments& arguments) {
  if (arguments.tc) {
    TRY(attach_tc(object->progs.sink_tc, ifindex, arguments));
  } else {
    TRY(attach(object->progs.sink, ifindex, arguments));
  }
  std::fputs("ready\n", stderr);
  const auto start = std::chrono::steady_clock::now();
  std::chrono::duration<double> elapsed{};
  while (!stopped && elapsed.count() < arguments.seconds) {
    ::usleep(1000);
    elapsed = std::chrono::steady_clock::now() - start;
  }
  const std::uint64_t counted = total(object);
  std::printf("{\"counted\": %llu, \"seconds\": %.4f, \"pps\": %.0f}\n", static_cast<unsigned long long>(counted),
              elapsed.count(), static_cast<double>(counted) / elapsed.count());
  return {};
}

Status run(const std::string& verb, const Arguments& arguments) {
  TRY(mesh::bench::pin_to(arguments.cpu));
  const unsigned ifindex = ::if_nametoindex(arguments.interface.c_str());
  if (ifindex == 0) return mesh::fail_errno("interface " + arguments.interface, errno);
  const Frames object(frames_bpf__open_and_load());
  if (!object) return mesh::fail_errno("load the frame programs (root is needed)", errno);
  const FramesConfig config = TRY(make_config(arguments, ifindex));
  const std::uint32_t key = 0;
  if (bpf_map_update_elem(bpf_map__fd(object->maps.config), &key, &config, BPF_ANY) != 0) {
    return mesh::fail_errno("write the frame template", errno);
  }
  if (verb == "send") return send(object.get(), ifindex, arguments, config.length);
  return count(object.get(), ifindex, arguments);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("packets per second without hardware");
  app.require_subcommand(1);
  Arguments arguments;
  const auto add = [&](const char* verb, const char* text) {
    CLI::App* command = app.add_subcommand(verb, text);
    command->add_option("--interface", arguments.interface)->required();
    command->add_option("--port", arguments.port, "UDP destination port");
    command->add_option("--seconds", arguments.seconds);
    command->add_option("--cpu", arguments.cpu, "pin to this CPU");
    return command;
  };
  CLI::App* sender = add("send", "send 60-byte UDP frames");
  sender->add_option("--source", arguments.source)->required();
  sender->add_option("--destination", arguments.destination)->required();
  sender->add_option("--next-hop", arguments.next_hop, "MAC address of the receiver")->required();
  sender->add_option("--own", arguments.own, "MAC address of the sender")->required();
  sender->add_option("--flows", arguments.flows, "source ports in turn");
  sender->add_option("--tunnel-binding", arguments.binding, "in the mesh's tunnel, for this binding of the receiver");
  sender->add_option("--tunnel-to", arguments.tunnel_to, "in plain VXLAN, to this inner MAC address");
  sender->add_option("--inner-source", arguments.inner_source);
  sender->add_option("--inner-destination", arguments.inner_destination);
  add("count", "count and drop them")->add_flag("--tc", arguments.tc, "as skbs, on tc ingress");
  CLI11_PARSE(app, argc, argv);

  struct sigaction action{};
  action.sa_handler = [](int) { stopped = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  const Status status = run(app.get_subcommands().front()->get_name(), arguments);
  if (status) return 0;
  std::fprintf(stderr, "mesh-frames: %s\n", status.error().message.c_str());
  return 1;
}
