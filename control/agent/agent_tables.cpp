// Tables: what the cluster looks like, made true in this kernel and acknowledged.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "control/agent/agent_impl.h"
#include "control/agent/table_merge.h"
#include "dataplane/port_holder.h"

namespace mesh::agent {
namespace {

constexpr Duration kListenMax = std::chrono::seconds(60);       // for probes of direct answers
constexpr Duration kScanPeriod = std::chrono::seconds(1);       // FLOWS, DROP
constexpr Duration kFullPassPeriod = std::chrono::seconds(30);  // looks for drift
constexpr Duration kApplyRetryDelay = std::chrono::seconds(1);
constexpr Duration kSaveDelay = std::chrono::milliseconds(50);  // joins a burst of changes into one write

// Everything: what the kernel was given before, with what it is to be given now.
Status save_all(const std::string& data_dir, const WaitingTables& taken, const NodeKernel& kernel) {
  if (taken.tables && taken.changes.empty()) return save_tables(data_dir, *taken.tables);
  model::EndpointTables tables = taken.tables ? *taken.tables : kernel.tables();
  TableMerger merger(tables);
  for (const model::TableChange& change : taken.changes) TRY(merger.merge(change));
  return save_tables(data_dir, tables);
}

// `known`: the disk has what the kernel was given.
Status save_taken(const std::string& data_dir, const WaitingTables& taken, bool known, const NodeKernel& kernel) {
  const bool new_tables = taken.tables && !taken.from_disk;
  if (known && !new_tables && (taken.changes.empty() || TRY(save_changes(data_dir, taken.changes)))) return {};
  return save_all(data_dir, taken, kernel);
}

}  // namespace

void Agent::Impl::take_welcome(const cluster::Welcome& welcome) {
  const GatewayFacts before = gateway_;
  gateway_.node_number = welcome.node_number;
  gateway_.gateway_v4 = welcome.gateway_v4;
  gateway_.gateway_v6 = welcome.gateway_v6;
  const bool changed = before.node_number != gateway_.node_number || before.gateway_v4 != gateway_.gateway_v4 ||
                       before.gateway_v6 != gateway_.gateway_v6;
  if (!changed) return;
  unsaved_ = true;
  apply_soon();
}

void Agent::Impl::take_tables(const model::EndpointTables& tables) {
  overview_ = {};
  overview_.version = tables.version;
  overview_.networks = tables.networks;
  *waiting_ = {.tables = tables};
  acknowledged_.reset();
  apply_soon();
}

void Agent::Impl::take_table_change(const model::TableChange& change) {
  const auto next = is_next(overview_.version, change);
  if (!next) {
    spdlog::warn("tables are asked for again reason=\"{}\"", next.error().message);
    if (resync_) resync_(next.error().message);
    return;
  }
  if (!*next) return;
  model::TableChange networks{.from = change.from};
  networks.upsert.version = change.upsert.version;
  networks.upsert.networks = change.upsert.networks;
  networks.removed_networks = change.removed_networks;
  (void)merge(overview_, networks);
  waiting_->changes.push_back(change);
  apply_changes_soon();
}

void Agent::Impl::apply_soon() {
  all_wanted_ = true;
  apply_changes_soon();
}

void Agent::Impl::apply_changes_soon() {
  if (apply_wanted_) return;
  apply_wanted_ = true;
  // After the current message: a burst becomes one pass.
  boost::asio::post(loop_, guarded([this] { apply_now(); }));
}

void Agent::Impl::apply_now() {
  if (!apply_wanted_ || apply_running_ || !kernel_) return;
  apply_wanted_ = false;
  // Before the first welcome there is nothing that this kernel should hold; without tables (their record was lost) it
  // is not known what it should hold, and they come with the session.
  if (gateway_.node_number == 0 || overview_.version == model::TableVersion{}) return;
  apply_running_ = true;
  all_taken_ = std::exchange(all_wanted_, false);
  taken_ = std::exchange(waiting_, std::make_shared<WaitingTables>());
  const bool new_tables = taken_->tables && !taken_->from_disk;
  if (unsaved_ || new_tables || !taken_->changes.empty() || !disk_known_) {
    save_then_program();
  } else {
    program();
  }
}

// On the disk first: a meshd that is killed and started again programs what is there, and must never take back what was
// acknowledged. One write for all that came during the last pass. A disk that fails is named, and does not hold up the
// cluster.
void Agent::Impl::save_then_program() {
  const auto records = std::exchange(unsaved_, false) ? make_records() : nullptr;
  disk_.run(
      [records, taken = taken_, known = disk_known_, kernel = kernel_, data_dir = options_.data_dir]() -> Status {
        if (records) TRY(save_records(data_dir, *records));
        return save_taken(data_dir, *taken, known, *kernel);
      },
      guarded([this](const Status& saved) {
        // This host left its cluster meanwhile: its kernel is being emptied.
        if (gateway_.node_number == 0) {
          apply_running_ = false;
          return;
        }
        save_problem_.clear();
        disk_known_ = saved.has_value();
        if (!saved) {
          unsaved_ = true;
          save_problem_ = fmt::format(
              "state of this host could not be saved, a restart of meshd would program what was saved before: {}",
              saved.error().message);
        }
        program();
      }));
}

// Programs what was written last. What came since has asked for the next pass.
void Agent::Impl::program() {
  KernelInput input;
  input.tables = std::move(taken_->tables);
  input.changes = std::move(taken_->changes);
  taken_.reset();
  input.gateway = gateway_;
  const bool full = std::exchange(full_pass_wanted_, false);
  input.pass = full ? vxlan::Overlay::Pass::kFull : vxlan::Overlay::Pass::kDirty;
  input.network_changed = std::exchange(network_changed_, false);
  std::vector<std::string> networked;
  for (const auto& [id, local] : tasks_) {
    if (wants_network(local->task, local->facts)) networked.push_back(id);
  }
  const bool only_changes = !all_taken_ && !full && !input.network_changed && networked == networked_;
  input.only_changes = only_changes;
  networked_ = std::move(networked);
  if (!only_changes) {
    for (const std::string& id : networked_) input.tasks.push_back(tasks_.at(id)->task);
  }
  kernel_pool_.run([kernel = kernel_, input = std::move(input)]() mutable { return kernel->apply(std::move(input)); },
                   guarded([this, only_changes](const KernelOutput& output) {
                     apply_running_ = false;
                     applied(output, only_changes);
                   }));
}

void Agent::Impl::applied(const KernelOutput& output, bool only_changes) {
  std::vector<std::string> problems = output.problems;
  if (!save_problem_.empty()) problems.push_back(save_problem_);
  const bool retry = !problems.empty();
  problems.insert(problems.end(), output.uplink_problems.begin(), output.uplink_problems.end());
  problems.insert(problems.end(), output.overlaps.begin(), output.overlaps.end());
  for (const std::string& problem : problems) {
    if (std::ranges::find(problems_, problem) == problems_.end()) spdlog::warn("{}", problem);
  }
  if (output.drift > 0) {
    spdlog::warn("kernel was changed by something else and is mended differences={}", output.drift);
  }
  drift_ += output.drift;
  uplinks_ = output.uplinks;
  // This host left its cluster meanwhile.
  if (gateway_.node_number == 0) return;
  problems_ = std::move(problems);
  bool poked = !only_changes;
  if (output.complete) {
    applied_ = output.version;
    poked = poked || linked_ != output.linked_tasks;
    linked_ = output.linked_tasks;
  }
  acknowledge();
  tell_network(output.routes);
  watch_names(output.names_pid);
  // Something that failed may work soon (a neighbour that does not answer yet, a port that is freed).
  if (retry) after(apply_timer_, kApplyRetryDelay, [this] { apply_soon(); });
  if (apply_wanted_) {
    boost::asio::post(loop_, guarded([this] { apply_now(); }));
  }
  if (poked) poke_all();
}

void Agent::Impl::acknowledge() {
  // A host that could program nothing acknowledges nothing, but says why.
  if (!connected_ || (applied_ == model::TableVersion{} && problems_.empty())) return;
  // Told again when a problem came or went: the manager shows the last ones.
  if (acknowledged_ == applied_ && problems_told_ == problems_) return;
  acknowledged_ = applied_;
  problems_told_ = problems_;
  cluster::AgentMessage message;
  message.acknowledge = cluster::Acknowledge{applied_, problems_};
  send(message);
}

// The hello had those of its moment.
void Agent::Impl::tell_network(const std::vector<Cidr>& routes) {
  cluster::NetworkReport report{routes, own_addresses(), {}};
  for (const api::UplinkState& uplink : uplinks_) report.interfaces.push_back(uplink.name);
  if (!connected_ || report == network_told_) return;
  network_told_ = report;
  cluster::AgentMessage message;
  message.routes = std::move(report);
  send(message);
}

// Not in the kernel's pool: a question does not wait for programs that are being loaded.
void Agent::Impl::answer_ports(const cluster::PortQuestion& question) {
  const auto look = [ports = question.ports, host = hostname_of(options_)] {
    std::vector<std::string> refused;
    for (const cluster::PortName& one : ports) {
      std::string why = dataplane::port_refusal({to_protocol(one.protocol), one.port}, host);
      if (!why.empty()) refused.push_back(std::move(why));
    }
    return refused;
  };
  probes_.run(look, guarded([this, id = question.id](const std::vector<std::string>& refused) {
                cluster::AgentMessage message;
                message.port_answer = cluster::PortAnswer{id, refused};
                send(message);
              }));
}

void Agent::Impl::answer_trace(const model::TraceQuestion& question) {
  if (question.next) return wait_for_packet(question);
  const auto walk = [kernel = kernel_, question] { return kernel->trace(question); };
  kernel_pool_.run(walk, guarded([this](const model::TraceAnswer& answer) { tell_trace(answer); }));
}

void Agent::Impl::wait_for_packet(const model::TraceQuestion& question) {
  if (const auto found = packet_waits_.find(question.trace); found != packet_waits_.end()) {
    return found->second->renew();
  }
  if (question.renewal) return;  // the answer is on its way
  if (packet_waits_.size() >= kPacketWaitsMax) {
    model::TraceAnswer answer;
    answer.id = question.id;
    answer.error = fmt::format(
        "{} traces wait for a packet here already, and no more may at a time: end one of them (Ctrl-C) or wait until "
        "its time is over",
        kPacketWaitsMax);
    return tell_trace(answer);
  }
  const auto wait = std::make_shared<PacketWait>();
  packet_waits_[question.trace] = wait;
  packets_.run([kernel = kernel_, question, wait] { return kernel->trace_next(question, *wait); },
               guarded([this, trace = question.trace](const model::TraceAnswer& answer) {
                 packet_waits_.erase(trace);
                 tell_trace(answer);
               }));
}

void Agent::Impl::tell_trace(const model::TraceAnswer& answer) {
  cluster::AgentMessage message;
  message.trace_answer = answer;
  send(message);
}

namespace {

Result<std::vector<model::HeardProbe>> carry_out(const model::ProbeQuestion& question, ProbeListening& listening) {
  const std::lock_guard lock(listening.mutex);
  std::vector<model::HeardProbe> heard;
  if (question.step == model::ProbeStep::kListen) {
    listening.listener = TRY(vxlan::ProbeListener::open(question.token));
    listening.opened = wall_now();
  } else if (question.step == model::ProbeStep::kSend) {
    std::vector<vxlan::SourceProbe> probes;
    for (const model::DirectProbe& probe : question.probes) probes.push_back({probe.source, probe.destination});
    TRY(vxlan::send_probes(question.token, question.sender, probes));
  } else if (!listening.listener || listening.listener->token() != question.token) {
    return fail(ErrorKind::kUnavailable, "another doctor began to probe meanwhile: run this one again");
  } else {
    const auto collected = listening.listener->collect();
    listening.listener.reset();
    for (const vxlan::HeardProbe& probe : TRY(collected)) heard.push_back({probe.sender, probe.source});
  }
  return heard;
}

}  // namespace

void Agent::Impl::answer_probe(const model::ProbeQuestion& question) {
  probes_.run([question, listening = probe_listening_] { return carry_out(question, *listening); },
              guarded([this, id = question.id](const Result<std::vector<model::HeardProbe>>& outcome) {
                cluster::AgentMessage message;
                message.probe_answer = outcome ? model::ProbeAnswer{id, "", *outcome}
                                               : model::ProbeAnswer{id, outcome.error().message, {}};
                send(message);
              }));
}

// A manager that is gone asks no more.
void Agent::Impl::stop_listening() {
  probes_.run(
      [listening = probe_listening_] {
        const std::unique_lock lock(listening->mutex, std::try_to_lock);
        if (lock && wall_now() - listening->opened > kListenMax) listening->listener.reset();
        return true;
      },
      [](bool) {});
}

void Agent::Impl::watch_network() {
  events_descriptor_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                 guarded([this](const boost::system::error_code& error) {
                                   if (error) return;
                                   if (events_->drain()) {
                                     network_changed_ = true;
                                     apply_soon();
                                   }
                                   watch_network();
                                 }));
}

