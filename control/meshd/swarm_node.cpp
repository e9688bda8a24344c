#include "control/meshd/swarm_node.h"

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "control/cluster/join.h"
#include "control/meshd/address_choice.h"
#include "control/model/validate.h"

namespace mesh::meshd {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

// As Docker: the answer to a join waits this long for the first session; joining goes on in the background.
constexpr Duration kJoinTimeout = std::chrono::seconds(20);

std::unexpected<Error> already_member() {
  return fail(ErrorKind::kUnavailable,
              "This node is already part of a swarm. Leave it with \"swarm leave\", then make or join another one.");
}

}  // namespace

class SwarmNode::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, const Options& options, agent::Agent& agent)
      : loop_(loop), options_(options), agent_(agent), directory_(options.data_dir + "/cluster") {}

  Status start();
  void stop();
  [[nodiscard]] api::SwarmInfo info() const;
  Result<std::string> init(const api::SwarmInit& request);
  void join(const api::SwarmJoin& request, const std::function<void(Status)>& done);
  void leave(bool force, std::function<void(Status)> done);
  void wait_until(std::function<bool()> condition, Duration timeout, std::function<void(bool)> done);
  [[nodiscard]] Json session_status() const;

  std::unique_ptr<ManagerRole> role_;

 private:
  struct Wait {
    explicit Wait(asio::io_context& loop) : timer(loop) {}
    std::function<bool()> condition;
    std::function<void(bool)> done;
    asio::steady_timer timer;
  };

  [[nodiscard]] std::string hostname() const { return agent_.description().hostname; }
  [[nodiscard]] Status may_enter() const;
  Status open_role(std::optional<NewCluster> create);
  Status open_local_session();
  void open_session(std::vector<SocketAddress> managers);
  void session_changed(cluster::SessionState state, const std::string& why);
  void joined(Result<cluster::NodeIdentity> identity, std::vector<SocketAddress> managers,
              const std::function<void(Status)>& done);
  [[nodiscard]] Result<NewCluster> new_cluster(const api::SwarmInit& request, const std::string& cluster_id);
  void save_identity(const cluster::NodeIdentity& identity);
  Status forget();
  void check_waits();

  asio::io_context& loop_;
  const Options& options_;
  agent::Agent& agent_;
  std::string directory_;
  SwarmFile file_;
  std::optional<cluster::NodeIdentity> identity_;
  std::unique_ptr<cluster::AgentSession> session_;
  std::string error_;          // why the node is a member and yet cannot act as one
  std::string session_error_;  // of the last attempt
  std::list<std::shared_ptr<Wait>> waits_;
  bool busy_ = false;  // a join or a leave is under way
  bool stopped_ = false;
};

Status SwarmNode::Impl::start() {
  Result<SwarmFile> file = load_swarm_file(directory_);
  if (!file && file.error().kind == ErrorKind::kNotFound) return {};
  if (!file) return std::unexpected(file.error());
  file_ = std::move(*file);
  identity_ = TRY(cluster::NodeIdentity::load(directory_));
  agent_.set_node_id(identity_->info.subject.node_id);
  spdlog::info("member of a swarm node={} cluster={} role={}", identity_->info.subject.node_id,
               identity_->info.subject.cluster_id, file_.manager ? "manager" : "worker");
  if (!file_.manager && identity_->info.not_after < wall_now()) {
    error_ = "the node's certificate expired on " + format_time(identity_->info.not_after) +
             "; leave the swarm and join again";
    spdlog::error("{}", error_);
    return {};
  }
  if (file_.manager) {
    TRY(open_role(std::nullopt));
    return open_local_session();
  }
  std::vector<SocketAddress> managers;
  for (const std::string& text : file_.managers) managers.push_back(TRY(SocketAddress::parse(text, kClusterPort)));
  open_session(std::move(managers));
  return {};
}

void SwarmNode::Impl::stop() {
  stopped_ = true;
  if (session_) session_->stop();
  for (const auto& wait : waits_) wait->timer.cancel();
  waits_.clear();
  role_.reset();
  session_.reset();
}

