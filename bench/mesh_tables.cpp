// mesh-tables: what changes of the cluster's tables cost a host with many services, from the manager's message to the
// kernel: text to values, the disk, overlay, data plane and names.
//   mesh-tables --pin-dir DIR --dir DIR --uplink NAME [--services 10000] [--backends 10] [--rounds 5]
// Prints JSON: milliseconds of processor time of one endpoint change, of 1,000 changes that wait, of tables that are
// made anew as a whole; of a start that finds them on the disk and in the kernel (wall clock); bytes of this process.
// Needs a bpffs and a network namespace of its own, whose uplink has 192.0.2.1.
#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/json.h"
#include "base/log.h"
#include "bench/cost.h"
#include "bpf/abi.h"
#include "control/agent/node_kernel.h"
#include "control/agent/records.h"

namespace {

namespace model = mesh::model;
using mesh::IpAddress;
using mesh::Result;
using mesh::Status;
using mesh::agent::KernelInput;
using mesh::agent::NodeKernel;
using mesh::bench::processor_ms;
using mesh::bench::resident_bytes;
using mesh::bench::wall_ms;

constexpr std::uint16_t kSelf = 1;
constexpr std::uint16_t kNodes = 10;  // other hosts
constexpr std::uint16_t kFirstPort = 20000;
constexpr std::size_t kBatch = 1000;
constexpr const char* kNetwork = "usernetworkid000000000001";
constexpr std::uint16_t kWithNetwork = 4;  // of so many services one: a kernel has room for no more addresses

struct Arguments {
  std::string pin_dir, dir, uplink;
  std::uint16_t services = 10000, backends = 10;
  std::uint32_t rounds = 5;
};

// `out`: how many of its tasks are not in it.
void fill_ring(model::PortRow& port, std::size_t out) {
  ++port.ring_version;
  port.owners.clear();
  for (std::size_t slot = 0; slot < 256; ++slot) {
    port.owners.push_back(static_cast<std::uint8_t>(slot % (port.backends.size() - out)));
  }
}

model::ServiceRow service_of(std::uint16_t number) {
  model::ServiceRow service;
  service.id = fmt::format("serviceid{:016}", number);
  service.name = fmt::format("service-{}", number);
  if (number % kWithNetwork == 0) service.virtual_ips = {{kNetwork, IpAddress::v4(0x0b000100U + number), {}, {}}};
  model::PortRow port;
  port.protocol = "tcp";
  port.published = static_cast<std::uint16_t>(kFirstPort + number);
  port.target = 80;
  service.ports.push_back(port);
  return service;
}

model::EndpointRow task_of(const model::ServiceRow& service, std::uint32_t number) {
  model::EndpointRow task;
  task.task_id = fmt::format("taskid{:019}", number);
  task.service_id = service.id;
  task.name = fmt::format("{}.1.{}", service.name, task.task_id);
  task.hostname = task.task_id.substr(0, 12);
  task.node = static_cast<std::uint16_t>(kSelf + 1 + number % kNodes);
  task.ingress_v4 = IpAddress::v4(0x0a000100U + number);
  if (!service.virtual_ips.empty()) task.networks = {{kNetwork, IpAddress::v4(0x0b010000U + number), {}, {}}};
  task.serving = true;
  return task;
}

Result<model::EndpointTables> cluster_of(const Arguments& arguments) {
  model::EndpointTables tables;
  tables.version = {1, 1};
  tables.networks = {
      {"ingressnetworkid000000001", "ingress", MESH_VNI_MIN, TRY(mesh::Cidr::parse("10.0.0.0/12")), {}, false, true},
      {kNetwork, "back", MESH_VNI_MIN + 1, TRY(mesh::Cidr::parse("11.0.0.0/8")), {}, false, false}};
  for (std::uint16_t number = kSelf; number <= kSelf + kNodes; ++number) {
    const IpAddress address = IpAddress::v4(0xc0000200U + number);
    tables.nodes.push_back({fmt::format("node{}", number), number, fmt::format("host{}", number), address, {address}});
  }
  std::uint32_t task = 0;
  for (std::uint16_t number = 0; number < arguments.services; ++number) {
    model::ServiceRow service = service_of(number);
    model::PortRow& port = service.ports[0];
    for (std::uint16_t i = 0; i < arguments.backends; ++i) {
      const model::EndpointRow row = task_of(service, task++);
      port.backends.push_back({row.task_id, row.node, static_cast<std::uint16_t>(1 + number)});
      tables.endpoints.push_back(row);
    }
    fill_ring(port, 0);
    tables.services.push_back(std::move(service));
  }
  return tables;
}

// One endpoint of the service stops serving, or serves again, as a manager's message says it.
std::string change_of(model::EndpointTables& tables, std::size_t service, std::uint16_t backends) {
  model::EndpointRow& task = tables.endpoints[service * backends + backends - 1U];
  task.serving = !task.serving;
  fill_ring(tables.services[service].ports[0], task.serving ? 0 : 1);
  model::TableChange change{.from = tables.version};
  ++tables.version.version;
  change.upsert.version = tables.version;
  change.upsert.services = {tables.services[service]};
  change.upsert.endpoints = {task};
  return mesh::to_text(mesh::encode(change));
}

class Host {
 public:
  explicit Host(const Arguments& arguments) : arguments_(arguments) {
    options_.run_dir = arguments.dir + "/run";
    options_.pin_dir = arguments.pin_dir;
    options_.uplinks.named = {arguments.uplink};
    // The bench is no cluster's host: without a gateway there are neither links nor names.
    input_.gateway.node_number = kSelf;
  }

