// mesh-pktgen: packets per second of a published port, sent and answered, loss and latency.
//   mesh-pktgen --target 192.0.2.1:8010 --flows 65536 [--rate 100000] [--duration 5] [--size 60] [--udp | --tcp-syn]
//               [--mode live-frames | af_packet | af_xdp | dpdk] [--interface IF] [--format json]
//   mesh-pktgen --sink 80     the other end for UDP: sends every datagram back, until SIGTERM
// UDP counts the datagrams that come back, so the service must echo (--sink does); --tcp-syn counts SYN-ACKs and
// resets, of any service. af_xdp and dpdk need a build with -DMESH_WITH_DPDK=ON; dpdk takes a whole card:
//   mesh-pktgen --mode dpdk --device 0000:01:00.0 --source 192.0.2.9 --next-hop 02:… --target …
#include <chrono>
#include <csignal>
#include <cstdio>
#include <net/if.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "bench/pin_to.h"
#include "bench/pktgen/echo.h"
#include "bench/pktgen/figures.h"
#include "bench/pktgen/flow_order.h"
#include "bench/pktgen/pace.h"
#include "bench/pktgen/route.h"
#include "bench/pktgen/wire.h"

namespace {

namespace pg = mesh::pktgen;
using mesh::ErrorKind;
using mesh::Result;
using mesh::Status;

struct Arguments {
  std::string target, interface, source, next_hop, device;
  std::string mode = "live-frames", format = "table";
  std::uint32_t flows = 1024;
  std::uint64_t seed = 1;
  std::size_t bytes = PROBE_BYTES_MIN;
  std::uint16_t sink_port = 0;
  double rate = 0, seconds = 5;
  bool tcp_syn = false, udp = false;
  int cpu = -1;
};

constexpr double kQuietS = 0.2, kQuietMaxS = 2;  // after sending: until no more answers come

volatile std::sig_atomic_t stopped = 0;

Result<pg::Route> route_of(const Arguments& arguments, const mesh::SocketAddress& target) {
  if (arguments.source.empty() != arguments.next_hop.empty()) {
    return mesh::fail(ErrorKind::kInvalid, "--source and --next-hop belong together: without both, the kernel's route");
  }
  const bool card = arguments.mode == "dpdk" && arguments.interface.empty();
  if (arguments.source.empty() && !card) return pg::find_route(target.ip, arguments.interface);
  if (arguments.source.empty()) {
    return mesh::fail(ErrorKind::kInvalid, "a card that DPDK took has no route: give --source and --next-hop");
  }
  if (arguments.interface.empty() && !card) return mesh::fail(ErrorKind::kInvalid, "--source needs --interface");
  pg::Route route{.interface = arguments.interface};
  route.source = TRY_IN("--source", mesh::IpAddress::parse(arguments.source));
  route.next_hop = TRY_IN("--next-hop", mesh::MacAddress::parse(arguments.next_hop));
  if (card) return route;
  const pg::Interface found = TRY(pg::find_interface(arguments.interface));
  route.ifindex = found.ifindex;
  route.own = found.mac;
  return route;
}

Result<pg::WirePtr> open_wire(const Arguments& arguments, const pg::Route& route, const pg::Traffic& traffic) {
  if (arguments.mode == "live-frames") return pg::open_live_frames(route, traffic);
  if (arguments.mode == "af_packet") return pg::open_af_packet(route, traffic);
  const std::string device = arguments.mode == "af_xdp" ? "net_af_xdp,iface=" + route.interface : arguments.device;
  if (device.empty()) return mesh::fail(ErrorKind::kInvalid, "--mode dpdk needs --device");
  return pg::open_dpdk(device, route, traffic, arguments.cpu);
}

double seconds_since(std::uint64_t start_ns) { return static_cast<double>(pg::now_ns() - start_ns) / 1e9; }

Status wait_for_the_last(pg::Wire& wire) {
  const std::uint64_t start = pg::now_ns();
  std::uint64_t seen = 0, changed = start;
  while (seconds_since(start) < kQuietMaxS && seconds_since(changed) < kQuietS) {
    TRY(wire.take());
    const probe_counts counts = TRY(wire.counts());
    const std::uint64_t answers = counts.answered + counts.refused;
    if (answers != seen) changed = pg::now_ns();
    seen = answers;
    ::usleep(1000);
  }
  return {};
}

Status generate(pg::Wire& wire, const Arguments& arguments, pg::Figures& figures) {
  const pg::Pace pace(arguments.rate, wire.burst());
  const std::uint64_t start = pg::now_ns();
  while (figures.seconds < arguments.seconds && stopped == 0) {
    const std::size_t due = pace.due(figures.seconds, figures.sent);
    if (due != 0) figures.sent += TRY(wire.send(due));
    TRY(wire.take());
    figures.seconds = seconds_since(start);
  }
  TRY(wait_for_the_last(wire));
  figures.counts = TRY(wire.counts());
  return {};
}

Status measure(const Arguments& arguments) {
  pg::Traffic traffic{.target = TRY_IN("--target", mesh::SocketAddress::parse(arguments.target)),
                      .protocol = arguments.tcp_syn ? pg::Protocol::kTcpSyn : pg::Protocol::kUdp,
                      .bytes = arguments.bytes,
                      .ports = pg::flow_order(arguments.flows, arguments.seed)};
  const pg::Route route = TRY(route_of(arguments, traffic.target));
  if (arguments.mode != "dpdk" && arguments.mode != "af_xdp") TRY(mesh::bench::pin_to(arguments.cpu));
  const pg::WirePtr wire = TRY(open_wire(arguments, route, traffic));
  pg::Figures figures{.target = arguments.target,
                      .protocol = arguments.tcp_syn ? "tcp-syn" : "udp",
                      .mode = arguments.mode,
                      .interface = route.interface.empty() ? arguments.device : route.interface,
                      .flows = traffic.ports.size(),
                      .bytes = traffic.bytes};
  TRY(generate(*wire, arguments, figures));
  const std::string text =
      arguments.format == "json" ? mesh::to_text(pg::to_json(figures)) + "\n" : pg::to_table(figures);
  std::fputs(text.c_str(), stdout);
  return {};
}

Status sink(const Arguments& arguments) {
  TRY(mesh::bench::pin_to(arguments.cpu));
  const pg::EchoFigures figures = TRY(pg::echo(arguments.sink_port, arguments.seconds, stopped));
  const double pps = figures.seconds > 0 ? static_cast<double>(figures.received) / figures.seconds : 0;
  std::printf("{\"received\": %llu, \"answered\": %llu, \"seconds\": %.4f, \"received_pps\": %.0f}\n",
              static_cast<unsigned long long>(figures.received), static_cast<unsigned long long>(figures.answered),
              figures.seconds, pps);
  return {};
}

void add_options(CLI::App& app, Arguments& arguments) {
  CLI::Option* target = app.add_option("--target", arguments.target, "ADDRESS:PORT that is asked (IPv4)");
  CLI::Option* sink_port = app.add_option("--sink", arguments.sink_port, "UDP port: send everything back");
  sink_port->excludes(target);
  app.add_option("--flows", arguments.flows, "source ports, in pseudo-random order; 65536 are all 65535")
      ->check(CLI::Range(1U, PROBE_FLOWS_MAX))
      ->capture_default_str();
  app.add_option("--seed", arguments.seed, "of that order")->capture_default_str();
  app.add_option("--rate", arguments.rate, "packets per second; 0: as fast as it goes")->check(CLI::NonNegativeNumber);
  app.add_option("--size", arguments.bytes, "bytes of a frame without its checksum")->capture_default_str();
  app.add_option("--duration", arguments.seconds, "seconds of sending, or of the sink (0: no end)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  CLI::Option* udp = app.add_flag("--udp", arguments.udp, "datagrams that come back (the default)");
  app.add_flag("--tcp-syn", arguments.tcp_syn, "SYNs that are answered")->excludes(udp);
  app.add_option("--interface", arguments.interface, "where to send; default: where the kernel would");
  app.add_option("--source", arguments.source, "address to send from, with --next-hop, instead of the kernel's route");
  app.add_option("--next-hop", arguments.next_hop, "MAC address to send to");
  app.add_option("--mode", arguments.mode, "how frames get on the wire")
      ->check(CLI::IsMember({"live-frames", "af_packet", "af_xdp", "dpdk"}))
      ->capture_default_str();
  app.add_option("--device", arguments.device, "of DPDK: a PCI address, or as net_af_packet,iface=eth0");
  app.add_option("--cpu", arguments.cpu, "pin to this CPU");
  app.add_option("--format", arguments.format)->check(CLI::IsMember({"table", "json"}))->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("packets per second of a published port");
  Arguments arguments;
  add_options(app, arguments);
  CLI11_PARSE(app, argc, argv);
  struct sigaction action{};
  action.sa_handler = [](int) { stopped = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  Status status = mesh::fail(ErrorKind::kInvalid, "--target ADDRESS:PORT or --sink PORT is needed (--help)");
  if (arguments.sink_port != 0) {
    if (app.count("--duration") == 0) arguments.seconds = 0;
    status = sink(arguments);
  } else if (!arguments.target.empty()) {
    status = measure(arguments);
  }
  if (status) return 0;
  std::fprintf(stderr, "mesh-pktgen: %s\n", status.error().message.c_str());
  return 1;
}
