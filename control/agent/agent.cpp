#include "control/agent/agent.h"

#include <algorithm>
#include <cstring>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "control/agent/agent_impl.h"

namespace mesh::agent {
namespace {

constexpr std::size_t kActionThreadsMax = 4;  // starts and stops: two processors' worth of short child processes
constexpr std::size_t kPullThreadsMax = 3;    // as many pulls at once as docker
constexpr std::size_t kProbeThreadsMax = 16;  // a probe waits, it hardly works

// The interface that has the address; "" if none.
std::string interface_with(const IpAddress& address) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  std::string found;
  for (const ifaddrs* one = list; one != nullptr && found.empty(); one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    if (one->ifa_addr->sa_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
      if (IpAddress::v4(ntohl(v4->sin_addr.s_addr)) == address) found = one->ifa_name;
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      IpAddress::Bytes bytes{};
      std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr, bytes.size());
      if (IpAddress(bytes) == address) found = one->ifa_name;
    }
  }
  freeifaddrs(list);
  return found;
}

DnsProcessOptions dns_options(const Options& options, const CgroupLayout& cgroups) {
  // The table outlives mesh-dns, not the host: in memory, so that no answer waits for a disk.
  return {options.program, options.runtime_dir + "/dns.sock", options.runtime_dir + "/dns.json",
          options.runtime_dir + "/dns.log", cgroups};
}

Result<NodeKernelOptions> kernel_options(const Options& options, const CgroupLayout& cgroups) {
  NodeKernelOptions kernel;
  kernel.run_dir = options.runtime_dir;
  kernel.pin_dir = options.pin_dir;
  kernel.cgroup_hook_directory = cgroups.hook_directory();
  kernel.uplinks.named = options.uplinks;
  if (options.uplinks.empty() && !options.advertise.is_unset()) {
    kernel.uplinks.main = interface_with(options.advertise);
    if (kernel.uplinks.main.empty()) {
      return fail(ErrorKind::kNotFound,
                  fmt::format("advertise address {}: no interface of this host has it", options.advertise.to_string()));
    }
  }
  kernel.uplinks.mode = TRY(dataplane::parse_mode(options.uplink_mode));
  kernel.dns = dns_options(options, cgroups);
  return kernel;
}

}  // namespace

std::string hostname_of(const Options& options) {
  if (!options.hostname.empty()) return options.hostname;
  utsname name{};
  uname(&name);
  return name.nodename;
}

Agent::Impl::Impl(boost::asio::io_context& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      apply_timer_(loop),
      scan_timer_(loop),
      pass_timer_(loop),
      save_timer_(loop),
      names_timer_(loop),
      actions_(kActionThreadsMax, [&loop](WorkPool::Job job) { boost::asio::post(loop, std::move(job)); }),
      pulls_pool_(kPullThreadsMax, [&loop](WorkPool::Job job) { boost::asio::post(loop, std::move(job)); }),
      probes_(kProbeThreadsMax, [&loop](WorkPool::Job job) { boost::asio::post(loop, std::move(job)); }),
      kernel_pool_(1, [&loop](WorkPool::Job job) { boost::asio::post(loop, std::move(job)); }),
      disk_(1, [&loop](WorkPool::Job job) { boost::asio::post(loop, std::move(job)); }),
      packets_(kPacketWaitsMax, [&loop](WorkPool::Job job) { boost::asio::post(loop, std::move(job)); }) {}

std::unique_ptr<boost::asio::posix::stream_descriptor> Agent::Impl::watch_process(pid_t pid,
                                                                                  std::function<void()> ended) {
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (handle < 0) return nullptr;
  auto watch = std::make_unique<boost::asio::posix::stream_descriptor>(loop_, handle);
  watch->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                    guarded([ended = std::move(ended)](const boost::system::error_code& error) {
                      if (!error) ended();
                    }));
  return watch;
}

void Agent::Impl::after(boost::asio::steady_timer& timer, Duration delay, std::function<void()> call) {
  timer.expires_after(std::max(delay, Duration::zero()));
  timer.async_wait(guarded([call = std::move(call)](const boost::system::error_code& error) {
    if (!error) call();
  }));
}

