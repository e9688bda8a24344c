// The inside of Agent: one object, its methods in four files by noun (agent_tasks, agent_tables, agent_images, agent).
// Everything here belongs to the loop's thread; jobs on the pools get values.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio.hpp>

#include "control/agent/agent.h"
#include "control/agent/host_check.h"
#include "control/agent/image_pull.h"
#include "control/agent/node_kernel.h"
#include "control/agent/records.h"
#include "control/agent/task_step.h"
#include "control/agent/work_pool.h"
#include "vxlan/source_probe.h"

namespace mesh::agent {

// options.hostname, else uname's.
[[nodiscard]] std::string hostname_of(const Options& options);

// Traces that wait for a packet on this host at a time: each has two programs on the packets' way, and a thread.
inline constexpr std::size_t kPacketWaitsMax = 4;

// What came for the kernel since the last pass.
struct WaitingTables {
  std::optional<model::EndpointTables> tables;
  bool from_disk = false;                   // the tables
  std::vector<model::TableChange> changes;  // of them, or of what came before
};

// One task of this host and everything that is under way for it.
// What this host hears while the underlay is probed for direct answers.
struct ProbeListening {
  std::mutex mutex;
  std::optional<vxlan::ProbeListener> listener;
  Time opened{};
};

struct LocalTask {
  model::Task task;
  TaskFacts facts;
  std::optional<ContainerConfig> config;
  HealthState health;
  bool probing = false;
  bool reported = false;                             // its status was sent in this session
  std::unique_ptr<boost::asio::steady_timer> timer;  // step.wake
  std::unique_ptr<boost::asio::steady_timer> probe_timer;
  std::unique_ptr<boost::asio::posix::stream_descriptor> monitor;  // pidfd of its conmon
};

class Agent::Impl : public std::enable_shared_from_this<Agent::Impl> {
 public:
  Impl(boost::asio::io_context& loop, Options options);

  // ---- agent.cpp
  Status start();
  void stop();
  void leave(std::function<void(Status)> done);
  void finish_leaving();
  [[nodiscard]] cluster::Hello hello() const;
  void connected();
  void handle(const cluster::ManagerMessage& message);
  void send(const cluster::AgentMessage& message);

  // ---- agent_tasks.cpp
  void load_tasks(const NodeRecords& records);
  void take_assignments(const cluster::Assignments& assignments);
  void take_assignment_change(const cluster::AssignmentChange& change);
  void take_task(const model::Task& task);
  void poke(const std::string& task_id);
  void poke_all();
  void perform(LocalTask& local, TaskAction action);
  void pull_for(LocalTask& local);
  void image_ready(const std::string& task_id, const Result<PulledImage>& pulled);
  void start_container(LocalTask& local);
  void send_signal(LocalTask& local, int signal_number, Attempt TaskFacts::* attempt);
  void release_container(LocalTask& local);
  void remove_task(LocalTask& local);
  void watch_monitor(LocalTask& local);
  void observe(const std::string& task_id);
  void schedule_probe(LocalTask& local);
  void probe(const std::string& task_id);
  void set_status(LocalTask& local, const model::TaskStatus& status);
  void report_soon();
  void report();
  [[nodiscard]] LocalTask* find(const std::string& task_id);

  // ---- agent_tables.cpp
  void take_welcome(const cluster::Welcome& welcome);
  void take_tables(const model::EndpointTables& tables);
  void take_table_change(const model::TableChange& change);
  void apply_soon();          // everything
  void apply_changes_soon();  // what waits
  void apply_now();
  void program();
  void applied(const KernelOutput& output, bool only_changes);
  void acknowledge();
  void tell_network(const std::vector<Cidr>& routes);
  void answer_ports(const cluster::PortQuestion& question);
  void answer_trace(const model::TraceQuestion& question);
  void wait_for_packet(const model::TraceQuestion& question);
  void tell_trace(const model::TraceAnswer& answer);
  void watch_network();
  void tick_scan();
  void tick_full_pass();
  void save_soon();
  void save_now();
  void save_then_program();
  [[nodiscard]] std::shared_ptr<NodeRecords> make_records() const;
  void watch_names(pid_t pid);
  [[nodiscard]] std::vector<IpAddress> own_addresses() const;
  void answer_probe(const model::ProbeQuestion& question);
  void stop_listening();