  Status open() {
    kernel_ = TRY(NodeKernel::open(options_));
    version_ = {};
    return {};
  }
  Status apply(KernelInput input) {
    const model::TableVersion before = version_;
    const mesh::agent::KernelOutput output = kernel_->apply(std::move(input));
    version_ = output.version;
    for (const std::string& problem : output.problems) return mesh::fail(mesh::ErrorKind::kInternal, problem);
    if (!output.complete || version_ == before) return mesh::fail(mesh::ErrorKind::kInternal, "nothing was programmed");
    return {};
  }
  Status take_all(model::EndpointTables tables) {
    KernelInput input = input_;
    input.tables = std::move(tables);
    return apply(std::move(input));
  }
  Status take_changes(const std::vector<std::string>& messages) {
    KernelInput input = input_;
    input.only_changes = true;
    for (const std::string& text : messages) {
      input.changes.push_back(TRY(mesh::decode_text<model::TableChange>(text)));
    }
    if (!TRY(mesh::agent::save_changes(arguments_.dir, input.changes))) {
      TRY(mesh::agent::save_tables(arguments_.dir, kernel_->tables()));
    }
    return apply(std::move(input));
  }
  Status clear() { return kernel_->clear(); }

 private:
  const Arguments& arguments_;
  mesh::agent::NodeKernelOptions options_;
  KernelInput input_;
  std::unique_ptr<NodeKernel> kernel_;
  model::TableVersion version_;
};

template <class Work>
Result<double> spent(double (*clock)(), Work work) {
  const double before = clock();
  TRY(work());
  return clock() - before;
}

// The manager's side of it is built, and gone before memory is asked for.
Result<mesh::JsonObject> measure(const Arguments& arguments, Host& host) {
  mesh::JsonObject result;
  mesh::JsonArray one_ms, many_ms, all_ms, start_ms;
  model::EndpointTables tables = TRY(cluster_of(arguments));
  TRY(mesh::agent::save_tables(arguments.dir, tables));
  TRY(host.open());
  TRY(host.take_all(tables));
  for (std::uint32_t round = 0; round < arguments.rounds; ++round) {
    std::vector<std::string> messages = {change_of(tables, round % arguments.services, arguments.backends)};
    one_ms.push_back(TRY(spent(processor_ms, [&] { return host.take_changes(messages); })));
    messages.clear();
    for (std::size_t i = 0; i < kBatch; ++i) {
      messages.push_back(change_of(tables, i % arguments.services, arguments.backends));
    }
    many_ms.push_back(TRY(spent(processor_ms, [&] { return host.take_changes(messages); })));
    change_of(tables, 0, arguments.backends);
    all_ms.push_back(TRY(spent(processor_ms, [&] { return host.take_all(tables); })));
  }
  TRY(mesh::agent::save_tables(arguments.dir, tables));
  tables = {};
  for (std::uint32_t round = 0; round < arguments.rounds; ++round) {
    TRY(host.open());
    start_ms.push_back(
        TRY(spent(wall_ms, [&]() -> Status { return host.take_all(TRY(mesh::agent::load_tables(arguments.dir))); })));
  }
  result["change_ms"] = std::move(one_ms);
  result["batch_ms"] = std::move(many_ms);
  result["all_ms"] = std::move(all_ms);
  result["start_ms"] = std::move(start_ms);
  result["resident_bytes"] = TRY(resident_bytes());
  return result;
}

Status run(const Arguments& arguments) {
  TRY(mesh::set_up_log("error"));
  mesh::bench::want_many_files();
  Host host(arguments);
  const auto result = measure(arguments, host);
  const Status cleaned = host.clear();
  if (!result) return std::unexpected(result.error());
  std::puts(mesh::to_text(*result).c_str());
  return cleaned;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("what changes of the cluster's tables cost a host with many services");
  Arguments arguments;
  app.add_option("--pin-dir", arguments.pin_dir, "on a bpffs")->required();
  app.add_option("--dir", arguments.dir, "for everything else")->required();
  app.add_option("--uplink", arguments.uplink)->required();
  app.add_option("--services", arguments.services)->check(CLI::Range(1, 20000));
  app.add_option("--backends", arguments.backends, "of each")->check(CLI::Range(2, 100));
  app.add_option("--rounds", arguments.rounds)->check(CLI::Range(1U, 1000U));
  CLI11_PARSE(app, argc, argv);
  const Status status = run(arguments);
  if (status) return 0;
  std::fprintf(stderr, "mesh-tables: %s\n", status.error().message.c_str());
  return 1;
}