Status Agent::Impl::start() {
  if (started_) return fail(ErrorKind::kInternal, "the agent was started twice");
  TRY(make_directories(options_.data_dir, 0700));
  TRY(make_directories(options_.runtime_dir));
  cgroups_ = TRY(find_cgroup_layout(options_.cgroup_root));
  TRY(check_host(options_.pin_dir));
  limits_ = limits_of(cgroups_);
  for (const std::string& warning : api::limit_warnings(limits_)) spdlog::warn("{}", warning);
  runtime_ = TRY(ContainerRuntime::find({options_.data_dir, options_.runtime_dir, cgroups_}));
  images_ = TRY(ImageStore::open(options_.data_dir + "/images"));
  if (Status collected = images_->collect(); !collected)
    spdlog::warn("unused layers stay: {}", collected.error().message);
  const NodeKernelOptions wanted = TRY(kernel_options(options_, cgroups_));
  kernel_ = TRY(NodeKernel::open(wanted));
  uplinks_ = kernel_->uplinks();
  address_ = options_.advertise;
  // The other hosts are told an address once: not that of another uplink because the first one is late.
  if (address_.is_unset() && !options_.uplinks.empty() && uplinks_.front().name != options_.uplinks.front()) {
    return fail(
        ErrorKind::kNotFound,
        fmt::format("uplink {} is not there, is down or has no address, and its address is what the other hosts "
                    "are to be told: start meshd again when it is up, or name an address with --advertise-addr",
                    options_.uplinks.front()));
  }
  if (address_.is_unset() && !uplinks_.front().addresses.empty()) address_ = uplinks_.front().addresses.front();

  const NodeRecords records = TRY(load_records(options_.data_dir));
  waiting_->tables = TRY(load_tables(options_.data_dir));
  waiting_->from_disk = true;
  overview_.version = waiting_->tables->version;
  overview_.networks = waiting_->tables->networks;
  gateway_ = records.gateway;
  load_tasks(records);

  events_ = TRY(vxlan::NetworkEvents::open());
  const int events_fd = dup(events_->fd());
  if (events_fd < 0) return fail_errno("watch the network", errno);
  events_descriptor_ = std::make_unique<boost::asio::posix::stream_descriptor>(loop_, events_fd);
  watch_network();
  started_ = true;
  spdlog::info("agent ready uplinks={} address={} runtime={} tasks={}", uplinks_.size(), address_.to_string(),
               runtime_->runtime_path(), tasks_.size());
  apply_soon();
  tick_scan();
  tick_full_pass();
  boost::asio::post(loop_, guarded([this] { poke_all(); }));
  return {};
}

void Agent::Impl::stop() {
  if (stopped_) return;
  stopped_ = true;
  if (started_) {
    disk_.stop();
    Status saved = save_records(options_.data_dir, *make_records());
    // What waits is not in the kernel, and the manager sends it again; what the disk could not take before may be.
    if (saved && !disk_known_ && !apply_running_) saved = save_tables(options_.data_dir, kernel_->tables());
    if (!saved) spdlog::error("state of this host could not be saved: {}", saved.error().message);
  }
  for (boost::asio::steady_timer* timer : {&apply_timer_, &scan_timer_, &pass_timer_, &save_timer_, &names_timer_}) {
    timer->cancel();
  }
  events_descriptor_.reset();
  names_watch_.reset();
  for (auto& [id, local] : tasks_) {
    local->timer.reset();
    local->probe_timer.reset();
    local->monitor.reset();
  }
  for (auto& [trace, wait] : packet_waits_) wait->give_up();
  packets_.stop();
  probes_.stop();
  pulls_pool_.stop();
  kernel_pool_.stop();
  actions_.stop();
}

void Agent::Impl::leave(std::function<void(Status)> done) {
  if (left_) {
    boost::asio::post(loop_, guarded([done = std::move(done)] {
                        done(fail(ErrorKind::kConflict, "this host is leaving its cluster already"));
                      }));
    return;
  }
  left_ = std::move(done);
  for (auto& [id, local] : tasks_) local->facts.absent = true;
  if (tasks_.empty()) {
    boost::asio::post(loop_, guarded([this] { finish_leaving(); }));
    return;
  }
  poke_all();
}

void Agent::Impl::finish_leaving() {
  overview_ = {};
  *waiting_ = {};
  gateway_ = {};
  applied_ = {};
  acknowledged_.reset();
  linked_.clear();
  problems_.clear();
  names_watch_.reset();
  names_pid_ = 0;
  unsaved_ = false;
  disk_known_ = true;
  networked_.clear();
  save_problem_.clear();
  apply_wanted_ = false;
  save_timer_.cancel();
  save_scheduled_ = false;
  const auto finish = [this](const Status& cleared) {
    // After the writes that are under way.
    disk_.run(
        [cleared, data_dir = options_.data_dir]() -> Status {
          TRY(remove_records(data_dir));
          return cleared;
        },
        guarded([this](const Status& result) {
          const auto done = std::exchange(left_, nullptr);
          if (done) done(result);
        }));
  };
  kernel_pool_.run([kernel = kernel_] { return kernel->clear(); }, guarded(finish));
}

// Every one once, of all uplinks.
std::vector<IpAddress> Agent::Impl::own_addresses() const {
  std::vector<IpAddress> own;
  for (const api::UplinkState& uplink : uplinks_) {
    for (const IpAddress& address : uplink.addresses) {
      if (std::ranges::find(own, address) == own.end()) own.push_back(address);
    }
  }
  return own;
}