void Agent::Impl::tick_scan() {
  after(scan_timer_, kScanPeriod, [this] { tick_scan(); });
  if (scan_running_ || gateway_.node_number == 0) return;
  scan_running_ = true;
  kernel_pool_.run([kernel = kernel_] { return kernel->scan(); },
                   guarded([this](const std::vector<cluster::ForeignReport>& reports) {
                     scan_running_ = false;
                     if (!connected_ || reports.empty()) return;
                     cluster::AgentMessage message;
                     message.foreign = reports;
                     send(message);
                   }));
}

void Agent::Impl::tick_full_pass() {
  after(pass_timer_, kFullPassPeriod, [this] {
    full_pass_wanted_ = true;
    apply_soon();
    stop_listening();
    tick_full_pass();
  });
}

void Agent::Impl::save_soon() {
  if (save_scheduled_) return;
  save_scheduled_ = true;
  after(save_timer_, kSaveDelay, [this] { save_now(); });
}

// Statuses, which nothing in the kernel follows from. What passes are made from is written before them.
void Agent::Impl::save_now() {
  save_scheduled_ = false;
  disk_.run([records = make_records(), data_dir = options_.data_dir] { return save_records(data_dir, *records); },
            guarded([this](const Status& saved) {
              if (saved) return;
              spdlog::error("state of this host could not be saved: {}", saved.error().message);
              save_soon();
            }));
}

std::shared_ptr<NodeRecords> Agent::Impl::make_records() const {
  auto records = std::make_shared<NodeRecords>();
  records->gateway = gateway_;
  for (const auto& [id, local] : tasks_) {
    records->tasks.push_back({local->task, local->facts.status, local->facts.absent});
  }
  return records;
}

// mesh-dns is started by a pass: when it ends, the next pass comes at once.
void Agent::Impl::watch_names(pid_t pid) {
  if (pid <= 0 || (pid == names_pid_ && names_watch_)) return;
  names_pid_ = pid;
  names_seen_at_ = wall_now();
  const auto ended = [this] {
    spdlog::warn("mesh-dns ended and is started again pid={}", names_pid_);
    names_watch_.reset();
    // One that ends again and again is not started in a circle without a pause.
    after(names_timer_, names_seen_at_ + kApplyRetryDelay - wall_now(), [this] { apply_soon(); });
  };
  names_watch_ = watch_process(pid, ended);
  if (!names_watch_) ended();
}

}  // namespace mesh::agent