api::SwarmInfo SwarmNode::Impl::info() const {
  api::SwarmInfo info;
  if (!identity_) {
    if (busy_) info.state = api::SwarmState::kPending;
    return info;
  }
  info.node_id = identity_->info.subject.node_id;
  info.cluster_id = identity_->info.subject.cluster_id;
  info.state = error_.empty() ? api::SwarmState::kActive : api::SwarmState::kError;
  info.error = error_;
  const IpAddress address = file_.advertise.is_unset() ? agent_.address() : file_.advertise;
  if (!address.is_unset()) info.node_addr = address.to_string();
  info.session_up = role_ != nullptr || (session_ && session_->up());
  if (role_) {
    info.managers.push_back({info.node_id, SocketAddress{file_.advertise, file_.port}.to_string()});
  } else {
    for (const std::string& manager : file_.managers) info.managers.push_back({"", manager});
    if (error_.empty() && !info.session_up) info.error = session_error_;
  }
  return info;
}

Status SwarmNode::Impl::may_enter() const {
  if (identity_) return already_member();
  if (busy_) return fail(ErrorKind::kUnavailable, "this node is joining or leaving a swarm; wait until it has done so");
  return {};
}

Result<NewCluster> SwarmNode::Impl::new_cluster(const api::SwarmInit& request, const std::string& cluster_id) {
  TRY(model::validate_cluster_spec(request.spec));
  model::Cluster cluster;
  cluster.spec = request.spec;
  cluster.default_addr_pool = request.default_addr_pool;
  if (cluster.default_addr_pool.empty()) cluster.default_addr_pool = {"10.0.0.0/8"};
  for (const std::string& pool : cluster.default_addr_pool) TRY_IN("default address pool", Cidr::parse(pool));
  if (request.subnet_size != 0) cluster.subnet_size = request.subnet_size;
  // Written down, so that `info` shows what is in force.
  model::ClusterSpec& spec = cluster.spec;
  if (!spec.orchestration.task_history_retention_limit) spec.orchestration.task_history_retention_limit = 5;
  if (spec.dispatcher.heartbeat_period == Duration{}) spec.dispatcher.heartbeat_period = std::chrono::seconds(5);
  if (spec.ca_config.node_cert_expiry == Duration{}) spec.ca_config.node_cert_expiry = cluster::kNodeLifetime;
  auto availability = model::Availability::kActive;
  if (!request.availability.empty()) {
    availability = TRY(decode<model::Availability>(Json(request.availability), "Availability"));
  }
  cluster::CertificateAuthority authority = TRY(cluster::CertificateAuthority::create(cluster_id, wall_now()));
  return NewCluster{std::move(cluster), std::move(authority), availability, agent_.hello().connected_routes,
                    hostname()};
}

Result<std::string> SwarmNode::Impl::init(const api::SwarmInit& request) {
  TRY(may_enter());
  if (request.auto_lock_managers || request.spec.encryption_config.auto_lock_managers) {
    return fail(ErrorKind::kUnsupported, "autolock is not available: the cluster's key is on the manager's disk only");
  }
  if (request.data_path_port != 0 && request.data_path_port != 4789) {
    return fail(ErrorKind::kUnsupported, "the data path port is 4789 and cannot be chosen");
  }
  const SocketAddress listen = TRY(choose_listen(request.listen_addr, options_.listen));
  const SocketAddress advertise =
      TRY(choose_advertise(request.advertise_addr, options_.advertise_addr, agent_, listen.port));

  const cluster::Subject subject{make_id(), cluster::Role::kManager, make_id()};
  NewCluster create = TRY(new_cluster(request, subject.cluster_id));
  cluster::KeyRequest key = TRY(cluster::make_key_request());
  std::string certificate = TRY(create.authority.issue(key.request_pem, subject, wall_now()));
  identity_ = TRY(
      cluster::NodeIdentity::make(std::move(key.key_pem), std::move(certificate), create.authority.certificate_pem()));
  file_ = {true, listen.to_string(), advertise.ip, advertise.port, {}};
  agent_.set_node_id(subject.node_id);
  const auto made = [&]() -> Status {
    TRY(open_role(std::move(create)));
    TRY(identity_->save(directory_));
    TRY(save_swarm_file(directory_, file_));  // last: from here on we are a member
    return open_local_session();
  }();
  if (!made) {
    role_.reset();
    (void)forget();
    return std::unexpected(made.error());
  }
  spdlog::info("swarm made node={} cluster={} advertise={}", subject.node_id, subject.cluster_id,
               advertise.to_string());
  return subject.node_id;
}