cluster::Hello Agent::Impl::hello() const {
  cluster::Hello hello;
  hello.node_id = node_id_;
  hello.address = address_;
  hello.addresses = own_addresses();
  for (const api::UplinkState& uplink : uplinks_) hello.interfaces.push_back(uplink.name);
  // A manager sends changes from `have` on: only if nothing newer waits to be applied.
  if (applied_ == overview_.version) hello.have = applied_;
  if (const auto routes = vxlan::host_routes()) {
    for (const vxlan::HostRoute& route : *routes) hello.connected_routes.push_back(route.prefix);
  }
  return hello;
}

void Agent::Impl::send(const cluster::AgentMessage& message) {
  if (connected_ && send_) send_(message);
}

void Agent::Impl::connected() {
  connected_ = true;
  acknowledged_.reset();
  network_told_.reset();
  for (auto& [id, local] : tasks_) local->reported = false;
  report_soon();
  acknowledge();
}

void Agent::Impl::handle(const cluster::ManagerMessage& message) {
  if (!started_ || left_) return;
  if (message.welcome) take_welcome(*message.welcome);
  if (message.tables) take_tables(*message.tables);
  if (message.table_change) take_table_change(*message.table_change);
  if (message.port_question) answer_ports(*message.port_question);
  if (message.trace_question) answer_trace(*message.trace_question);
  if (message.probe_question) answer_probe(*message.probe_question);
  if (message.assignments) take_assignments(*message.assignments);
  if (message.assignment_change) take_assignment_change(*message.assignment_change);
}

Agent::Agent(boost::asio::io_context& loop, Options options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}
Agent::~Agent() { impl_->stop(); }

Status Agent::start() { return impl_->start(); }
void Agent::on_send(std::function<void(const cluster::AgentMessage&)> send) { impl_->send_ = std::move(send); }
void Agent::on_resync(std::function<void(std::string reason)> resync) { impl_->resync_ = std::move(resync); }
void Agent::connected() { impl_->connected(); }
void Agent::disconnected() { impl_->connected_ = false; }
void Agent::handle(const cluster::ManagerMessage& message) { impl_->handle(message); }
void Agent::set_node_id(std::string node_id) { impl_->node_id_ = std::move(node_id); }
IpAddress Agent::address() const { return impl_->address_; }
void Agent::shutdown() { impl_->stop(); }
void Agent::leave(std::function<void(Status)> done) { impl_->leave(std::move(done)); }

cluster::Hello Agent::hello() const {
  cluster::Hello hello = impl_->hello();
  hello.description = description();
  return hello;
}

model::NodeDescription Agent::description() const {
  model::NodeDescription description;
  utsname name{};
  uname(&name);
  description.hostname = hostname_of(impl_->options_);
  description.platform = {name.machine, "linux"};
  description.resources.nano_cpus = sysconf(_SC_NPROCESSORS_ONLN) * 1'000'000'000L;
  description.resources.memory_bytes = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  description.engine.engine_version = impl_->options_.engine_version;
  description.engine.plugins = {{"Log", "json-file"}, {"Network", "overlay"}, {"Volume", "local"}};
  return description;
}

api::ContainerCounts Agent::container_counts() const {
  api::ContainerCounts counts;
  for (const auto& [id, local] : impl_->tasks_) {
    if (local->facts.container.state == ObservedContainer::State::kRunning) ++counts.running;
    if (local->facts.container.state == ObservedContainer::State::kExited) ++counts.stopped;
  }
  return counts;
}

api::LimitSupport Agent::limits() const { return impl_->limits_; }

std::vector<api::UplinkState> Agent::uplinks() const { return impl_->uplinks_; }

std::vector<model::NetworkRow> Agent::networks() const { return impl_->overview_.networks; }

// On the thread that programs the kernel: a pass that loads programs takes seconds, and the loop must not wait for it.
void Agent::dataplane(api::DataplanePart part, std::function<void(Result<Json>)> done) {
  impl_->kernel_pool_.run(
      [kernel = impl_->kernel_, part]() -> Result<Json> {
        if (!kernel) return fail(ErrorKind::kUnavailable, "the data plane is not open");
        return kernel->inspect(part);
      },
      std::move(done));
}

void Agent::metrics(std::function<void(Result<api::NodeMetrics>)> done) {
  auto finish = [weak = std::weak_ptr(impl_), done = std::move(done)](Result<api::NodeMetrics> found) {
    const auto impl = weak.lock();
    if (!found || !impl) return done(std::move(found));
    found->number = impl->gateway_.node_number;
    found->drift = impl->drift_;
    found->problems = impl->problems_.size();
    done(std::move(found));
  };
  impl_->kernel_pool_.run(
      [kernel = impl_->kernel_]() -> Result<api::NodeMetrics> {
        return kernel ? kernel->metrics() : Result<api::NodeMetrics>(api::NodeMetrics());
      },
      std::move(finish));
}

}  // namespace mesh::agent
