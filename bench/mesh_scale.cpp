// mesh-scale: what the data plane's control costs with many services: values to the kernel's tables and back.
//   mesh-scale --pin-dir DIR [--services 10000] [--backends 10] [--rounds 5]
// Prints JSON: services that the tables hold, milliseconds of processor time of one endpoint change, of 1,000 changes
// in one go, of a start that finds everything pinned (wall clock), bytes of maps and of this process. Needs a bpffs and
// a network namespace of its own: each published port is held by a placeholder socket.
#include <algorithm>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/json.h"
#include "bench/cost.h"
#include "bpf/abi.h"
#include "dataplane/dataplane.h"

namespace {

namespace dp = mesh::dataplane;
using mesh::Result;
using mesh::Status;
using mesh::bench::processor_ms;
using mesh::bench::resident_bytes;
using mesh::bench::wall_ms;

constexpr std::uint16_t kNodes = 10;  // other hosts
constexpr std::uint16_t kFirstPort = 20000;
constexpr std::uint32_t kIngressVni = MESH_VNI_MIN;
constexpr std::size_t kBatch = 1000;

struct Arguments {
  std::string pin_dir;
  std::uint16_t services = 10000, backends = 10;
  std::uint32_t rounds = 5;
};

mesh::IpAddress node_address(std::uint16_t number) { return mesh::IpAddress::v4(0xc0000200U + number); }

// Every backend in turn; `members`: how many of them are ready.
dp::Ring ring_of(std::uint32_t version, std::uint16_t members) {
  dp::Ring ring{.version = version};
  for (std::size_t slot = 0; slot < 256; ++slot) ring.owners.push_back(static_cast<std::uint8_t>(slot % members));
  return ring;
}

dp::PublishedPort port_of(std::uint16_t number, std::uint16_t backends) {
  dp::PublishedPort port;
  port.service_id = port.service_name = fmt::format("service-{}", number);
  port.port = static_cast<std::uint16_t>(kFirstPort + number);
  for (std::uint16_t i = 0; i < backends; ++i) {
    const auto node = static_cast<std::uint16_t>(2 + i % kNodes);
    port.backends.push_back({.node = node, .binding = static_cast<std::uint16_t>(1 + number)});
  }
  port.ring = ring_of(1, backends);
  return port;
}

Result<dp::Desired> cluster_of(const Arguments& arguments) {
  dp::Desired desired;
  desired.self = 1;
  desired.networks = {{.vni = kIngressVni, .subnet_v4 = TRY(mesh::Cidr::parse("10.0.0.0/12")), .ingress = true}};
  desired.gateway_v4 = mesh::IpAddress::v4(0x0a000001U);
  desired.mesh_v4 = mesh::IpAddress::v4(0x0a000002U);
  for (std::uint16_t number = 1; number <= kNodes + 1; ++number) {
    dp::Node node{.number = number, .address = node_address(number), .addresses = {node_address(number)}};
    if (number != desired.self) node.ifindex = 1;
    desired.nodes.push_back(node);
  }
  std::uint32_t task = 0;
  for (std::uint16_t number = 0; number < arguments.services; ++number) {
    desired.ports.push_back(port_of(number, arguments.backends));
    for (const dp::Backend& backend : desired.ports.back().backends) {
      const mesh::IpAddress address = mesh::IpAddress::v4(0x0a000100U + task);
      desired.endpoints.push_back({.task_id = fmt::format("task-{}", task++),
                                   .node = backend.node,
                                   .ingress_v4 = address,
                                   .addresses = {{kIngressVni, address}}});
    }
  }
  return desired;
}

// One endpoint of the service leaves its ring, or comes back.
void change(dp::Desired& desired, std::size_t service, std::uint16_t backends) {
  dp::PublishedPort& port = desired.ports[service];
  const std::uint32_t version = port.ring.version + 1;
  port.ring = ring_of(version, static_cast<std::uint16_t>(backends - version % 2));
}

// What it costs that so many services change at once.
Result<double> change_ms(dp::Dataplane& dataplane, dp::Desired& desired, std::size_t first, std::size_t count,
                         std::uint16_t backends) {
  dp::Change changes;
  for (std::size_t i = first; i < std::min(first + count, desired.ports.size()); ++i) {
    change(desired, i, backends);
    changes.ports.push_back(desired.ports[i]);
  }
  const double before = processor_ms();
  const dp::Report report = TRY(dataplane.change(changes));
  const double elapsed = processor_ms() - before;
  if (!report.problems.empty()) return mesh::fail(mesh::ErrorKind::kInternal, report.problems.front().message);
  return elapsed;
}

// The tables hold only so many: the others are refused, each with its reason.
std::size_t refused(const dp::Report& report, std::string& first) {
  for (const dp::Problem& problem : report.problems) {
    if (problem.kind != dp::Problem::Kind::kPort && problem.kind != dp::Problem::Kind::kLimit) continue;
    if (first.empty()) first = problem.message;
  }
  return static_cast<std::size_t>(std::ranges::count_if(
      report.problems, [](const dp::Problem& problem) { return problem.kind == dp::Problem::Kind::kPort; }));
}

Result<mesh::JsonObject> map_bytes(const dp::Dataplane& dataplane) {
  const dp::Inspection inspection = TRY(dataplane.inspect());
  mesh::JsonObject bytes;
  for (const dp::InspectedMap& map : inspection.maps) bytes[map.name] = map.bytes;
  return bytes;
}

Status measure(const Arguments& arguments, const dp::Options& options) {
  dp::Desired desired = TRY(cluster_of(arguments));
  mesh::JsonObject result;
  mesh::JsonArray one_ms, many_ms, full_ms, start_ms;
  {
    dp::Dataplane dataplane = TRY(dp::Dataplane::open(options));
    const double begin = wall_ms();
    const dp::Report report = TRY(dataplane.reconcile(desired));
    result["fill_ms"] = wall_ms() - begin;
    std::string reason;
    result["services"] = arguments.services - refused(report, reason);
    result["refused"] = reason;
    for (std::uint32_t round = 0; round < arguments.rounds; ++round) {
      one_ms.push_back(TRY(change_ms(dataplane, desired, round % desired.ports.size(), 1, arguments.backends)));
      many_ms.push_back(TRY(change_ms(dataplane, desired, 0, kBatch, arguments.backends)));
      const double before = processor_ms();
      TRY(dataplane.reconcile(desired, dp::Dataplane::Pass::kFull));
      full_ms.emplace_back(processor_ms() - before);
    }
    result["maps"] = TRY(map_bytes(dataplane));
    result["resident_bytes"] = TRY(resident_bytes());
  }
  for (std::uint32_t round = 0; round < arguments.rounds; ++round) {
    const double begin = wall_ms();
    dp::Dataplane dataplane = TRY(dp::Dataplane::open(options));
    TRY(dataplane.reconcile(desired));
    start_ms.emplace_back(wall_ms() - begin);
  }
  result["change_ms"] = std::move(one_ms);
  result["batch_ms"] = std::move(many_ms);
  result["full_ms"] = std::move(full_ms);
  result["start_ms"] = std::move(start_ms);
  std::puts(mesh::to_text(result).c_str());
  return {};
}

Status run(const Arguments& arguments) {
  mesh::bench::want_many_files();
  const dp::Options options{.pin_dir = arguments.pin_dir};
  const Status measured = measure(arguments, options);
  const Status cleaned = dp::Dataplane::cleanup(options);
  return measured ? cleaned : measured;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("what the data plane's control costs with many services");
  Arguments arguments;
  app.add_option("--pin-dir", arguments.pin_dir, "on a bpffs")->required();
  app.add_option("--services", arguments.services)->check(CLI::Range(1, 20000));
  app.add_option("--backends", arguments.backends, "of each")->check(CLI::Range(2, 100));
  app.add_option("--rounds", arguments.rounds)->check(CLI::Range(1U, 1000U));
  CLI11_PARSE(app, argc, argv);
  const Status status = run(arguments);
  if (status) return 0;
  std::fprintf(stderr, "mesh-scale: %s\n", status.error().message.c_str());
  return 1;
}