Status SwarmNode::Impl::open_role(std::optional<NewCluster> create) {
  const SocketAddress listen = TRY_IN("listen address", SocketAddress::parse(file_.listen, kClusterPort));
  ManagerRole::Callbacks callbacks;
  callbacks.to_local_agent = [this](const cluster::ManagerMessage& message) {
    if (!stopped_) agent_.handle(message);
  };
  callbacks.on_change = [this] { check_waits(); };
  callbacks.on_identity = [this](const cluster::NodeIdentity& identity) { save_identity(identity); };
  role_ = TRY(ManagerRole::open(loop_, {directory_, listen, {file_.advertise, file_.port}}, *identity_,
                                std::move(callbacks), std::move(create)));
  return {};
}

Status SwarmNode::Impl::open_local_session() {
  agent_.on_send([this](const cluster::AgentMessage& message) {
    if (role_) role_->from_local_agent(message);
  });
  agent_.on_resync([this](const std::string& why) {
    spdlog::warn("local session opened again reason=\"{}\"", why);
    asio::post(loop_, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || self->stopped_ || !self->role_) return;
      self->agent_.disconnected();
      const Status opened = self->open_local_session();
      if (!opened) spdlog::error("local session failed error=\"{}\"", opened.error().message);
    });
  });
  cluster::Hello hello = agent_.hello();
  hello.node_id = identity_->info.subject.node_id;
  hello.address = file_.advertise;
  TRY(role_->open_local(hello));
  agent_.connected();
  return {};
}

void SwarmNode::Impl::open_session(std::vector<SocketAddress> managers) {
  cluster::AgentSession::Callbacks callbacks;
  callbacks.hello = [this] {
    cluster::Hello hello = agent_.hello();
    hello.node_id = identity_->info.subject.node_id;
    if (!file_.advertise.is_unset()) hello.address = file_.advertise;
    return hello;
  };
  callbacks.on_message = [this](const cluster::ManagerMessage& message) { agent_.handle(message); };
  callbacks.on_state = [this](cluster::SessionState state, const std::string& why) { session_changed(state, why); };
  callbacks.on_identity = [this](const cluster::NodeIdentity& identity) { save_identity(identity); };
  session_ = std::make_unique<cluster::AgentSession>(loop_, *identity_, std::move(managers), std::move(callbacks));
  agent_.on_send([this](const cluster::AgentMessage& message) {
    if (session_) (void)session_->send(message);  // refused while down: everything is said again when it is up
  });
  agent_.on_resync([this](const std::string& why) {
    if (session_) session_->restart(why);
  });
  session_->start();
}

void SwarmNode::Impl::session_changed(cluster::SessionState state, const std::string& why) {
  const bool was_down = !session_error_.empty();
  session_error_ = why;
  if (state == cluster::SessionState::kUp) {
    spdlog::info("session with a manager is up node={}", identity_->info.subject.node_id);
    agent_.connected();
  } else {
    if (!was_down) spdlog::warn("no session with a manager; trying on reason=\"{}\"", why);
    agent_.disconnected();
  }
  check_waits();
}

