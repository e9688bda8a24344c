// This host's kernel as the agent programs it: overlay, data plane and names, always together and in this order, so
// that a table version is held by all three before it is acknowledged. Blocking; calls from several threads wait for
// each other.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/agent/dns_process.h"
#include "control/agent/held_tables.h"
#include "control/agent/node_view.h"
#include "control/agent/packet_wait.h"
#include "control/agent/uplinks.h"
#include "control/api/local_node.h"
#include "control/cluster/messages.h"
#include "control/model/trace.h"
#include "dataplane/dataplane.h"
#include "dataplane/trace.h"
#include "vxlan/overlay.h"

namespace mesh::agent {

struct NodeKernelOptions {
  std::string run_dir;
  std::string pin_dir;
  std::string cgroup_hook_directory;
  UplinkOptions uplinks;
  DnsProcessOptions dns;
};

// What to make true.
struct KernelInput {
  std::optional<model::EndpointTables> tables;  // absent: those of the calls before
  std::vector<model::TableChange> changes;      // of them, each the next one for what the one before leaves
  // Nothing but the changes is new since the last call, what follows is as it was. Then the pass costs what they touch,
  // if the last one left nothing undone.
  bool only_changes = false;
  GatewayFacts gateway;
  std::vector<model::Task> tasks;  // whose network should exist
  vxlan::Overlay::Pass pass = vxlan::Overlay::Pass::kDirty;
  bool network_changed = false;  // the host's routes are read again; a full pass does too
};

struct KernelOutput {
  model::TableVersion version;
  bool complete = false;  // overlay and data plane answered; the version is in the kernel but for the problems
  std::set<std::string> linked_tasks;     // their network is complete and known to the data plane
  std::vector<std::string> problems;      // what could not be programmed, one line each
  std::vector<std::string> overlaps;      // networks of the cluster that overlap a route of this host
  std::vector<api::UplinkState> uplinks;  // now
  std::vector<std::string>
      uplink_problems;       // why one of them is not as wanted; looked at again when the network changes
  std::vector<Cidr> routes;  // that this host has of its own
  pid_t names_pid = 0;       // the mesh-dns that has the names; 0: none
  std::size_t drift = 0;     // that a full pass found and mended
};

class NodeKernel {
 public:
  // Finds the uplinks. Overlay and data plane are opened by the first apply(), off the loop: to load programs into the
  // kernel takes a second, and a host in no cluster needs none.
  [[nodiscard]] static Result<std::unique_ptr<NodeKernel>> open(NodeKernelOptions options);

  [[nodiscard]] KernelOutput apply(KernelInput input);
  // A copy of what the calls of apply() gave, programmed or not.
  [[nodiscard]] model::EndpointTables tables() const;
  // FLOWS, DROP: only ports where the tables say that this host may hold foreign flows.
  [[nodiscard]] std::vector<cluster::ForeignReport> scan();
  [[nodiscard]] Result<Json> inspect(api::DataplanePart part) const;
  // This host's part of a packet's walk.
  [[nodiscard]] model::TraceAnswer trace(const model::TraceQuestion& question);
  // The same from the next real packet on that the question is about. Blocks until it has come, its time is over, or
  // `wait` is; only at the beginning and at the end do other calls wait for this one.
  [[nodiscard]] model::TraceAnswer trace_next(const model::TraceQuestion& question, const PacketWait& wait);
  // What the kernel has counted; without a data plane nothing, `in_kernel` says so.
  [[nodiscard]] Result<api::NodeMetrics> metrics();
  // Empties the kernel (hooks, links, namespaces, names): this host has left its cluster.
  Status clear();

  [[nodiscard]] std::vector<api::UplinkState> uplinks() const;

 private:
  explicit NodeKernel(NodeKernelOptions options);
  Status open_parts();
  Status take_tables(KernelInput& input);
  [[nodiscard]] View view() const { return {held_.tables(), gateway_, facts_, tasks_}; }
  void apply_all(const KernelInput& input, KernelOutput& output);
  // False: everything must be made anew.
  [[nodiscard]] bool apply_changes(KernelOutput& output);
  [[nodiscard]] bool reserve(const std::vector<std::uint16_t>& ports);
  void note(const dataplane::Report& report, KernelOutput& output);
  // Indexes of the interfaces towards the other hosts.
  [[nodiscard]] std::set<std::uint32_t> add_routes(std::vector<std::string>& problems);
  void apply_names(dns::Desired names, KernelOutput& output);
  void change_names(const std::set<std::string>& networks, KernelOutput& output);
  void find_overlaps(bool read, KernelOutput& output);
  [[nodiscard]] Result<Json> inspect_status() const;
  [[nodiscard]] Result<std::optional<dataplane::CaughtPacket>> catch_packet(const model::TraceCatch& next,
                                                                            const PacketWait& wait);

  mutable std::mutex mutex_;
  NodeKernelOptions options_;
  Uplinks uplinks_;
  std::optional<vxlan::Overlay> overlay_;
  std::optional<vxlan::Desired> wired_;  // what the overlay was told last
  std::optional<dataplane::Dataplane> dataplane_;
  DnsProcess dns_;
  dns::Desired names_;  // last fed, with its version
  std::string resolv_conf_path_ = "/etc/resolv.conf";
  HeldTables held_;
  GatewayFacts gateway_;
  std::vector<model::Task> tasks_;
  HostFacts facts_;        // of the last pass that made everything anew
  bool complete_ = false;  // the last pass left nothing undone
  std::set<std::string> linked_tasks_;
  pid_t names_pid_ = 0;
  model::TableVersion applied_;
  std::vector<std::string> problems_;
  std::vector<vxlan::HostRoute> routes_;
  std::vector<std::string> overlaps_;
};

}  // namespace mesh::agent