  // Calls `ended` when the process ends, unless what is returned goes before; null: it has ended already.
  [[nodiscard]] std::unique_ptr<boost::asio::posix::stream_descriptor> watch_process(pid_t pid,
                                                                                     std::function<void()> ended);

  // ---- agent_images.cpp
  void pull(const ImageReference& reference, const api::RegistryAuth& auth,
            std::function<void(const api::PullProgress&)> progress, std::function<void(Result<PulledImage>)> done);
  [[nodiscard]] RegistryAccess access(const api::RegistryAuth& auth) const;

  // A job for the loop that does nothing once the agent has stopped.
  template <class Call>
  auto guarded(Call call) {
    return [weak = weak_from_this(), call = std::move(call)](auto&&... args) mutable {
      const auto self = weak.lock();
      if (self && !self->stopped_) call(std::forward<decltype(args)>(args)...);
    };
  }
  void after(boost::asio::steady_timer& timer, Duration delay, std::function<void()> call);

  boost::asio::io_context& loop_;
  Options options_;
  std::string node_id_;
  bool started_ = false;
  bool stopped_ = false;
  bool connected_ = false;
  std::function<void(const cluster::AgentMessage&)> send_;
  std::function<void(std::string)> resync_;
  std::function<void(Status)> left_;  // leave() is under way

  CgroupLayout cgroups_;
  api::LimitSupport limits_;
  std::optional<ContainerRuntime> runtime_;
  std::optional<ImageStore> images_;
  std::shared_ptr<NodeKernel> kernel_;
  std::optional<vxlan::NetworkEvents> events_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> events_descriptor_;

  std::map<std::string, std::unique_ptr<LocalTask>> tasks_;
  bool report_scheduled_ = false;
  std::map<std::string, std::vector<std::function<void(Result<PulledImage>)>>> pulls_;  // by reference and credentials

  // Version and networks of the tables that came last. All of them are with the kernel.
  model::EndpointTables overview_;
  std::shared_ptr<WaitingTables> waiting_ = std::make_shared<WaitingTables>();
  std::shared_ptr<WaitingTables> taken_;  // by the pass that runs
  GatewayFacts gateway_;
  model::TableVersion applied_;                      // in this kernel
  std::optional<model::TableVersion> acknowledged_;  // in this session
  std::set<std::string> linked_;
  std::vector<std::string> problems_;
  std::uint64_t drift_ = 0;                 // since start()
  std::vector<std::string> problems_told_;  // with the last acknowledgement
  std::vector<api::UplinkState> uplinks_;
  std::shared_ptr<ProbeListening> probe_listening_ = std::make_shared<ProbeListening>();
  IpAddress address_;
  bool apply_wanted_ = false;
  bool all_wanted_ = false;             // by the next pass: more than what waits may be new
  bool all_taken_ = false;              // ... by the one that runs
  std::vector<std::string> networked_;  // tasks that the last pass gave a network
  bool apply_running_ = false;
  bool full_pass_wanted_ = true;
  bool network_changed_ = false;
  std::optional<cluster::NetworkReport> network_told_;  // in this session
  bool scan_running_ = false;
  bool save_scheduled_ = false;
  bool unsaved_ = false;      // gateway_ or assignments are not on the disk: before the next pass
  bool disk_known_ = true;    // it has the tables that the kernel was given
  std::string save_problem_;  // why they are not there; "": they are
  pid_t names_pid_ = 0;       // the mesh-dns that names_watch_ waits for
  Time names_seen_at_{};
  std::unique_ptr<boost::asio::posix::stream_descriptor> names_watch_;  // its pidfd

  std::map<std::string, std::shared_ptr<PacketWait>> packet_waits_;  // by trace

  boost::asio::steady_timer apply_timer_, scan_timer_, pass_timer_, save_timer_, names_timer_;

  WorkPool actions_, pulls_pool_, probes_, kernel_pool_, disk_, packets_;
};

}  // namespace mesh::agent