void SwarmNode::Impl::join(const api::SwarmJoin& request, const std::function<void(Status)>& done) {
  const auto checked = [&]() -> Result<cluster::JoinToken> {
    TRY(may_enter());
    if (request.remote_addrs.empty()) {
      return fail(ErrorKind::kInvalid, "the address of a manager is missing: swarm join --token TOKEN HOST:2377");
    }
    if (!request.advertise_addr.empty()) {
      file_.advertise = TRY(choose_advertise(request.advertise_addr, options_.advertise_addr, agent_, kClusterPort)).ip;
    }
    return cluster::JoinToken::parse(request.join_token);
  }();
  if (!checked) return asio::post(loop_, [done, error = checked.error()] { done(std::unexpected(error)); });
  busy_ = true;
  resolve_managers(loop_, request.remote_addrs, kClusterPort,
                   [self = shared_from_this(), token = *checked, availability = request.availability,
                    done](Result<std::vector<SocketAddress>> managers) {
                     if (!managers) return self->joined(std::unexpected(managers.error()), {}, done);
                     cluster::join_cluster(self->loop_, *managers, token, {self->hostname(), availability},
                                           [self, managers = *managers, done](Result<cluster::NodeIdentity> identity) {
                                             self->joined(std::move(identity), managers, done);
                                           });
                   });
}

void SwarmNode::Impl::joined(Result<cluster::NodeIdentity> identity, std::vector<SocketAddress> managers,
                             const std::function<void(Status)>& done) {
  busy_ = false;
  if (stopped_) return;
  const auto kept = [&]() -> Status {
    if (!identity) return std::unexpected(identity.error());
    file_.manager = false;
    for (const SocketAddress& manager : managers) file_.managers.push_back(manager.to_string());
    TRY(identity->save(directory_));
    return save_swarm_file(directory_, file_);
  }();
  if (!kept) {
    (void)forget();
    return done(kept);
  }
  identity_ = std::move(*identity);
  agent_.set_node_id(identity_->info.subject.node_id);
  spdlog::info("joined a swarm node={} cluster={}", identity_->info.subject.node_id,
               identity_->info.subject.cluster_id);
  open_session(std::move(managers));
  wait_until([this] { return session_ && session_->up(); }, kJoinTimeout,
             [this, done](bool up) {
               if (up) return done({});
               done(fail(ErrorKind::kTimeout,
                         "the node has joined, but no session with a manager could be opened within 20 s (" +
                             session_error_ + "); it goes on trying in the background"));
             });
}

void SwarmNode::Impl::leave(bool force, std::function<void(Status)> done) {
  const auto refuse = [&](const Error& error) { asio::post(loop_, [done, error] { done(std::unexpected(error)); }); };
  if (busy_) return refuse({ErrorKind::kUnavailable, "this node is joining or leaving a swarm already"});
  if (!identity_) return refuse({ErrorKind::kUnavailable, "This node is not part of a swarm."});
  if (role_ && !force) {
    return refuse({ErrorKind::kUnavailable,
                   "You are attempting to leave the swarm on a node that is participating as a manager. It is the last "
                   "one: leaving erases all state of the cluster. Use --force if that is what you want."});
  }
  busy_ = true;
  if (session_) session_->stop();
  session_.reset();
  role_.reset();
  agent_.on_send([](const cluster::AgentMessage&) {});
  agent_.disconnected();
  agent_.leave([self = shared_from_this(), done = std::move(done)](const Status& left) {
    self->busy_ = false;
    if (self->stopped_) return;
    const Status forgotten = self->forget();
    spdlog::info("left the swarm");
    done(left ? forgotten : left);
  });
}

Status SwarmNode::Impl::forget() {
  identity_.reset();
  file_ = {};
  error_.clear();
  session_error_.clear();
  agent_.set_node_id("");
  TRY(remove_tree(directory_ + "/swarm.json"));  // first: without it the rest counts for nothing
  TRY(cluster::remove_identity(directory_));
  return ManagerRole::remove(directory_);
}

void SwarmNode::Impl::save_identity(const cluster::NodeIdentity& identity) {
  identity_ = identity;
  if (const Status saved = identity.save(directory_); !saved) {
    spdlog::error("the renewed certificate cannot be saved error=\"{}\"", saved.error().message);
  }
}

