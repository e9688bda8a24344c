// The agent: what one host does for the cluster. It runs the tasks assigned to this node, holds the images they need,
// turns the cluster's tables into what this kernel should hold (dataplane, vxlan, dns), and reports back.
//
// Loop-driven: every call is made, and every callback comes, on the thread of the io_context. Blocking work runs in
// child processes and on a small pool. The agent owns no connection: `handle` takes what a manager sent, `on_send`
// gives what a manager should get; between sessions it goes on with what it was last told, also over a restart of
// meshd (state below data_dir).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/address.h"
#include "control/api/local_node.h"
#include "control/cluster/messages.h"

namespace boost::asio {
class io_context;
}

namespace mesh::agent {

struct Options {
  std::string data_dir = "/var/lib/meshd";    // images, containers, last tables
  std::string runtime_dir = "/run/meshd";     // namespaces, runtime state, sockets; empty after boot
  std::string pin_dir = "/sys/fs/bpf/meshd";  // pinned programs and maps
  std::string cgroup_root;                    // cgroup path prefix below each hierarchy, "/meshd"; empty: "/meshd"
  // Interfaces; empty: the one that has `advertise`, those of the default route and of the routes to other hosts.
  std::vector<std::string> uplinks;
  std::string uplink_mode = "auto";        // auto, xdp, tc
  std::string registry_mirror;             // of docker.io, [https://]HOST[:PORT]; empty: none
  IpAddress advertise;                     // cluster address; unset: the uplink's first address
  std::string hostname;                    // empty: uname's
  std::string program = "/proc/self/exe";  // re-executed as mesh-dns
  std::string engine_version = "0.1.0";    // of the node description
};

class Agent final : public api::LocalNode {
 public:
  Agent(boost::asio::io_context& loop, Options options);
  // Drops the object and leaves everything running: containers, programs, names.
  ~Agent() override;
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Opens data_dir, finds the container runtime and the uplink, loads the data plane and adopts what runs already.
  // Errors name what this host lacks. Call once.
  Status start();

  // ---- session
  // Messages for the manager of the current session. Called only between connected() and disconnected().
  void on_send(std::function<void(const cluster::AgentMessage&)> send);
  // A message could not be applied (a gap in the table versions): the caller ends the session and says hello again.
  void on_resync(std::function<void(std::string reason)> resync);
  // The hello of a new session: `have` is the table version in this kernel.
  [[nodiscard]] cluster::Hello hello() const;
  // A session is open and hello was sent. The states of all tasks are reported again.
  void connected();
  void disconnected();
  void handle(const cluster::ManagerMessage& message);

  // This node's id, from its certificate; set before start() or when the node joins.
  void set_node_id(std::string node_id);
  [[nodiscard]] model::NodeDescription description() const;
  // The address that was chosen (options.advertise or the uplink's); unset before start().
  [[nodiscard]] IpAddress address() const;

  // ---- end
  // Stops working and leaves everything running; nothing is called back afterwards.
  void shutdown();
  // Stops and removes every task, empties the data plane, forgets the tables. For `swarm leave`.
  void leave(std::function<void(Status)> done);
  // Removes every trace on this host: containers, namespaces, links, programs, pins, cgroups, mounts, mesh-dns, images,
  // the agent's part of data_dir. No meshd may run. Goes on after errors and reports them all.
  static Status cleanup(const Options& options);

  // ---- api::LocalNode
  [[nodiscard]] api::ContainerCounts container_counts() const override;
  [[nodiscard]] api::LimitSupport limits() const override;
  [[nodiscard]] std::vector<api::UplinkState> uplinks() const override;
  [[nodiscard]] std::vector<api::ImageSummary> images() const override;
  [[nodiscard]] Result<api::ImageDetail> image(std::string_view name) const override;
  void pull_image(const std::string& reference, const api::RegistryAuth& auth,
                  std::function<void(const api::PullProgress&)> progress,
                  std::function<void(Result<std::string>)> done) override;
  void resolve_image(const std::string& reference, const api::RegistryAuth& auth,
                     std::function<void(Result<api::RemoteImage>)> done) override;
  [[nodiscard]] std::vector<model::NetworkRow> networks() const override;
  void dataplane(api::DataplanePart part, std::function<void(Result<Json>)> done) override;
  void metrics(std::function<void(Result<api::NodeMetrics>)> done) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::agent