void SwarmNode::Impl::wait_until(std::function<bool()> condition, Duration timeout, std::function<void(bool)> done) {
  auto wait = std::make_shared<Wait>(loop_);
  wait->condition = std::move(condition);
  wait->done = std::move(done);
  waits_.push_back(wait);
  wait->timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(timeout));
  wait->timer.async_wait([weak = weak_from_this(), wait](const ErrorCode& error) {
    const auto self = weak.lock();
    if (error || !self || self->stopped_ || std::erase(self->waits_, wait) == 0) return;
    wait->done(false);
  });
  asio::post(loop_, [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && !self->stopped_) self->check_waits();
  });
}

void SwarmNode::Impl::check_waits() {
  std::vector<std::shared_ptr<Wait>> fulfilled;
  for (auto at = waits_.begin(); at != waits_.end();) {
    if (!(*at)->condition()) {
      ++at;
      continue;
    }
    fulfilled.push_back(*at);
    at = waits_.erase(at);
  }
  for (const auto& wait : fulfilled) {
    wait->timer.cancel();
    wait->done(true);
  }
}

Json SwarmNode::Impl::session_status() const {
  JsonObject status;
  if (role_) status["ClusterPort"] = encode(role_->counters());
  if (session_) {
    status["Session"] = JsonObject{{"Up", session_->up()}, {"Error", session_error_}};
  }
  return status;
}

SwarmNode::SwarmNode(asio::io_context& loop, const Options& options, agent::Agent& agent)
    : impl_(std::make_shared<Impl>(loop, options, agent)) {}
SwarmNode::~SwarmNode() { impl_->stop(); }
Status SwarmNode::start() { return impl_->start(); }
void SwarmNode::stop() { impl_->stop(); }
api::SwarmInfo SwarmNode::info() const { return impl_->info(); }
manager::Manager* SwarmNode::manager() { return impl_->role_ ? &impl_->role_->manager() : nullptr; }
void SwarmNode::init(const api::SwarmInit& request, std::function<void(Result<std::string>)> done) {
  done(impl_->init(request));
}
void SwarmNode::join(const api::SwarmJoin& request, std::function<void(Status)> done) { impl_->join(request, done); }
void SwarmNode::leave(bool force, std::function<void(Status)> done) { impl_->leave(force, std::move(done)); }
Result<model::JoinTokens> SwarmNode::join_tokens() {
  if (!impl_->role_) return fail(ErrorKind::kUnavailable, "This node is not a swarm manager.");
  return impl_->role_->join_tokens();
}
Status SwarmNode::rotate_tokens(bool worker, bool manager) {
  if (!impl_->role_) return fail(ErrorKind::kUnavailable, "This node is not a swarm manager.");
  return impl_->role_->rotate_tokens(worker, manager);
}
void SwarmNode::changed() {
  if (impl_->role_) impl_->role_->changed();
}
void SwarmNode::wait_until(std::function<bool()> condition, Duration timeout, std::function<void(bool)> done) {
  impl_->wait_until(std::move(condition), timeout, std::move(done));
}
void SwarmNode::ask_ports(const std::vector<model::PortConfig>& ports, const std::set<std::string>& nodes,
                          std::function<void(Status)> done) {
  if (impl_->role_) impl_->role_->ask_ports(ports, nodes, std::move(done));
}
void SwarmNode::ask_trace(const std::string& node_id, const model::TraceQuestion& question,
                          std::function<bool()> wanted, std::function<void(Result<model::TraceAnswer>)> done) {
  if (impl_->role_) impl_->role_->ask_trace(node_id, question, std::move(wanted), std::move(done));
}
void SwarmNode::ask_probe(const std::string& node_id, const model::ProbeQuestion& question,
                          std::function<void(Result<model::ProbeAnswer>)> done) {
  if (impl_->role_) impl_->role_->ask_probe(node_id, question, std::move(done));
}
const std::map<std::string, model::TableVersion>& SwarmNode::acknowledged() const {
  static const std::map<std::string, model::TableVersion> kNone;
  return impl_->role_ ? impl_->role_->acknowledged() : kNone;
}
Json SwarmNode::session_status() const { return impl_->session_status(); }

}  // namespace mesh::meshd
